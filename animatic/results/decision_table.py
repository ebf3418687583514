"""The table of decisions as it stands in its file: read, changed row by row and written back. Pure.

A spreadsheet may have saved it: its delimiter, byte order mark, own columns and the order of rows are kept. Text is
written in NFC with LF as the line end, and with the marks that keep a spreadsheet from running it as a formula.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from unicodedata import normalize

import pyarrow as pa
import pyarrow.csv as pacsv

from animatic.errors import LocationError
from animatic.errors.text import quoted
from animatic.results.csv_cells import open_csv
from animatic.results.decisions import COLUMNS, Decision, Decisions, decision_of, require_columns
from animatic.results.foreign_decisions import find_foreign
from animatic.results.formulas import neutralise

MAX_BYTES = 64 << 20
MAX_ROWS = 400_000
MAX_TEXT_CHARS = 20_000
"""The most characters of one cell that is written."""

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DecisionTable:
    """Rows of the file, with all their columns.

    Attributes:
        name: of the file, for messages.
        columns: as the file calls them.
        rows: texts, as many as there are columns.
        delimiter, has_mark, is_declared: form of the file: what parts its cells, whether a byte order mark and a line
            such as `sep=;` come first.
        system: the review system that has exported it; such a file is read, and not written. Empty for one of ours.
        notes: lines for people on what an export holds that is no decision.
    """

    name: str
    columns: tuple[str, ...] = COLUMNS
    rows: tuple[Cells, ...] = ()
    delimiter: str = ","
    has_mark: bool = False
    is_declared: bool = False
    system: str = ""
    notes: tuple[str, ...] = ()

    @property
    def decisions(self) -> Decisions:
        """The decisions in it. Raises LocationError: one is none of those allowed."""
        rows = tuple(self._decision(number, row) for number, row in enumerate(self.rows, 1))
        return Decisions(rows, self.notes)

    def _decision(self, number: int, row: Cells) -> Decision:
        return decision_of(f"{self.name}: row {number}", dict(zip(map(_known, self.columns), row, strict=True)))

    def changed(self, changes: Sequence[Decision]) -> "DecisionTable":
        """Return the table with these decisions in it; all other rows stay as they are.

        A decision replaces the one on the same take and frame; a take is known by its fingerprint, and by `shot_id` and
        `take` in rows without one. It keeps its place, unless a later row is about the same take: then it goes to the
        end, since the last one counts. A decision without any content removes the row, or clears it where other columns
        hold something.

        Raises:
            LocationError: a text is too long, or none that a file can hold; or it is an export of another system.
        """
        if self.system:
            raise LocationError(
                f"{self.name}: an export of {self.system} is only read; give another file for decisions"
            )
        columns = self.columns + tuple(name for name in COLUMNS if name not in map(_known, self.columns))
        blanks = ("",) * (len(columns) - len(self.columns))
        rows: list[Cells | None] = [row + blanks for row in self.rows]
        whole = replace(self, columns=columns)
        at: dict[tuple[str, ...], list[int]] = {}
        for index, row in enumerate(self.rows):
            for key in _keys(whole._decision(index + 1, row + blanks)):  # noqa: SLF001 - of its own kind
                at.setdefault(key, []).append(index)
        for change in map(_checked, changes):
            indices = sorted({index for key in _keys(change) for index in at.get(key, ()) if rows[index] is not None})
            found = [(index, whole._decision(0, rows[index] or ())) for index in indices]  # noqa: SLF001
            about = [index for index, row in found if _may_be_same(row, change)]
            same = [index for index, row in found if row.fingerprint == change.fingerprint]
            is_alone = about == same
            new = whole._written(change, rows[same[-1]] if same else None, is_alone=is_alone)  # noqa: SLF001
            place = same[-1] if same and about[-1] == same[-1] else len(rows)
            rows += [None] * (place == len(rows))
            for index in same:
                rows[index] = None
            rows[place] = new
            for key in _keys(change):
                at.setdefault(key, []).append(place)
        return replace(whole, rows=tuple(row for row in rows if row is not None))

    def _written(self, change: Decision, old: Cells | None, *, is_alone: bool) -> Cells | None:
        """Return the cells of a row with this decision; None where it holds nothing and undoes nothing."""
        cells = dict(zip(COLUMNS, self.cells_of(change), strict=True))
        before = old or ("",) * len(self.columns)
        of_others = [cell for name, cell in zip(self.columns, before, strict=True) if _known(name) not in cells]
        if is_alone and not any((change.decision, change.prompt, change.note, change.rating, *of_others)):
            return None
        return tuple(cells.get(_known(name), cell) for name, cell in zip(self.columns, before, strict=True))

    @staticmethod
    def cells_of(decision: Decision) -> Cells:
        """Return the cells of a decision in the columns of ours."""
        values = (getattr(decision, name) for name in COLUMNS)
        return tuple("" if value is None else str(value) for value in values)

    def encode(self) -> bytes:
        """Return the bytes of the file. Raises LocationError: it is too large."""
        if len(self.rows) > MAX_ROWS:
            raise LocationError(f"{self.name}: found {len(self.rows):,} rows; allowed: up to {MAX_ROWS:,}")
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.columns)
        texts = [neutralise(pa.array([cell or None for cell in column], pa.string())) for column in columns]
        names = neutralise(pa.array(self.columns, pa.string())).to_pylist()
        sink = io.BytesIO()
        sink.write(b"\xef\xbb\xbf" if self.has_mark else b"")
        sink.write(f"sep={self.delimiter}\n".encode() if self.is_declared else b"")
        options = pacsv.WriteOptions(delimiter=self.delimiter)
        pacsv.write_csv(pa.Table.from_arrays(texts, names=names), sink, options)
        if sink.tell() > MAX_BYTES:
            raise LocationError(f"{self.name}: found {sink.tell():,} bytes; allowed: up to {MAX_BYTES:,}")
        return sink.getvalue()


def read_table(data: bytes, name: str) -> DecisionTable:
    """Return the table in a file of decisions of this name.

    Raises:
        LocationError: it is no such table.
    """
    foreign = find_foreign(data, name)
    if foreign is not None:
        table = DecisionTable(name, (*COLUMNS, "storyboard"))
        found = tuple((*table.cells_of(each), each.storyboard) for each in foreign.rows)
        return replace(table, rows=found, system=foreign.system, notes=foreign.notes)
    try:
        cells = open_csv(io.BytesIO(data))
        _require_plain(name, cells.names)
        require_columns(name, [_known(column) for column in cells.names])
        pieces = list(cells.read(range(len(cells.names))))
    except LocationError:
        raise
    except Exception as error:  # noqa: BLE001 - Arrow and csv raise whatever they meet
        raise LocationError(f"{name}: no table of decisions in CSV: {error}; save it as CSV in UTF-8") from None
    rows: list[Cells] = []
    for piece in pieces:
        columns = [[cell or "" for cell in column.to_pylist()] for column in piece.columns]
        rows += [row for row in zip(*columns, strict=True) if any(cell.strip() for cell in row)]
        if len(rows) > MAX_ROWS:
            raise LocationError(f"{name}: found more than {MAX_ROWS:,} rows; allowed: up to {MAX_ROWS:,}")
    is_marked = data.startswith(_BYTE_ORDER_MARKS)
    return DecisionTable(name, tuple(cells.names), tuple(rows), cells.delimiter, is_marked, cells.lines_above > 0)


def _require_plain(name: str, columns: Sequence[str]) -> None:
    """Refuse two columns that mean the same one of ours. Raises LocationError."""
    known = [_known(column) for column in columns]
    twice = [column for column in COLUMNS if known.count(column) > 1]
    if twice:
        raise LocationError(f"{name}: found two columns named {twice[0]}; rename one of them")


def _known(column: str) -> str:
    """Return the name of ours that a column's name means: `Shot ID` is `shot_id`; else the name itself."""
    plain = column.strip().lower().replace(" ", "_").replace("-", "_")
    return plain if plain in COLUMNS else column


