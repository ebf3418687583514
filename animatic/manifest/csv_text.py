"""CSV as people really have it, into rows of text with the line on which each begins.

UTF-8 with or without a byte order mark; comma, semicolon or tab, found from the header; any line ends; quoted
newlines; blank lines anywhere. Refuses the whole file where going on would mean guessing: bytes that are not UTF-8,
a quote that is never closed. A row with the wrong number of cells is a fault of that row alone.
"""

import codecs
import csv
import io
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa

from animatic.errors import ManifestError
from animatic.manifest.faults import Problem, fault_at, report
from animatic.manifest.header import COLUMNS, MAX_COLUMNS, name_faults, normalised
from animatic.manifest.rows import CHARS_PER_BATCH, ROWS_PER_BATCH, Rows
from animatic.text import escaped

DELIMITERS = (",", ";", "\t")
MAX_ROWS = 1_000_000
MAX_CELL_CHARS = 1 << 20
MAX_LINE_CHARS = 4 << 20
BROKEN = pa.field("", pa.struct([(name, pa.string()) for name in ("rule", "found", "allowed", "hint")]))
"""The last column of a batch from CSV: what is wrong with the shape of the row, a `Problem`, or null."""

_BYTES_PER_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class CsvText:
    """Contents of a CSV file without its rows. `lines[i]` is the line, from 1, on which data row `i + 1` begins."""

    schema: pa.Schema
    header_line: int
    lines: Sequence[int]


def read_csv(name: str, file: BinaryIO, rows: Rows) -> CsvText:
    """Read the rows of a file into `rows`, every column as text, and `BROKEN` as the last column.

    A row with too many cells is cut, one with too few ends in nulls. Raises ManifestError where the file cannot be
    read as a whole.
    """
    _require_utf8(name, file)
    old_limit = csv.field_size_limit(MAX_CELL_CHARS)
    try:
        return _read(name, file, rows)
    finally:
        csv.field_size_limit(old_limit)


def whole_file_error(name: str, bad: Problem, line: int | None = None, column: str | None = None) -> ManifestError:
    """One fault that leaves nothing else to check."""
    return ManifestError(report([fault_at(line, None, column, bad)], name))


def _read(name: str, file: BinaryIO, rows: Rows) -> CsvText:
    delimiter = _delimiter_of(name, file)
    text = _Text(name, file)
    records = _records(text, delimiter)
    header_line, header = next(records, (1, []))
    columns = [cell.strip() for cell in header]
    # Spreadsheets export empty columns to the right of the table; they are dropped while nothing stands in them.
    kept = [index for index, column in enumerate(columns) if column]
    faults = name_faults([columns[index] for index in kept], header_line)
    if not columns:
        raise whole_file_error(name, Problem("empty file", "an empty file", "a header line and at least one row"))
    if faults:
        raise ManifestError(report(faults, name), len(faults))
    table = _Table(columns, kept, rows)
    for line, cells in records:
        if len(table.lines) == MAX_ROWS:
            raise whole_file_error(
                name, Problem("too many rows", f"more than {MAX_ROWS:,} rows", f"up to {MAX_ROWS:,}")
            )
        table.add(line, cells)
        if table.pending == ROWS_PER_BATCH or text.chars >= CHARS_PER_BATCH:
            table.flush()
            text.chars = 0
    table.flush()
    return CsvText(table.schema, header_line, table.lines)


class _Table:
    """Rows on their way into Arrow, a batch at a time, so that Python holds few of them at once."""

    def __init__(self, columns: Sequence[str], kept: Sequence[int], rows: Rows) -> None:
        self.lines: array[int] = array("q")
        self.pending = 0
        self.schema = pa.schema([(columns[index], pa.string()) for index in kept])
        self._width = len(columns)
        self._kept = kept
        self._unnamed = [index for index in range(self._width) if index not in set(kept)]
        self._rows = rows
        self._cells: list[str | None] = []  # row by row in one list, which costs the garbage collector nothing
        self._bads: dict[int, Problem] = {}

    def add(self, line: int, cells: list[str]) -> None:
        """One data row that begins on `line`."""
        width = self._width
        if len(cells) != width or self._unnamed:
            bad = self._bad_shape(cells)
            if bad is not None:
                self._bads[self.pending] = bad
            cells = cells[:width]
        self.lines.append(line)
        self.pending += 1
        self._cells += cells
        if len(cells) < width:
            self._cells += [None] * (width - len(cells))

    def flush(self) -> None:
        """Put what is there into a batch."""
        if not self.pending:
            return
        arrays = [pa.array(self._cells[index :: self._width], pa.string()) for index in self._kept]
        arrays.append(self._broken())
        self._rows.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema.append(BROKEN)))
        self._cells.clear()
        self._bads.clear()
        self.pending = 0

    def _bad_shape(self, cells: Sequence[str]) -> Problem | None:
        if len(cells) != self._width:
            found = f"{len(cells):,} cell{'' if len(cells) == 1 else 's'}"
            hint = "is a cell that holds the delimiter without its quotes?" if len(cells) > self._width else None
            return Problem("wrong number of cells", found, f"{self._width:,}, as in the header", hint)
        for index in self._unnamed:
            if cells[index].strip():
                found = f'"{escaped(cells[index])}" in column {index + 1}, which has no name'
                return Problem("cell without a column", found, "cells below a column name only")
        return None

    def _broken(self) -> pa.Array:
        if not self._bads:
            return pa.nulls(self.pending, BROKEN.type)
        bads = [self._bads.get(index) for index in range(self.pending)]
        reasons = [
            bad and {"rule": bad.rule, "found": bad.found, "allowed": bad.allowed, "hint": bad.hint} for bad in bads
        ]
        return pa.array(reasons, BROKEN.type)


