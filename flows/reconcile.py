"""Takes of unknown fate, settled on a schedule by WaveSpeed's list of predictions. Buys nothing."""

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from animatic.errors import FixInputError
from animatic.errors.text import counted
from flows.command.reconcile_command import ByHand, settle_ledger
from flows.flow_states import refused
from flows.schedule import BlockName, session_of_schedule
from flows.session import new_run_id


def name_run() -> str:
    """Return `reconcile` and an id that sorts by time."""
    return f"reconcile {new_run_id()}"


@flow(name="reconcile", flow_run_name=name_run, persist_result=False)
async def reconcile(
    credentials: BlockName | None = None,
) -> State[None]:
    """Settle every take that is unknown or held, as far as WaveSpeed's list of predictions proves it. Buys nothing.

    Ends Failed while something is left open: money may be at stake. What a person must say is said on a command line,
    by `animatic reconcile`.

    Args:
        credentials: Name of the WaveSpeedCredentials block with the account to settle; never a key. None is the
            worker's own account.
    """
    try:
        session = await session_of_schedule(credentials)
        outcome = await settle_ledger(ByHand(), session.settings)
    except FixInputError as error:
        return refused(error)
    lines, logger = outcome.lines(), get_run_logger()
    for line in lines:
        logger.info(line)
    if outcome.left:
        return Failed(message=f"open: {counted(len(outcome.left), 'take')}")
    return Completed(message=lines[0])
