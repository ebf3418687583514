"""The bytes of a results table as an Excel workbook (.xlsx). `workbook_cells` is the way back.

Sheet `results` holds the table, sheet `columns` says of each column where it came from and what it means. Moments are
cells of date and time whose format says UTC; counts and amounts are numbers where no digit is lost that way; lists are
JSON text; no cell is a formula. A text of more than 32,767 characters goes on in the sheet `long texts`; characters
that XML has no form for are spelled as the format wants it, `_x0007_`.

Rows are written as they come, by Arrow, column by column: only links and long texts are kept until the end.
"""

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute

from animatic.errors import LocationError
from animatic.results import workbook_frame as framing
from animatic.results.columns import COLUMNS, shown_type
from animatic.results.plain_text import as_text
from animatic.results.schema import COLUMN_OF
from animatic.results.workbook_frame import letters_of, spelled

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them

MAX_SHEET_ROWS = 1_048_575
"""Rows of a sheet below its header."""

MAX_SHEET_COLUMNS = 16_384
MAX_CELL_CHARS = 32_767
"""In units of UTF-16."""

MAX_LINKS = 65_530
MAX_LINK_CHARS = 2_079
MOST_EXACT = 10**15 - 1
"""Excel keeps 15 digits of a number."""

RESULTS, ABOUT, LONG = "results", "columns", "long texts"
CONTINUES = ' … (whole text: sheet "long texts", {})'
CONTINUED = re.compile(r' … \(whole text: sheet "long texts", ([0-9]{1,9})\)\Z')
EPOCH_DAYS, DAY_US = 25_569, 86_400_000_000
FIRST_DAY = 61
"""Of days before 1 March 1900 programs do not count the same."""

_PIECE_CHARS = 16_000
_LINKED = frozenset({"image", "still_uri", "output_url", "clip_uri"})
_LINK = r"\A(?i:https?://[^/]|file:///)[^\s#\"<>{}|\\^`\x00-\x20]*\z"
_ROWS_AT_ONCE = 2_048
_MANY_CELLS = 8_000_000
_KEPT_IN_MEMORY = 8 << 20
_RISKY = r"\A['=+\-@\t\r\n＝＋－＠]"
_SPECIAL = r"[\x00-\x08\x0b-\x1f\x{FFFE}\x{FFFF}]|_x[0-9A-Fa-f]{4}_"
_AMPERSANDS = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))
_WIDTHS = {"row": 7, "take": 7, "prompt": 50, "shot_id": 16, "error": 40, "image": 36, "inputs": 40}


def require_room(rows: int, columns: int) -> None:
    """Refuse a table that no sheet has room for. Raises LocationError."""
    for count, most, of in ((rows, MAX_SHEET_ROWS, "rows"), (columns, MAX_SHEET_COLUMNS, "columns")):
        if count > most:
            raise LocationError(
                f"--results: found a table of {count:,} {of} for an .xlsx file; allowed: up to {most:,}, as a sheet "
                "has no more. Give a .parquet, .csv or .jsonl file, or share the manifest out over several"
            )