class _Text:
    """The physical lines of a file with their ends, whichever they are. A line that could fill the memory is refused.

    Attributes:
        name: the file's, for errors.
        chars: how many were given out; the reader may set it back.
    """

    def __init__(self, name: str, file: BinaryIO, most_bytes: int = sys.maxsize) -> None:
        self.name = name
        self.chars = 0
        file.seek(0)
        start: Any = _Kept(file, most_bytes)
        self._stream = io.TextIOWrapper(start, encoding="utf-8-sig", newline="")

    def __iter__(self) -> Iterator[str]:
        lines = iter(partial(self._stream.readline, MAX_LINE_CHARS + 1), "")
        for number, line in enumerate(lines, start=1):
            self.chars += len(line)
            if len(line) > MAX_LINE_CHARS:
                bad = Problem("long line", f"a line of more than {MAX_LINE_CHARS:,} characters", "shorter lines")
                raise whole_file_error(self.name, bad, number)
            yield line


class _Kept(io.RawIOBase):
    """The first `most` bytes of a file, which stays open when a reader of it is thrown away."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        super().__init__()
        self._file, self._left = file, most

    def readable(self) -> bool:
        """Return True."""
        return True

    def read1(self, size: int) -> bytes:
        """Return the next bytes, none at the end. A text reader calls it."""
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


def _records(text: _Text, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, the header first, with the line on which it begins."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells and (cells[0].strip() or any(cell.strip() for cell in cells)):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise whole_file_error(text.name, _bad_syntax(str(error)), line, "row") from None


def _bad_syntax(message: str) -> Problem:
    if "end of data" in message:
        hint = 'a quote inside a quoted cell is written twice: ""'
        return Problem("unclosed quote", "a quote that opens in this row and is never closed", "closed quotes", hint)
    if "field limit" in message:
        return Problem("long cell", f"a cell of more than {MAX_CELL_CHARS:,} characters", f"up to {MAX_CELL_CHARS:,}")
    found = "a quoted cell that goes on after its closing quote"
    hint = 'a quote inside a quoted cell is written twice: ""'
    return Problem("bad quoting", found, "the delimiter or the end of the line after a closing quote", hint)


def _delimiter_of(name: str, file: BinaryIO) -> str:
    """Return the delimiter that finds most of our columns in the header; failing that, most cells."""
    best, best_score = ",", (-1, -1)
    errors: list[ManifestError] = []
    for delimiter in DELIMITERS:
        try:
            _, header = next(_records(_Text(name, file, MAX_LINE_CHARS * 2), delimiter), (1, []))
        except (ManifestError, UnicodeDecodeError) as error:
            errors += [error] if isinstance(error, ManifestError) else []
            continue
        score = (sum(normalised(cell) in COLUMNS for cell in header), min(len(header), MAX_COLUMNS))
        if score > best_score:
            best, best_score = delimiter, score
    if best_score == (-1, -1) and errors:
        raise errors[0]
    return best


def _require_utf8(name: str, file: BinaryIO) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    start, ends, last = 0, 0, b""
    while True:
        chunk = file.read(_BYTES_PER_CHUNK)
        pending = decoder.getstate()[0]
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            at = error.start - len(pending)  # in the chunk; below 0 in what was left of the one before
            line = 1 + ends + _line_ends(last, chunk[: max(at, 0)])
            found = f"the byte 0x{(pending + chunk)[error.start]:02X} at byte offset {start + at:,}, which is not UTF-8"
            hint = "was it saved as Windows-1252 or Latin-1? save it as UTF-8"
            raise whole_file_error(name, Problem("not UTF-8", found, "UTF-8 text", hint), line) from None
        if not chunk:
            return
        ends += _line_ends(last, chunk)
        start, last = start + len(chunk), chunk[-1:]


def _line_ends(before: bytes, data: bytes) -> int:
    """Count the lines that end in `data`, which follows the byte `before`: with LF, CR, or both as one."""
    pairs = data.count(b"\r\n") + (before == b"\r" and data.startswith(b"\n"))
    return data.count(b"\n") + data.count(b"\r") - pairs
