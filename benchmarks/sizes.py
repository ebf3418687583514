"""Size of a part: what the command line may make smaller. None means the part's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Sizes:
    """Overrides of a part's own sizes."""

    only: tuple[str, ...] = ()
    takes: int | None = None
    in_flight: int | None = None
    median_s: float | None = None
    rounds: int | None = None
    rows: tuple[int, ...] = ()
    against: Path | None = None

    @property
    def are_changed(self) -> bool:
        """True if any was given: then the figures are not those of the page."""
        return self != Sizes()


Result = dict[str, Any]
"""Findings of a part, as JSON has them."""


def say(line: str) -> None:
    """Progress."""
    print(line, flush=True)
