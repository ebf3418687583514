"""CSV as people really have it, into rows of text with the line on which each begins.

UTF-8 with or without a byte order mark; comma, semicolon or tab, found from the header; any line ends; quoted
newlines; blank lines anywhere. Refuses the whole file where going on would mean guessing: bytes that are not UTF-8,
a quote that is never closed. A row with the wrong number of cells is a fault of that row alone.
"""

import codecs
import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, BinaryIO

from animatic.errors import ManifestError
from animatic.errors.text import quoted
from animatic.manifest.faults import Problem
from animatic.manifest.header import MAX_COLUMNS, known_name
from animatic.manifest.rows import Rows
from animatic.manifest.tables import LINES_ABOVE, Form, Records, TextTable, read_records, whole_file_error

DELIMITERS = (",", ";", "\t")
MAX_CELL_CHARS = 1 << 20
MAX_LINE_CHARS = 4 << 20
_BYTES_PER_CHUNK = 1 << 20


def read_csv(
    name: str, file: BinaryIO, rows: Rows, mapping: Mapping[str, str], delimiters: Sequence[str] = DELIMITERS
) -> TextTable:
    """Read the rows of a file into `rows`, as `tables.read_records` does."""
    _require_utf8(name, file)
    old_limit = csv.field_size_limit(MAX_CELL_CHARS)
    try:
        is_whole = _ends_whole(file)
        declared = _declared_delimiter(name, file)
        delimiter = declared or _delimiter_of(name, file, delimiters)
        records = _records(_Text(name, file), delimiter, 1 if declared is None else 0)
        if declared is not None:
            next(records, None)
        return read_records(name, records, rows, mapping, Form(leaves_cells_out=is_whole))
    finally:
        csv.field_size_limit(old_limit)


class _Text:
    """The physical lines of a file with their ends, whichever they are. A line that could fill the memory is refused.

    Attributes:
        name: the file's, for errors.
    """

    def __init__(self, name: str, file: BinaryIO, most_bytes: int = sys.maxsize) -> None:
        self.name = name
        file.seek(0)
        start: Any = _Kept(file, most_bytes)
        self._stream = io.TextIOWrapper(start, encoding="utf-8-sig", newline="")

    def __iter__(self) -> Iterator[str]:
        lines = iter(partial(self._stream.readline, MAX_LINE_CHARS + 1), "")
        for number, line in enumerate(lines, start=1):
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


def _records(text: _Text, delimiter: str, sheet_row: int = 1) -> Records:
    """Each record that is not blank, the header first, with its line and its row in a spreadsheet, from `sheet_row`."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells and (cells[0].strip() or any(cell.strip() for cell in cells)):
                yield line, sheet_row, cells
            line, sheet_row = reader.line_num + 1, sheet_row + 1
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


def _ends_whole(file: BinaryIO) -> bool:
    """Tell if the last line has its end, as spreadsheets write it: then it was not cut off."""
    file.seek(-1, io.SEEK_END)
    return file.read(1) in b"\r\n"


def _declared_delimiter(name: str, file: BinaryIO) -> str | None:
    """Return the delimiter that Excel's own first line, `sep=;`, says; None where there is no such line."""
    first = next(iter(_Text(name, file, MAX_LINE_CHARS)), "").rstrip("\r\n").strip('"')
    if len(first) != 5 or not first.lower().startswith("sep="):
        return None
    if first[4] not in DELIMITERS:
        bad = Problem("bad delimiter", quoted(first), "sep=, followed by a comma, a semicolon or a tab")
        raise whole_file_error(name, bad, 1)
    return first[4]


def _delimiter_of(name: str, file: BinaryIO, delimiters: Sequence[str]) -> str:
    """Return the delimiter that finds most of our columns in the header, failing that most cells.

    Where none finds any, it is the one that finds them in the lines below, if other text stands above the header.
    """
    best, best_score = delimiters[0], (-1, -1)
    errors: list[ManifestError] = []
    for delimiter in delimiters:
        try:
            _, _, header = next(_records(_Text(name, file, MAX_LINE_CHARS * 2), delimiter), (1, 1, []))
        except (ManifestError, UnicodeDecodeError) as error:
            errors += [error] if isinstance(error, ManifestError) else []
            continue
        score = (sum(known_name(cell) is not None for cell in header), min(len(header), MAX_COLUMNS))
        if score > best_score:
            best, best_score = delimiter, score
    if best_score == (-1, -1) and errors:
        raise errors[0]
    return best if best_score[0] else max((best, *delimiters), key=partial(_known_below, name, file))


def _known_below(name: str, file: BinaryIO, delimiter: str) -> int:
    """Return how many of our columns the first lines name, at most."""
    most = 0
    with suppress(ManifestError, UnicodeDecodeError):
        for _, _, cells in islice(_records(_Text(name, file, MAX_LINE_CHARS * 2), delimiter), LINES_ABOVE):
            most = max(most, sum(known_name(cell) is not None for cell in cells))
    return most


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
