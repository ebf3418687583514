"""Decisions that several people change at once: a page through its server, a spreadsheet, another page.

The file is read again before each change. A change is refused where the rows that it is about are others by now than
the page that made it has seen; changes of all other rows are put into the file as it is.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from animatic.errors import LocationError
from animatic.results.decision_files import DecisionFile, Saved, load_decisions, save_decisions
from animatic.results.decisions import COLUMNS, Decision, decision_of

MOST_CHANGES = 5_000
MOST_REMEMBERED = 64
"""States that pages may have seen. One that is older counts as unseen, and a change made from it as a conflict."""

SAVES_AGAIN = 5
_JSON = "the decisions that were sent"


@dataclass(frozen=True, slots=True)
class State:
    """The file of decisions at one time.

    Attributes:
        etag: another one after each change.
        conflicts: places, among the changes sent, of those that were refused together with all others.
    """

    file: DecisionFile
    conflicts: tuple[int, ...] = ()

    @property
    def etag(self) -> str:
        """The mark of this state."""
        return self.file.sha256

    @property
    def as_dict(self) -> dict[str, Any]:
        """The state as JSON says it: columns and rows as they stand in the file, as text."""
        table = self.file.table
        said = {"etag": self.etag, "columns": list(table.columns), "rows": [list(row) for row in table.rows]}
        return {**said, "conflicts": list(self.conflicts)} if self.conflicts else said


class SharedDecisions:
    """One file of decisions. All methods block, and may be called from several threads."""

    def __init__(self, uri: str) -> None:
        self._uri, self._lock = uri, threading.Lock()
        self._seen: dict[str, tuple[Decision, ...]] = {}

    def read(self) -> State:
        """Return the file as it is. Raises LocationError: it is no table of decisions that can be read."""
        with self._lock:
            return State(self._remembered(load_decisions(self._uri)))

    def change(self, changes: Sequence[Decision], etag: str) -> State:
        """Put changes into the file, or none of them where one is in conflict; return the file as it is then.

        Args:
            changes: made by a page.
            etag: of the state that the page has seen.

        Raises:
            LocationError: the file cannot be read or written, or a change cannot be kept.
        """
        with self._lock:
            for _ in range(SAVES_AGAIN):
                now = self._remembered(load_decisions(self._uri))
                conflicts = tuple(conflicts_of(changes, self._seen.get(etag), self._seen[now.sha256]))
                if conflicts:
                    return State(now, conflicts)
                saved = save_decisions(self._uri, changes, read_sha256=now.sha256)
                if isinstance(saved, Saved):
                    return State(self._remembered(saved.file))
        raise LocationError(f"{self._uri}: another program keeps changing it; save again once it is done")

    def _remembered(self, file: DecisionFile) -> DecisionFile:
        self._seen.pop(file.sha256, None)
        self._seen[file.sha256] = tuple(file.decisions.rows)
        while len(self._seen) > MOST_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return file


def conflicts_of(
    changes: Sequence[Decision], seen: Sequence[Decision] | None, now: Sequence[Decision]
) -> Iterator[int]:
    """Yield the places of changes whose rows are others now than were seen; all of them where nothing was seen."""
    for place, change in enumerate(changes):
        if seen is None or _about(change, seen) != _about(change, now):
            yield place


def _about(change: Decision, rows: Sequence[Decision]) -> list[Decision]:
    """Return the rows on the take and frame of a change."""
    return [row for row in rows if row.frame == change.frame and _is_same_take(row, change)]


def _is_same_take(row: Decision, change: Decision) -> bool:
    if row.fingerprint and change.fingerprint:
        return row.fingerprint == change.fingerprint
    return row.take == change.take and normalize("NFC", row.shot_id) == normalize("NFC", change.shot_id)


def changes_in(value: Any) -> list[Decision]:
    """Return the changes in parsed JSON: a list of objects, whose names are columns of the file.

    Raises:
        LocationError: it is anything else.
    """
    if not isinstance(value, list) or len(value) > MOST_CHANGES:  # pyright: ignore[reportUnknownArgumentType]
        raise LocationError(f"{_JSON}: allowed: a list of up to {MOST_CHANGES:,} rows")
    rows: list[Any] = value
    return [decision_of(_JSON, _cells(row)) for row in rows]


def _cells(row: Any) -> Mapping[str, str]:
    if not isinstance(row, dict) or not {*row} <= {*COLUMNS}:  # pyright: ignore[reportUnknownArgumentType]
        raise LocationError(f"{_JSON}: allowed: objects with some of {', '.join(COLUMNS)}")
    cells: dict[str, Any] = row
    if not all(value is None or isinstance(value, str | int) for value in cells.values()):
        raise LocationError(f"{_JSON}: allowed: texts and whole numbers")
    return {name: "" if value is None else str(value) for name, value in cells.items()}
