"""Records of cells into rows of text: what CSV, workbooks and JSON Lines share once they are read.

The first record is the header. A nameless column that only counts the rows is dropped, and a heading (a row with one
cell, and none of what makes a shot) is skipped; both are noted. Every other oddity in the shape of a row is its fault.
"""

import itertools
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from animatic.errors import ManifestError
from animatic.errors.text import escaped
from animatic.manifest.faults import Problem, fault_at, report
from animatic.manifest.header import REQUIRED_COLUMNS, name_faults, names_of, names_required
from animatic.manifest.rows import CHARS_PER_BATCH, ROWS_PER_BATCH, Rows

MAX_ROWS = 1_000_000
BROKEN = pa.field("", pa.struct([(name, pa.string()) for name in ("rule", "found", "allowed", "hint")]))
"""The last column of a batch of text: what is wrong with the shape of the row, a `Problem`, or null."""

LINES_ABOVE = 10
"""So many records are searched for the header where the first is none."""

MOST_LINES_NAMED = 10
EXCEL_BLOCK_ROWS = 16
"""Source: Microsoft's article on missing delimiters in text files that Excel saves."""

_HALF = re.compile("[\ud800-\udfff]")
_OF_A_SHOT = (*REQUIRED_COLUMNS, "shot_id", "start_from")

Records = Iterator[tuple[int, int, list[str]]]
"""Each record that is not blank, the header first, with the line on which it begins and its row in a spreadsheet."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """Contents of a file of text without its rows.

    Attributes:
        lines: `lines[i]` is the line, from 1, on which data row `i + 1` begins.
        sheet_rows: the row of a spreadsheet that each is; None where those are the lines.
        notes: what was passed over, for people.
    """

    schema: pa.Schema
    header_line: int
    lines: Sequence[int]
    sheet_rows: Sequence[int] | None = None
    notes: Sequence[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Form:
    """Layout of a file.

    Attributes:
        unit: the name of one of its lines.
        leaves_cells_out: empty cells at the end of rows may be missing, as Excel saves them: in a block of 16 rows of
            the sheet none has more cells than its longest.
    """

    unit: str = "line"
    leaves_cells_out: bool = False


def number_text(value: float) -> str:
    """Return a number or a boolean as text: a spreadsheet's 5.0 is `5`, its true `true`."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def whole_file_error(name: str, bad: Problem, line: int | None = None, column: str | None = None) -> ManifestError:
    """One fault that leaves nothing else to check."""
    return ManifestError(report([fault_at(line, None, column, bad)], name))


def read_records(
    name: str,
    records: Records,
    rows: Rows,
    mapping: Mapping[str, str],
    form: Form = Form(),
) -> TextTable:
    """Read records into `rows`, every column as text, and `BROKEN` as the last column.

    A row with too many cells is cut, one with too few ends in nulls. Raises ManifestError where the file cannot be
    read as a whole.
    """
    header_line, _, header = next(records, (1, 1, []))
    found = [cell.strip() for cell in header]
    if not found:
        raise whole_file_error(name, Problem("empty file", "an empty file", "a header line and at least one row"))
    # Spreadsheets export empty columns to the right of the table; they are dropped while nothing stands in them.
    kept = [index for index, column in enumerate(found) if column]
    named = names_of([found[index] for index in kept], mapping)
    columns = list(found)
    for index, column in zip(kept, named.columns, strict=True):
        columns[index] = column
    if not names_required(named.columns):
        records = _require_header_above(name, records, mapping, form.unit)
    faults = [
        *name_faults(named.columns, header_line),
        *(fault_at(header_line, None, "header", bad) for bad in named.problems),
    ]
    if faults:
        raise ManifestError(report(faults, name), len(faults))
    table = _Table(columns, kept, rows, form)
    for line, sheet_row, cells in records:
        if len(table.lines) == MAX_ROWS:
            bad = Problem("too many rows", f"more than {MAX_ROWS:,} rows", f"up to {MAX_ROWS:,}")
            raise whole_file_error(name, bad)
        table.add(line, sheet_row, cells)
        if table.pending == ROWS_PER_BATCH or table.chars >= CHARS_PER_BATCH:
            table.flush()
    table.flush()
    sheet_rows = None if table.sheet_rows == table.lines else table.sheet_rows
    return TextTable(table.schema, header_line, table.lines, sheet_rows, [*named.notes, *table.notes()])


