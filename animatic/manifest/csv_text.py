"""CSV as people really have it, into rows of text with the line on which each begins.

UTF-8 with or without a byte order mark; comma, semicolon or tab, found from the header; any line ends; quoted
newlines; blank lines anywhere. Refuses the whole file where going on would mean guessing: bytes that are not UTF-8,
a quote that is never closed. A row with the wrong number of cells is a fault of that row alone.
"""

import codecs
import csv
import io
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from animatic.errors import ManifestError
from animatic.manifest.faults import Bad, Fault, escaped, fault_at, report
from animatic.manifest.header import COLUMNS, MAX_COLUMNS, name_faults, normalised

DELIMITERS = (",", ";", "\t")
MAX_ROWS = 1_000_000
MAX_CELL_CHARS = 1 << 20
MAX_LINE_CHARS = 4 << 20

_ROWS_PER_CHUNK = 8_192
_BYTES_PER_CHUNK = 1 << 20
_LINE_ENDS = ((1, b"\n"), (1, b"\r"), (-1, b"\r\n"))  # what is counted twice is taken off again


@dataclass(frozen=True, slots=True)
class CsvText:
    """What a CSV file holds. `lines[i]` is the physical line, from 1, on which data row `i + 1` begins."""

    table: pa.Table
    header_line: int
    lines: Sequence[int]
    row_faults: list[Fault]


def read_csv(name: str, data: bytes) -> CsvText:
    """The rows of `data`, every column as text; a row with too many cells is cut, one with too few ends in nulls.

    Raises ManifestError where the file cannot be read as a whole.
    """
    _require_utf8(name, data)
    old_limit = csv.field_size_limit(MAX_CELL_CHARS)
    try:
        return _read(name, data)
    finally:
        csv.field_size_limit(old_limit)


def whole_file_error(name: str, bad: Bad, line: int | None = None, column: str | None = None) -> ManifestError:
    """One fault that leaves nothing else to check."""
    return ManifestError(report([fault_at(line, None, column, bad)], name))


def _read(name: str, data: bytes) -> CsvText:
    delimiter = _delimiter_of(name, data)
    records = _records(name, data, delimiter)
    header_line, header = next(records, (1, []))
    columns = [cell.strip() for cell in header]
    # Spreadsheets export empty columns to the right of the table; they are dropped while nothing stands in them.
    kept = [index for index, column in enumerate(columns) if column]
    faults = name_faults([columns[index] for index in kept], header_line)
    if not columns:
        raise whole_file_error(name, Bad("empty file", "an empty file", "a header line and at least one row"))
    if faults:
        raise ManifestError(report(faults, name), len(faults))
    rows = _Rows(columns, kept)
    for line, cells in records:
        if len(rows.lines) == MAX_ROWS:
            raise whole_file_error(name, Bad("too many rows", f"more than {MAX_ROWS:,} rows", f"up to {MAX_ROWS:,}"))
        rows.add(line, cells)
    return CsvText(rows.table(), header_line, rows.lines, rows.faults)


