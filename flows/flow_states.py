"""Names and final states of runs, in Prefect's words, and the end of a run for the command that started it."""

from prefect.client.schemas.objects import State
from prefect.exceptions import Pause
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Crashed, Failed

from animatic import storage
from animatic.errors import FixInputError, LedgerAwayError
from animatic.results.exit_codes import DONE, INTERRUPTED, UNCLEAR
from animatic.results.summary import RunSummary
from flows.interrupts import Interrupts
from flows.session import SESSION, RunEnd, new_run_id
from flows.stop_request import StopRequest, find_stop
from tasks.begun import BEGUN
from tasks.deployment import deployment_id


def name_run() -> str:
    """Return the manifest's stem and the run's id: `storm 20261122T164640Z-3f9a`."""
    session = SESSION.get()
    run_id = session.run_id if session else new_run_id()
    return f"{storage.stem_of(str(flow_run.parameters.get('manifest', 'animate')))} {run_id}"


def id_in_name() -> str:
    """Return the run's id at the end of the flow run's name, which `name_run` has given it."""
    return str(flow_run.name).rpartition(" ")[2]


def end_of(summary: RunSummary | None, problem: BaseException | None, interrupts: Interrupts) -> RunEnd:
    """Return the end of the flow run that this is, for the command."""
    begun = BEGUN.get()
    return RunEnd(flow_run.id, begun.count if begun else 0, summary, problem, interrupts.hurried.is_set())


def refused(error: FixInputError) -> State[None]:
    """Nothing was bought because the input must be changed first: red, so that alerts ring.

    A run that Prefect turns away because another one is under way is `Cancelled` instead.
    """
    return Failed(name="Refused", message=str(error).splitlines()[0])


def ledger_away(error: LedgerAwayError) -> State[None]:
    """Return the state of a run that lost the ledger's server: the next worker goes on when the server is back."""
    return Crashed(message=str(error).splitlines()[0])


def ended(summary: RunSummary, interrupts: Interrupts) -> State[None]:
    """Return the final state of a run that came to its end; raise where Prefect keeps it to be resumed.

    Raises:
        Pause: the run is suspended, and stays so.
    """
    require_not_suspended(interrupts)
    return run_state(summary)


def require_not_suspended(interrupts: Interrupts) -> None:
    """Leave a run to Prefect that was suspended there, and that it will start again. Raises Pause."""
    _leave_to_prefect(interrupts.stop_request)


async def require_not_taken_over(interrupts: Interrupts) -> None:
    """Leave a run to the process that has taken it over, whatever this one failed of. Raises Pause.

    A host that was cut off for long meets errors, such as a ledger that is away, before it hears of that.
    """
    if deployment_id() is not None:
        _leave_to_prefect(interrupts.stop_request or await find_stop(flow_run.id))


def _leave_to_prefect(stop: StopRequest | None) -> None:
    if stop is not None and stop.is_suspension and deployment_id() is not None:
        raise Pause(state=stop.state)


def run_state(summary: RunSummary) -> State[None]:
    """Failed when it is not clear what was bought, or the account was refused, so that alerts ring.

    Shots that failed leave the run itself completed.
    """
    if summary.exit_code == DONE:
        return Completed(message=summary.sentence)
    if summary.exit_code == UNCLEAR or (summary.is_account_refused and summary.exit_code != INTERRUPTED):
        return Failed(message=summary.sentence)
    if summary.exit_code == INTERRUPTED:
        return Cancelled(name="Interrupted", message=summary.sentence)
    return Completed(name="CompletedWithFailures", message=summary.sentence)