def _require_header_above(name: str, records: Records, mapping: Mapping[str, str], unit: str) -> Records:
    """Refuse a file whose header stands further down; return the records, none of them lost."""
    first = list(itertools.islice(records, LINES_ABOVE))
    for line, _, cells in first:
        if names_required(names_of([cell.strip() for cell in cells if cell.strip()], mapping).columns):
            hint = f"the header seems to be on {unit} {line}; remove the {unit}s above it"
            allowed = "a header that names image and prompt"
            bad = Problem(f"{unit}s above the header", f"other text on the first {unit}", allowed, hint)
            raise whole_file_error(name, bad, 1, "header")
    return itertools.chain(first, records)


class _Table:
    """Rows on their way into Arrow, a batch at a time, so that Python holds few of them at once."""

    def __init__(self, columns: Sequence[str], kept: Sequence[int], rows: Rows, form: Form) -> None:
        self.lines: array[int] = array("q")
        self.sheet_rows: array[int] = array("q")
        self.pending = 0
        self.schema = pa.schema([(columns[index], pa.string()) for index in kept])
        self._width = len(columns)
        self._kept = kept
        self._unnamed = [index for index in range(self._width) if index not in set(kept)]
        self._rows = rows
        self._cells: list[str | None] = []  # row by row in one list, which costs the garbage collector nothing
        self._problems: dict[int, Problem] = {}
        self.chars = 0
        self._of_a_shot = [index for index, column in enumerate(columns) if column in _OF_A_SHOT]
        self._storyboard = columns.index("storyboard") if "storyboard" in columns else None
        self._headings: list[int] = []
        self._counts: dict[int, int | None] = dict.fromkeys(
            self._unnamed
        )  # what is added to the row's number, if it only counts
        self._is_counted = False
        self._form = form
        self._block, self._widths, self._short = 0, set[int](), list[int]()  # of rows that Excel saves alike
        self._last_storyboard = ""
        self._below_filled = 0

    def add(self, line: int, sheet_row: int, cells: list[str]) -> None:
        """One data row that begins on `line`."""
        width = self._width
        if self._is_heading(cells):
            self._headings.append(line)
            return
        self._note_width(sheet_row, len(cells))
        if len(cells) != width or self._unnamed:
            bad = self._bad_shape(cells)
            if bad is not None:
                self._problems[self.pending] = bad
            cells = cells[:width]
        self._note_storyboard(cells)
        self.chars += sum(map(len, cells))
        self.lines.append(line)
        self.sheet_rows.append(sheet_row)
        self.pending += 1
        self._cells += cells
        if len(cells) < width:
            self._cells += [None] * (width - len(cells))

    def flush(self) -> None:
        """Put what is there into a batch."""
        if not self.pending:
            return
        self._end_block()
        try:
            arrays = [pa.array(self._cells[index :: self._width], pa.string()) for index in self._kept]
        except UnicodeEncodeError:
            self._refuse_halves()
            arrays = [pa.array(self._cells[index :: self._width], pa.string()) for index in self._kept]
        arrays.append(self._broken())
        self._rows.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema.append(BROKEN)))
        self._cells.clear()
        self._problems.clear()
        self.pending, self.chars = 0, 0

    def _refuse_halves(self) -> None:
        """Make half characters faults of their rows: JSON can write them, and no text in UTF-8 can hold them."""
        for at, cell in enumerate(self._cells):
            half = _HALF.search(cell) if cell is not None else None
            if half is not None:
                found = f"half a character (U+{ord(half[0]):04X}) in column {at % self._width + 1}"
                self._problems.setdefault(at // self._width, Problem("hidden character", found, "whole characters"))
                self._cells[at] = _HALF.sub("\ufffd", cell or "")

    def notes(self) -> list[str]:
        """Return what was passed over."""
        notes: list[str] = []
        if self._headings:
            lines = ", ".join(f"{line:,}" for line in self._headings[:MOST_LINES_NAMED])
            more = (
                f" and {len(self._headings) - MOST_LINES_NAMED:,} more"
                if len(self._headings) > MOST_LINES_NAMED
                else ""
            )
            notes.append(f"headings, rows with one cell only, were skipped: {self._form.unit} {lines}{more}")
        if self._is_counted:
            notes.append("a column without a name that only counts the rows was dropped")
        if self._below_filled:
            notes.append(
                f"storyboard: {self._below_filled:,} empty cells stand below filled ones (merged cells?); empty means "
                "the name of the file. Fill the cells where the name above was meant"
            )
        return notes

    def _is_heading(self, cells: Sequence[str]) -> bool:
        """Tell if just one cell is filled, and none that makes a shot."""
        for index in self._of_a_shot:
            if index < len(cells) and cells[index] and cells[index].strip():
                return False
        return bool(self._of_a_shot) and sum(bool(cell.strip()) for cell in cells) == 1

    def _note_storyboard(self, cells: Sequence[str]) -> None:
        if self._storyboard is None or self._storyboard >= len(cells):
            return
        if cells[self._storyboard].strip():
            self._last_storyboard = cells[self._storyboard]
        elif self._last_storyboard:
            self._below_filled += 1

    def _note_width(self, sheet_row: int, width: int) -> None:
        """Note how many cells a row has, among the rows that Excel saves alike."""
        block = (sheet_row - 1) // EXCEL_BLOCK_ROWS
        if block != self._block:
            self._end_block()
            self._block = block
            self._widths.clear()
        self._widths.add(width)
        if width < self._width:
            self._short.append(self.pending)

    def _end_block(self) -> None:
        """Forgive rows without their last cells, where all of a block are alike; the first has the header in it."""
        if self._short and self._form.leaves_cells_out and self._block and len(self._widths) == 1:
            for index in self._short:
                self._problems.pop(index, None)
        self._short.clear()

    def _only_counts(self, index: int, cell: str) -> bool:
        """Tell if a nameless cell is the row's number, from 0 or from 1, as in all rows before."""
        text = cell.strip().removesuffix(".0")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            return False
        offset = int(text) - len(self.lines)
        before = self._counts.get(index)
        if before is None and offset in {0, 1} and not len(self.lines):
            self._counts[index] = offset
        if self._counts.get(index) != offset:
            return False
        self._is_counted = True
        return True

    def _bad_shape(self, cells: Sequence[str]) -> Problem | None:
        if len(cells) != self._width:
            found = f"{len(cells):,} cell{'' if len(cells) == 1 else 's'}"
            hint = "is a cell that holds the delimiter without its quotes?" if len(cells) > self._width else None
            return Problem("wrong number of cells", found, f"{self._width:,}, as in the header", hint)
        for index in self._unnamed:
            if cells[index].strip() and not self._only_counts(index, cells[index]):
                found = f'"{escaped(cells[index])}" in column {index + 1}, which has no name'
                return Problem("cell without a column", found, "cells below a column name only")
        return None

    def _broken(self) -> pa.Array:
        if not self._problems:
            return pa.nulls(self.pending, BROKEN.type)
        problems = [self._problems.get(index) for index in range(self.pending)]
        reasons = [
            bad and {"rule": bad.rule, "found": bad.found, "allowed": bad.allowed, "hint": bad.hint} for bad in problems
        ]
        return pa.array(reasons, BROKEN.type)