class WorkbookWriter:
    """Writes a table into a workbook, piece by piece, as a `formats.Writer`."""

    has_marks = False

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        require_room(0, len(schema))
        self._schema, self._row, self._links = schema, 1, 0
        self._letters = [letters_of(index) for index in range(len(schema))]
        self._relations, self._linked = bytearray(), bytearray()
        self._styles, self._long = framing.Styles(), _LongTexts()
        self._zip = zipfile.ZipFile(file, "w")
        self._sheet: Any = None

    def write(self, table: pa.Table) -> None:
        """Write the next rows."""
        require_room(self._row - 1 + table.num_rows, table.num_columns)
        sheet = self._begun(table.num_rows)
        for start in range(0, table.num_rows, _ROWS_AT_ONCE):
            sheet.write(self._rows(table.slice(start, _ROWS_AT_ONCE)))

    def close(self, metadata: Mapping[str, str]) -> None:
        """End the sheet, and write all that goes with it."""
        sheet, last = self._begun(0), (self._letters[-1], self._row)
        sheet.write(f'</sheetData><autoFilter ref="A1:{last[0]}{last[1]}"/>'.encode())
        if self._linked:
            sheet.write(b"<hyperlinks>%b</hyperlinks>" % self._linked)
        sheet.write(b"</worksheet>")
        sheet.close()
        sheets = {RESULTS: iter(()), ABOUT: framing.small_sheet(_about(self._schema), (26, 24, 14, 100))}
        if self._long.count:
            sheets[LONG] = framing.small_sheet(self._long.rows(), (10, 24, 8, 100))
        for number, part in enumerate(list(sheets.values())[1:], 2):
            with self._zip.open(_entry(f"xl/worksheets/sheet{number}.xml"), "w") as entry:
                entry.writelines(part)
        if self._relations:
            links = framing.relations(self._relations.decode())
            self._zip.writestr(_entry("xl/worksheets/_rels/sheet1.xml.rels"), links)
        for name, text in framing.frame(list(sheets), last, metadata, self._styles).items():
            self._zip.writestr(_entry(name), text)
        self._zip.close()

    def __del__(self) -> None:
        """Give up a workbook that was not ended: what it is written to may be closed by now."""
        for part in (self.__dict__.get("_sheet"), self.__dict__.get("_zip")):
            with suppress(OSError, ValueError):
                if part is not None:
                    part.close()

    def _begun(self, rows: int) -> Any:
        """Return the open part of the sheet; its header is written first."""
        if self._sheet is None:
            # Excel may stumble over sizes in 64 bits, so only a table that may need them gets them.
            is_large = rows >= 16_384 or rows * len(self._schema) >= _MANY_CELLS
            self._sheet = self._zip.open(_entry("xl/worksheets/sheet1.xml"), "w", force_zip64=is_large)
            self._sheet.write(framing.sheet_start([_width(field) for field in self._schema], min(2, len(self._schema))))
            pairs = zip(self._letters, self._schema.names, strict=True)
            cells = "".join(framing.text_cell(f"{letters}1", name, framing.HEADER) for letters, name in pairs)
            self._sheet.write(f'<row r="1">{cells}</row>'.encode())
        return self._sheet

    def _rows(self, table: pa.Table) -> bytes:
        """Return the XML of some rows."""
        first, self._row = self._row + 1, self._row + table.num_rows
        rows = pa.array(range(first, self._row + 1), pa.int32()).cast(pa.string())
        columns = [
            self._cells(self._schema.field(index), _whole(column), self._letters[index], rows).fill_null("")
            for index, column in enumerate(table.columns)
        ]
        joined = _joined('<row r="', rows, '">', *columns, "</row>")
        return "".join(joined.to_pylist()).encode()

    def _cells(self, field: pa.Field, column: Any, letters: str, rows: Any) -> Any:
        """Return the XML of a column's cells; null where there is none."""
        if isinstance(field.type, pa.JsonType):
            return self._cells_of_people(field.name, column, letters, rows)
        style, numbers = as_numbers(column)
        cells = _joined(f'<c r="{letters}', rows, f'" s="{style}"><v>', numbers, "</v></c>")
        if numbers.null_count == column.null_count:
            return cells
        texts = pc.if_else(numbers.is_valid(), None, as_text(column))
        return pc.coalesce(cells, self._texts(field.name, texts, letters, rows))

    def _texts(self, name: str, texts: Any, letters: str, rows: Any) -> Any:
        """Return the XML of cells of text."""
        styles = pc.if_else(pc.match_substring_regex(texts, _RISKY), str(framing.QUOTED), str(framing.PLAIN))
        if name in _LINKED and self._links < MAX_LINKS:
            styles = pc.if_else(self._link(texts, letters, rows), str(framing.LINK), styles)
        spelt = texts
        for bad, good in _AMPERSANDS:
            spelt = pc.replace_substring(spelt, bad, good)
        unusual = pc.or_(pc.match_substring_regex(texts, _SPECIAL), pc.greater(pc.utf8_length(texts), _PIECE_CHARS))
        unusual = pc.or_(unusual, pc.match_substring(texts, CONTINUES[:14]))
        if pc.any(unusual).as_py():
            pairs = zip(spelt.to_pylist(), texts.to_pylist(), unusual.to_pylist(), strict=True)
            spelt = pa.array(
                [spelled(self._long.start_of(name, text)) if is_so else plain for plain, text, is_so in pairs],
                pa.large_string(),
            )
        kind = '" t="inlineStr"><is><t xml:space="preserve">'
        return _joined(f'<c r="{letters}', rows, '" s="', styles, kind, spelt, "</t></is></c>")

    def _link(self, texts: Any, letters: str, rows: Any) -> Any:
        """Note the links of a column, as long as the sheet has room for them, and tell which cells have one."""
        can_be = pc.match_substring_regex(texts, _LINK)
        fits = pc.and_(can_be, pc.less_equal(pc.utf8_length(texts), MAX_LINK_CHARS)).fill_null(False)
        found, done = fits.to_pylist(), 0
        for index, (row, text) in enumerate(zip(rows.to_pylist(), texts.to_pylist(), strict=True)):
            if found[index] and self._links < MAX_LINKS:
                self._links += 1
                self._relations += framing.link(self._links, text).encode()
                self._linked += f'<hyperlink ref="{letters}{row}" r:id="rId{self._links}"/>'.encode()
                done = index + 1
        return pa.array([each and index < done for index, each in enumerate(found)], pa.bool_())

    def _cells_of_people(self, name: str, column: Any, letters: str, rows: Any) -> Any:
        """Return the XML of cells that people wrote, each with its own kind of value."""
        values = [None if text is None else json.loads(text) for text in column.storage.to_pylist()]
        texts = pa.array([each if isinstance(each, str) else None for each in values], pa.string())
        others = [
            None if value is None or isinstance(value, str) else self._other_cell(f"{letters}{row}", value)
            for row, value in zip(rows.to_pylist(), values, strict=True)
        ]
        return pc.coalesce(pa.array(others, pa.large_string()), self._texts(name, texts, letters, rows))

    def _other_cell(self, place: str, value: Any) -> str:
        if isinstance(value, bool):
            return f'<c r="{place}" s="{framing.FLAG}"><v>{int(value)}</v></c>'
        number, code = (value["number"], value["format"]) if isinstance(value, dict) else (value, None)
        style = framing.PLAIN if code is None else self._styles.of_format(code)
        return f'<c r="{place}" s="{style}"><v>{number!r}</v></c>'