class _Rows:
    """Rows on their way into Arrow, a chunk at a time, so that Python holds few of them at once."""

    def __init__(self, columns: Sequence[str], kept: Sequence[int]) -> None:
        self.lines: array[int] = array("q")
        self.faults: list[Fault] = []
        self._width = len(columns)
        self._kept = kept
        self._unnamed = [index for index in range(self._width) if index not in set(kept)]
        self._schema = pa.schema([(columns[index], pa.string()) for index in kept])
        self._cells: list[list[str | None]] = []
        self._batches: list[pa.RecordBatch] = []

    def add(self, line: int, cells: Sequence[str]) -> None:
        """One data row that begins on `line`."""
        self.lines.append(line)
        bad = self._bad_shape(cells)
        if bad is not None:
            self.faults.append(fault_at(line, len(self.lines), "row", bad))
        padded: list[str | None] = [*cells[: self._width], *[None] * (self._width - len(cells))]
        self._cells.append(padded)
        if len(self._cells) == _ROWS_PER_CHUNK:
            self._flush()

    def table(self) -> pa.Table:
        """All rows so far."""
        if self._cells:
            self._flush()
        return pa.Table.from_batches(self._batches, self._schema)

    def _bad_shape(self, cells: Sequence[str]) -> Bad | None:
        if len(cells) != self._width:
            found = f"{len(cells):,} cell{'' if len(cells) == 1 else 's'}"
            hint = "is a cell that holds the delimiter without its quotes?" if len(cells) > self._width else None
            return Bad("wrong number of cells", found, f"{self._width:,}, as in the header", hint)
        for index in self._unnamed:
            if cells[index].strip():
                found = f'"{escaped(cells[index])}" in column {index + 1}, which has no name'
                return Bad("cell without a column", found, "cells below a column name only")
        return None

    def _flush(self) -> None:
        columns = list(zip(*self._cells, strict=True))
        arrays = [pa.array(columns[index], pa.string()) for index in self._kept]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._cells.clear()


def _records(name: str, data: bytes, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, the header first, with the line on which it begins."""
    reader = csv.reader(_lines(name, data), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise whole_file_error(name, _bad_syntax(str(error)), line, "row") from None
        if cells and (cells[0].strip() or any(cell.strip() for cell in cells)):
            yield line, cells


def _lines(name: str, data: bytes) -> Iterator[str]:
    """Physical lines with their ends, whichever they are. A line that could fill the memory is refused."""
    stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    for number, line in enumerate(iter(partial(stream.readline, MAX_LINE_CHARS + 1), ""), start=1):
        if len(line) > MAX_LINE_CHARS:
            bad = Bad("long line", f"a line of more than {MAX_LINE_CHARS:,} characters", "shorter lines")
            raise whole_file_error(name, bad, number)
        yield line


def _bad_syntax(message: str) -> Bad:
    if "end of data" in message:
        hint = 'a quote inside a quoted cell is written twice: ""'
        return Bad("unclosed quote", "a quote that opens in this row and is never closed", "closed quotes", hint)
    if "field limit" in message:
        return Bad("long cell", f"a cell of more than {MAX_CELL_CHARS:,} characters", f"up to {MAX_CELL_CHARS:,}")
    found = "a quoted cell that goes on after its closing quote"
    hint = 'a quote inside a quoted cell is written twice: ""'
    return Bad("bad quoting", found, "the delimiter or the end of the line after a closing quote", hint)


def _delimiter_of(name: str, data: bytes) -> str:
    """The delimiter that finds most of our columns in the header; then the one that finds most cells."""
    best, best_score = ",", (-1, -1)
    errors: list[ManifestError] = []
    for delimiter in DELIMITERS:
        try:
            _, header = next(_records(name, data[: MAX_LINE_CHARS * 2], delimiter), (1, []))
        except (ManifestError, UnicodeDecodeError) as error:
            errors += [error] if isinstance(error, ManifestError) else []
            continue
        score = (sum(normalised(cell) in COLUMNS for cell in header), min(len(header), MAX_COLUMNS))
        if score > best_score:
            best, best_score = delimiter, score
    if best_score == (-1, -1) and errors:
        raise errors[0]
    return best


def _require_utf8(name: str, data: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _BYTES_PER_CHUNK):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start : start + _BYTES_PER_CHUNK], final=start + _BYTES_PER_CHUNK >= len(data))
        except UnicodeDecodeError as error:
            offset = start - pending + error.start
            line = 1 + sum(sign * data.count(end, 0, offset) for sign, end in _LINE_ENDS)
            found = f"the byte 0x{data[offset]:02X} at byte offset {offset:,}, which is not UTF-8"
            hint = "was it saved as Windows-1252 or Latin-1? save it as UTF-8"
            raise whole_file_error(name, Bad("not UTF-8", found, "UTF-8 text", hint), line) from None