def _keys(decision: Decision) -> list[tuple[str, ...]]:
    """Return the ways in which rows name the take and the frame of a decision."""
    frame = "" if decision.frame is None else str(decision.frame)
    keys: list[tuple[str, ...]] = [("fingerprint", decision.fingerprint, frame)] if decision.fingerprint else []
    if decision.shot_id and decision.take is not None:
        keys.append(("name", normalize("NFC", decision.shot_id), str(decision.take), frame))
    return keys


def _may_be_same(row: Decision, change: Decision) -> bool:
    """Tell if two decisions that share a name may be on one take: another fingerprint is another version's."""
    return row.fingerprint == change.fingerprint or not (row.fingerprint and change.fingerprint)


def _checked(change: Decision) -> Decision:
    """Return a decision as it is written. Raises LocationError for a text that no file can hold."""
    texts: dict[str, Any] = {
        name: _text(name, getattr(change, name))
        for name in ("shot_id", "fingerprint", "decision", "prompt", "note", "rating", "decided_at")
    }
    return Decision(take=change.take, frame=change.frame, storyboard=change.storyboard, **texts)


def _text(name: str, text: str) -> str:
    plain = normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    if len(plain) > MAX_TEXT_CHARS:
        raise LocationError(f"{name}: found {len(plain):,} characters; allowed: up to {MAX_TEXT_CHARS:,}")
    bad = next((char for char in plain if char == "\0" or "\ud800" <= char <= "\udfff"), None)
    if bad is not None:
        raise LocationError(f"{name}: found {quoted(plain)}, which holds a character that no file can hold; remove it")
    return plain
