"""Decisions of people on takes: rows of `decisions.csv`, which page, server and spreadsheet write alike. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from unicodedata import normalize

from animatic.errors import LocationError
from animatic.errors.text import escaped, quoted
from animatic.takes.chains import Choices

APPROVED, RETAKE, DISCARDED = "approved", "retake", "discarded"
DECISIONS = (APPROVED, RETAKE, DISCARDED)
DECISIONS_NAME = "decisions.csv"
"""Name of the file beside results, where no other is given."""

COLUMNS: tuple[str, ...] = (
    *("shot_id", "take", "fingerprint", "decision", "prompt", "note", "frame", "rating", "decided_at"),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of the file.

    Attributes:
        take: number of the take; None where it is not given.
        decision: `approved`, `retake`, `discarded`, or empty.
        prompt: the new prompt of a retake; empty for the same again.
        frame: which frame of the clip the note is about, from 0; None where the row is about the take.
        rating: as it was written.
        decided_at: moment in ISO 8601, as it was written; empty where it is not given.
        storyboard: the shot's, where shots of several have one name; empty where it is not given.
        is_early: its moment was still to come when it was read: it counts as not known.
    """

    shot_id: str
    take: int | None
    fingerprint: str
    decision: str = ""
    prompt: str = ""
    note: str = ""
    frame: int | None = None
    rating: str = ""
    decided_at: str = ""
    storyboard: str = ""
    is_early: bool = False

    @property
    def moment(self) -> datetime | None:
        """Time at which it was made; UTC where it names no zone, None where that is only a day, or cannot be read."""
        return None if self.is_early else self._written_moment

    @property
    def stamp(self) -> str:
        """Its time, without blanks, by which it is known again even if a clock was wrong; empty where it has none."""
        written = self._written_moment
        return "" if written is None else written.isoformat()

    @property
    def _written_moment(self) -> datetime | None:
        if len(self.decided_at) <= len("2026-11-27"):
            return None
        try:
            found = datetime.fromisoformat(self.decided_at)
        except ValueError:
            return None
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions on takes, as they stand in the file; later ones on a take replace earlier ones.

    Attributes:
        notes: lines for people on what could not be read as a decision.
    """

    rows: Sequence[Decision] = field(default=())
    notes: tuple[str, ...] = ()

    def as_of(self, now: datetime) -> "Decisions":
        """Return the decisions with moments that are still to come left out: a clock was wrong where they were made.

        Otherwise each take that answers one of them would seem older than it, and be asked for again.
        """
        wrong = {number for number, row in enumerate(self.rows) if row.moment is not None and row.moment > now}
        rows = [replace(row, is_early=True) if number in wrong else row for number, row in enumerate(self.rows)]
        notes = [
            f"{named(self.rows[number])}: decided_at: found {quoted(self.rows[number].decided_at)}, which is still to "
            "come; it counts as not known"
            for number in sorted(wrong)
        ]
        return replace(self, rows=tuple(rows), notes=(*self.notes, *notes)) if wrong else self

    def choices(self, *, is_followed: bool = False) -> Choices:
        """Return which takes were approved and discarded: by fingerprint, or by shot_id and number without one."""
        by_take: dict[str | tuple[str, int], str] = {}
        row_of: dict[str | tuple[str, int], int] = {}
        for number, row in enumerate(self.rows):
            if row.frame is not None:
                continue
            take = row.fingerprint or (None if row.take is None else (normalize("NFC", row.shot_id), row.take))
            if take is not None:
                by_take[take], row_of[take] = row.decision, number
        approved, discarded = (
            frozenset(take for take, decision in by_take.items() if decision == wanted)
            for wanted in (APPROVED, DISCARDED)
        )
        return Choices(approved, discarded, is_followed, row_of)


def require_columns(name: str, names: Sequence[str]) -> None:
    """Refuse a table that cannot hold decisions.

    Raises:
        LocationError: columns are missing.
    """
    has_take = "fingerprint" in names or {"shot_id", "take"} <= set(names)
    if not has_take or "decision" not in names:
        raise LocationError(
            f"{name}: found the columns {', '.join(map(quoted, names[:12]))}; allowed: decision, and fingerprint or "
            "shot_id and take"
        )


def decision_of(name: str, row: Mapping[str, str | None]) -> Decision:
    """Return the decision in a row of a file called `name`.

    Raises:
        LocationError: it is none of those allowed, or its take or frame is no whole number.
    """
    cells = {column: (row.get(column) or "").strip() for column in COLUMNS}
    spoilt = next((column for column, cell in cells.items() if "\0" in cell), None)
    if spoilt is not None:
        raise LocationError(f"{name}: {spoilt}: found a NUL character; allowed: text without one")
    decision = cells["decision"].lower()
    if decision not in {"", *DECISIONS}:
        raise LocationError(f"{name}: decision: found {quoted(decision)}; allowed: {', '.join(DECISIONS)}, or nothing")
    return Decision(
        row.get("shot_id") or "",
        _whole(name, "take", cells["take"]),
        cells["fingerprint"],
        decision,
        cells["prompt"],
        cells["note"],
        _whole(name, "frame", cells["frame"]),
        cells["rating"],
        cells["decided_at"],
        row.get("storyboard") or "",
    )


def named(decision: Decision) -> str:
    """Return the take of a decision as people know it: `a take 2`, or the start of its fingerprint."""
    if not decision.shot_id:
        return escaped(decision.fingerprint, 12) or "a row without a name"
    return escaped(decision.shot_id) + ("" if decision.take is None else f" take {decision.take}")


def _whole(name: str, column: str, cell: str) -> int | None:
    digits = cell.removesuffix(".0").removesuffix(",0")
    if not digits:
        return None
    if not digits.isdecimal() or len(digits) > 9:
        raise LocationError(f"{name}: {column}: found {quoted(cell)}; allowed: a whole number, or nothing")
    return int(digits)
