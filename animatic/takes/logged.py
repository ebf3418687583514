"""The take that log lines are about, as the code that logs them runs: a context variable, read by the form of a log.

It does no I/O, and costs a run that logs plain text next to nothing.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from animatic.takes.shots import Take


@dataclass(slots=True)
class LoggedTake:
    """A take, and its prediction once that is known."""

    take: Take
    prediction_id: str | None = None


LOGGED: ContextVar[LoggedTake | None] = ContextVar("animatic_logged_take", default=None)


def logged(take: Take) -> None:
    """Let the lines of this coroutine, and of all that it starts from now on, be about a take."""
    known = LOGGED.get()
    if known is None or known.take is not take:
        LOGGED.set(LoggedTake(take))


def note_prediction(prediction_id: str) -> None:
    """Let them be about its prediction too."""
    known = LOGGED.get()
    if known is not None:
        known.prediction_id = prediction_id
