"""Batches of clips that runs have handed over: archived, probed and checked by whichever worker takes each first."""

from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from animatic.errors import AnimaticError, FixInputError
from flows.flow_states import refused
from flows.interrupts import Interrupts
from flows.media_backlog import MediaEnd, work_through
from flows.process import HOLDS_UP_S, end_within
from flows.schedule import BlockName, session_of_schedule
from flows.session import SESSION, new_run_id


def name_batch() -> str:
    """Return the batch and an id that sorts by time."""
    return f"media {flow_run.parameters.get('batch', '')} {new_run_id()}"


@flow(name="media", flow_run_name=name_batch, persist_result=False)
async def media(
    batch: Annotated[str, Field(json_schema_extra={"minLength": 1})],
    credentials: BlockName | None = None,
) -> State[None]:
    """Archive, probe and check the clips of a batch that a run has written into the ledger, then of others that wait.

    Buys nothing. Safe to start at any time, also twice: a batch that another worker has, or that is done, is left
    alone. It goes on with the batches of all runs of the same account, for 10 minutes, and ends when none waits.

    Args:
        batch: Id of the batch in the ledger to begin with. A run that hands clips over gives it.
        credentials: Name of the WaveSpeedCredentials block that its clips were bought with; never a key.
    """
    interrupts = Interrupts()
    try:
        session = SESSION.get() or await session_of_schedule(credentials)
        return _state_of(await work_through(batch, session, interrupts), interrupts)
    except FixInputError as error:
        return refused(error)
    except AnimaticError as error:
        return Failed(message=str(error).splitlines()[0])
    finally:
        if SESSION.get() is None:
            end_within(HOLDS_UP_S)


def _state_of(end: MediaEnd, interrupts: Interrupts) -> State[None]:
    if interrupts.is_stopped:
        return Cancelled(name="Interrupted", message=end.words)
    if end.is_failed:
        return Failed(message=end.words)
    return Completed(name="CompletedWithFailures" if end.has_failures else "Completed", message=end.words)
