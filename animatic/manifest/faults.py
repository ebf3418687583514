"""Faults of a manifest, worded so that a person can mend them: position, found, allowed."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from animatic.errors.text import escaped

MAX_REPORTED_FAULTS = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """Fault of one text, wherever the text stands.

    Attributes:
        rule: a few words that faults of the same sort share; they are counted by it.
        found: what was found, ready to print.
        allowed: what may stand there instead.
        hint: a question such as `did you mean "5s"?`, or None.
        summary: the words that a report has once for this and all others that share it; None where each is told.
    """

    rule: str
    found: str
    allowed: str
    hint: str | None = None
    summary: str | None = None

    @property
    def text(self) -> str:
        """The value that was found, and the allowed ones."""
        hint = "" if self.hint is None else f"; {self.hint}"
        return f"found {self.found}; allowed: {self.allowed}{hint}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a manifest, and where.

    Attributes:
        line: physical line, from 1, on which the row begins; None for Parquet, or where the whole file is meant.
        row: data row, from 1; None where the header or the whole file is meant.
        column: the column's name, `header` or `row`; None where the whole file is meant.
        rule, found, allowed, hint, summary: as in `Problem`.
        beside: more words for the place, such as the row of the sheet; None where the line says it.
    """

    line: int | None
    row: int | None
    column: str | None
    rule: str
    found: str
    allowed: str
    hint: str | None = None
    summary: str | None = None
    beside: str | None = None

    @property
    def text(self) -> str:
        """The fault without its place."""
        column = "" if self.column is None else f"{self.column}: "
        return column + Problem(self.rule, self.found, self.allowed, self.hint).text

    def told(self, name: str) -> str:
        """Return the fault as the report on the file `name` tells it."""
        place = position_of(name, self.line, self.row) + ("" if self.beside is None else f": {self.beside}")
        return f"{place}: {self.text if self.summary is None else f'{self.column}: {self.summary}'}"


def fault_at(line: int | None, row: int | None, column: str | None, bad: Problem, beside: str | None = None) -> Fault:
    """Return the fault that `bad` is at that position."""
    return Fault(line, row, column, bad.rule, bad.found, bad.allowed, bad.hint, bad.summary, beside)


def position_of(name: str, line: int | None, row: int | None) -> str:
    """`shots.csv:17`, `shots.parquet:row 17`, or the name alone."""
    if line is not None:
        return f"{name}:{line}"
    return name if row is None else f"{name}:row {row}"


class Faults:
    """The faults of one file in their order: the first 50 themselves, of the rest how many of each rule there are."""

    __slots__ = ("_summaries", "_summed_up", "has_header_faults", "rest", "shown")

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.shown: list[Fault] = []
        self.rest: Counter[str] = Counter()
        self.has_header_faults = False
        self._summaries: set[str] = set()
        self._summed_up = 0
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Add the next fault."""
        self.has_header_faults = self.has_header_faults or fault.row is None
        if fault.summary is not None and fault.summary in self._summaries:
            self._summed_up += 1
            return
        self._summaries.update(() if fault.summary is None else (fault.summary,))
        if len(self.shown) < MAX_REPORTED_FAULTS:
            self.shown.append(fault)
        else:
            self.rest[fault.rule] += 1

    def __len__(self) -> int:
        return len(self.shown) + self.rest.total() + self._summed_up


def report(faults: Iterable[Fault] | Faults, name: str) -> str:
    """Return the faults of the file `name` for stderr, one a line, in order; after 50, the rest counted by rule."""
    found = faults if isinstance(faults, Faults) else Faults(faults)
    shown, rest = escaped(name, 200), found.rest
    lines = [fault.told(shown) for fault in found.shown]
    if rest:
        counted = ", ".join(f"{count:,} x {rule}" for rule, count in rest.most_common())
        lines.append(f"{shown}: and {rest.total():,} more: {counted}")
    return "\n".join(lines)
