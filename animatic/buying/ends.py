"""The steps of takes' lives, as a batch hears of them, and their ends."""

from collections.abc import Callable
from dataclasses import dataclass

from animatic.takes.states import State

Log = Callable[[str], None]


def silent(_line: str) -> None:
    """Log nothing."""


@dataclass(frozen=True, slots=True)
class TakeLog:
    """Hears of a take's life.

    Attributes:
        line: gets each step in words.
        started: called once the take has waited long enough: it has its slot and its start, or is in flight already.
    """

    line: Log = silent
    started: Callable[[], None] = lambda: None


SILENT = TakeLog()
"""For batches too large to follow take by take."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a take in this run: its state, and why it is not completed; None where it is left to the next run."""

    state: State | None
    error: str = ""
