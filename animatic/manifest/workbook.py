"""A sheet of an .xlsx workbook into rows of text, by python-calamine.

The values of cells count, not their look: 16:9 that a spreadsheet took for a time comes as `16:09:00`.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO
from urllib.parse import unquote

from animatic.manifest.faults import Problem
from animatic.manifest.rows import Rows
from animatic.manifest.tables import Records, TextTable, number_text, read_records, whole_file_error
from animatic.text import quoted

MAX_UNPACKED_BYTES = 512 << 20
MAX_MEMBERS = 10_000
MAX_CELLS = 10_000_000
"""A sheet's cells from the first to the last, empty ones included: the reader holds all of them."""

_REFERENCE = re.compile(rb'r="([A-Z]{1,3})([0-9]{1,7})"')
_LONGEST_REFERENCE = 16
_PIECE_BYTES = 1 << 20


def read_workbook(name: str, file: BinaryIO, rows: Rows, mapping: Mapping[str, str], sheet: str | None) -> TextTable:
    """Read a sheet, the first one without a name, into `rows`, as `tables.read_records` does."""
    from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415 - for workbooks only

    _require_sound(name, file)
    try:
        file.seek(0)
        book = CalamineWorkbook.from_filelike(file)
        names = book.sheet_names
        if sheet is not None and sheet not in names:
            sheet = unquote(sheet)  # as a URI spells it
        if sheet is not None and sheet not in names:
            found = f"no sheet {quoted(sheet)}"
            raise whole_file_error(name, Problem("no such sheet", found, ", ".join(map(quoted, names[:20]))))
        if not names:
            raise whole_file_error(name, Problem("no sheet", "a workbook without a sheet", "at least one sheet"))
        cells = book.get_sheet_by_name(names[0] if sheet is None else sheet).to_python(skip_empty_area=False)
    except (CalamineError, OSError, ValueError, OverflowError) as error:
        bad = Problem("not a workbook", f"what cannot be read ({type(error).__name__})", "an Excel workbook (.xlsx)")
        raise whole_file_error(name, bad) from None
    table = read_records(name, _records(cells), rows, mapping)
    others = [each for each in names if each != (names[0] if sheet is None else sheet)]
    if sheet is not None or not others:
        return table
    shown = ", ".join(map(quoted, others[:10]))
    note = f"the sheet {quoted(names[0])} was read; others were not: {shown}. A sheet is named as {name}#SHEET"
    return replace(table, notes=[*table.notes, note])


def _records(rows: list[list[Any]]) -> Records:
    for number, row in enumerate(rows, 1):
        cells = [text_of(value) for value in row]
        if any(cell.strip() for cell in cells):
            yield number, number, cells


def text_of(value: object) -> str:
    """Return a cell's value as text: 5.0 as `5`, a time of day as `16:09:00`, true as `true`."""
    match value:
        case None:
            return ""
        case float() | int():
            return number_text(value)
        case datetime() | date():
            return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
        case time():
            return value.isoformat("seconds")
        case timedelta():
            hours, seconds = divmod(round(value.total_seconds()), 3_600)
            return f"{hours:02}:{seconds // 60:02}:{seconds % 60:02}"
        case _:
            return str(value)


def _require_sound(name: str, file: BinaryIO) -> None:
    """Unpack a workbook once for its size: its parts may say anything of how large they are."""
    total = 0
    try:
        file.seek(0)
        with zipfile.ZipFile(file) as packed:
            members = packed.infolist()
            if len(members) > MAX_MEMBERS:
                found = f"a workbook of {len(members):,} parts"
                raise whole_file_error(name, Problem("too large", found, f"up to {MAX_MEMBERS:,}"))
            for member in members:
                is_sheet, extent = member.filename.startswith("xl/worksheets/"), _Extent()
                with packed.open(member) as part:
                    for piece in _pieces(part):
                        total += len(piece)
                        if total > MAX_UNPACKED_BYTES:
                            found = f"more than {MAX_UNPACKED_BYTES:,} bytes once unpacked"
                            raise whole_file_error(name, Problem("too large", found, f"up to {MAX_UNPACKED_BYTES:,}"))
                        if is_sheet:
                            extent.add(piece)
                if extent.cells > MAX_CELLS:
                    found = f"a sheet whose last cell is in row {extent.row:,}, column {extent.column:,}"
                    hint = "delete the cells far away from the table"
                    raise whole_file_error(name, Problem("too large", found, f"up to {MAX_CELLS:,} cells", hint))
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        bad = Problem(
            "not a workbook", f"what cannot be unpacked ({type(error).__name__})", "an Excel workbook (.xlsx)"
        )
        raise whole_file_error(name, bad) from None


class _Extent:
    """The last row and the last column that the cells of a sheet name."""

    def __init__(self) -> None:
        self.row, self.column, self._rest = 0, 0, b""

    @property
    def cells(self) -> int:
        """Cells from the first of the sheet to the last."""
        return self.row * self.column

    def add(self, piece: bytes) -> None:
        """Read the next bytes of the sheet's XML."""
        text = self._rest + piece
        for letters, digits in set(_REFERENCE.findall(text)):
            column = 0
            for letter in letters:
                column = column * 26 + letter - 64
            self.row, self.column = max(self.row, int(digits)), max(self.column, column)
        self._rest = text[-_LONGEST_REFERENCE:]


def _pieces(part: Any) -> Iterator[bytes]:
    while piece := part.read(_PIECE_BYTES):
        yield piece