class _LongTexts:
    """Texts that a cell has no room for, in pieces, in a temporary file."""

    def __init__(self) -> None:
        self.count = 0
        self._file = SpooledTemporaryFile[bytes](_KEPT_IN_MEMORY)

    def __del__(self) -> None:
        """Give the temporary file up."""
        self._file.close()

    def start_of(self, column: str, text: str) -> str:
        """Return a text for a cell: itself, or its start and where the whole of it is."""
        if len(text.encode("utf-16-le")) // 2 <= MAX_CELL_CHARS and not CONTINUED.search(text):
            return text
        self.count += 1
        for number, start in enumerate(range(0, len(text), _PIECE_CHARS), 1):
            row = [str(self.count), column, str(number), text[start : start + _PIECE_CHARS]]
            self._file.write(json.dumps(row).encode() + b"\n")
        return text[:_PIECE_CHARS] + CONTINUES.format(self.count)

    def rows(self) -> Iterator[list[str]]:
        """Yield the rows of their sheet, its header first."""
        yield ["number", "column", "part", "text"]
        self._file.seek(0)
        yield from map(json.loads, self._file)


def as_numbers(column: Any) -> tuple[int, Any]:  # noqa: PLR0911 - one for each type
    """Return the style of a column's numbers, and these as text; null where a value is none or would lose a digit."""
    of, types, text = column.type, pa.types, pa.string()
    if types.is_boolean(of):
        return framing.FLAG, pc.if_else(column, "1", "0")
    if types.is_integer(of):
        return framing.PLAIN, pc.if_else(_is_short(column), column.cast(text), None)
    if types.is_floating(of):
        return framing.PLAIN, pc.if_else(pc.is_finite(column), column.cast(text), None)
    if types.is_decimal(of) and of.precision <= 15:
        return framing.AMOUNT, column.cast(text)
    if types.is_timestamp(of):
        return framing.LOCAL if of.tz is None else framing.MOMENT, _serials(column)
    if types.is_date32(of):
        days = pc.add(column.cast(pa.int32()), EPOCH_DAYS)
        return framing.DATE, pc.if_else(pc.greater_equal(days, FIRST_DAY), days.cast(text), None)
    return framing.PLAIN, pa.nulls(len(column), text)


