"""Figures of one part of the proof."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

COUNTED = ("points", "faults_fired", "accepted", "duplicates", "lost", "unknown", "unreported")


@dataclass(slots=True)
class Part:
    """One part of the proof.

    Attributes:
        points: how often something was done to the product: kills, seeds, mutations, cases.
        faults_fired: how many of them really happened; a part in which none did proves nothing.
        accepted: submissions that the witness saw.
        duplicates: takes that were bought more often than anybody allowed.
        lost: manifest rows or takes that have no state and reason in the end.
        unknown: takes that ended unknown or held; they are reported, so this is no fault.
        unreported: accepted submissions that neither a take, a candidate nor an orphan report names.
        searched_bytes: how much of what it left behind was searched for the key.
        problems: anything else that is wrong, a sentence each.
    """

    name: str
    points: int = 0
    faults_fired: int = 0
    accepted: int = 0
    duplicates: int = 0
    lost: int = 0
    unknown: int = 0
    unreported: int = 0
    searched_bytes: int = 0
    seconds: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    problems: list[str] = field(default_factory=list[str])

    @property
    def is_green(self) -> bool:
        """True if something was tried and nothing is wrong."""
        is_clean = not (self.problems or self.duplicates or self.lost or self.unreported)
        return is_clean and self.points > 0 and self.faults_fired > 0

    def add(self, other: "Part") -> None:
        """Count another part of the same kind in."""
        for name in (*COUNTED, "searched_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.problems += other.problems


def as_table(parts: list[Part]) -> str:
    """The table that `make torture` prints and the documentation quotes."""
    head = ["part", "points", "faults fired", "accepted", "bought twice", "lost", "unknown, told", "unreported", "s"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for part in parts:
        figures = [f"{getattr(part, name):,}" for name in COUNTED]
        lines.append("| " + " | ".join([part.name, *figures, f"{part.seconds:.0f}"]) + " |")
    return "\n".join(lines)


def parts_of(report: Mapping[str, Any]) -> list[Part]:
    """The parts in reliability.json."""
    known = {each.name for each in fields(Part)}
    return [Part(**{name: value for name, value in each.items() if name in known}) for each in report["parts"]]
