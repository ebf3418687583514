"""Events of a run that a person may want to hear of, for Prefect's automations to send on.

Prefect's own events say how a run ended. These say what its state does not: that takes are held, that a budget is
reached, that an approval is wanted, that a manifest of an inbox could not be run. An event that cannot be sent
changes nothing.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from prefect.context import FlowRunContext
from prefect.events import emit_event

from animatic.errors.text import one_line

APPROVAL_WANTED = "animatic.approval.wanted"
TAKES_HELD = "animatic.takes.held"
BUDGET_REACHED = "animatic.budget.reached"
REPORT_WRITTEN = "animatic.report.written"
MOST_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Speaker:
    """The flow run that news are about, and what their texts begin with."""

    context: FlowRunContext | None
    begins: str = ""


_SPEAKER: ContextVar[Speaker | None] = ContextVar("SPEAKER", default=None)
"""Flow run that speaks for those inside it, which are of no deployment. None: each speaks for itself."""


@contextmanager
def speaking_for_others(begins: str) -> Generator[None]:
    """Have this flow run speak for those that the block runs; their texts begin with this."""
    token = _SPEAKER.set(Speaker(FlowRunContext.get(), begins))
    try:
        yield
    finally:
        _SPEAKER.reset(token)


def is_spoken_for() -> bool:
    """Tell if another flow run speaks for this one."""
    return _SPEAKER.get() is not None


def alert(event: str, text: str, warn: Callable[[str], None]) -> None:
    """Emit an event about this flow run, or the one that speaks for it, if that is of a deployment. Raises nothing."""
    speaker = _SPEAKER.get() or Speaker(FlowRunContext.get())
    context = speaker.context
    run = None if context is None else context.flow_run
    if context is None or run is None or run.deployment_id is None:
        return
    try:
        emit_event(
            event=event,
            resource={"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name},
            related=[
                _related("flow", run.flow_id, context.flow.name if context.flow else ""),
                _related("deployment", run.deployment_id),
            ],
            payload={"text": one_line(f"{speaker.begins}{text}", MOST_CHARS)},
        )
    except Exception as error:  # noqa: BLE001 - see above
        warn(f"Prefect could not be told of {event}: {type(error).__name__}")


def _related(kind: str, of: object, name: str = "") -> dict[str, str]:
    named = {"prefect.resource.name": name} if name else {}
    return {"prefect.resource.id": f"prefect.{kind}.{of}", "prefect.resource.role": kind, **named}