def _is_short(column: Any) -> Any:
    """Tell which whole numbers have no more digits than Excel keeps."""
    if column.type.bit_width < 64:
        return True
    is_short = pc.less_equal(column, pa.scalar(MOST_EXACT, column.type))
    if pa.types.is_signed_integer(column.type):
        is_short = pc.and_(is_short, pc.greater_equal(column, -MOST_EXACT))
    return is_short


def _serials(column: Any) -> Any:
    """Return moments as days from 1900, as text; null where that would not come back to the microsecond."""
    try:
        us = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    except pa.ArrowInvalid:  # nanoseconds
        return pa.nulls(len(column), pa.string())
    whole = pc.floor(pc.divide(us.cast(pa.float64(), safe=False), float(DAY_US)))  # apart: together they lose digits
    rest = pc.subtract(us, pc.multiply(whole.cast(pa.int64(), safe=False), DAY_US)).cast(pa.float64(), safe=False)
    days = pc.add(pc.add(whole, float(EPOCH_DAYS)), pc.divide(rest, float(DAY_US)))
    part = pc.round(pc.multiply(pc.subtract(days, pc.floor(days)), float(DAY_US)))
    again = pc.add(
        pc.multiply(pc.subtract(pc.floor(days), float(EPOCH_DAYS)).cast(pa.int64(), safe=False), DAY_US),
        part.cast(pa.int64(), safe=False),
    )
    is_exact = pc.and_(pc.equal(again, us), pc.greater_equal(days, float(FIRST_DAY)))
    return pc.if_else(is_exact, days.cast(pa.string()), None)


def _entry(name: str) -> zipfile.ZipInfo:
    """Return an entry of the archive without the time of day: the same table gives the same bytes."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _joined(*parts: Any) -> Any:
    """Join texts, row by row; null where one is."""
    of = pa.large_string()
    return pc.binary_join_element_wise(
        *(pa.scalar(part, of) if isinstance(part, str) else part.cast(of) for part in parts), pa.scalar("", of)
    )


def _whole(column: pa.ChunkedArray) -> Any:
    joined = column.combine_chunks()
    whole: Any = pa.nulls(0, column.type) if isinstance(joined, pa.ChunkedArray) else joined
    return whole.cast(whole.type.value_type) if pa.types.is_dictionary(whole.type) else whole


def _width(field: pa.Field) -> float:
    if field.name in _WIDTHS:
        return _WIDTHS[field.name]
    if pa.types.is_timestamp(field.type):
        return 24
    return max(10, min(len(field.name) + 4, 24))


def _about(schema: pa.Schema) -> Iterator[list[str]]:
    """Yield the rows of the sheet that says of each column where it came from, and what it means."""
    meanings = {column.name: column.meaning.replace("`", "") for column in COLUMNS}
    yield ["column", "type", "of", "meaning"]
    for field in schema:
        origin = (field.metadata or {}).get(COLUMN_OF, b"").decode() or "people"
        shown = "" if isinstance(field.type, pa.JsonType) else shown_type(field.type)
        meaning = meanings.get(field.name, "") if origin == "animatic" else ""
        yield [field.name, shown, origin, meaning]
