"""Workbooks as another program saves them: read by python-calamine, written by XlsxWriter."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import xlsxwriter
from python_calamine import CalamineWorkbook

Sheet = list[list[Any]]


def sheets_of(data: bytes) -> dict[str, Sheet]:
    """The values of all cells, by sheet."""
    book = CalamineWorkbook.from_filelike(io.BytesIO(data))
    return {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}


def save_again(path: Path, change: Callable[[dict[str, Sheet]], None]) -> None:
    """Save a workbook with other values: its texts in a list of their own, without properties and links."""
    sheets = sheets_of(path.read_bytes())
    change(sheets)
    options = {"strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(path, options) as book:
        moment = book.add_format({"num_format": "dd.mm.yyyy hh:mm:ss.000"})
        day = book.add_format({"num_format": "dd.mm.yyyy"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for row, values in enumerate(rows):
                for column, value in enumerate(values):
                    if isinstance(value, str) and value:
                        sheet.write_string(row, column, value)
                    elif isinstance(value, datetime | date | time):
                        is_day = isinstance(value, date) and not isinstance(value, datetime)
                        sheet.write_datetime(row, column, value, day if is_day else moment)
                    elif value is not None and value != "":
                        sheet.write(row, column, value)


def add_column(rows: Sheet, name: str, values: Sequence[Any]) -> None:
    """Add a column at the end of a sheet, or write other values into it."""
    at = rows[0].index(name) if name in rows[0] else len(rows[0])
    for row, value in zip(rows, [name, *values], strict=True):
        row[at:] = [value, *row[at + 1 :]]


def parts_of(data: bytes) -> dict[str, str]:
    """The XML parts of a workbook."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        return {name: packed.read(name).decode() for name in packed.namelist()}


def packed(parts: dict[str, str]) -> bytes:
    """A workbook of these parts."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in parts.items():
            book.writestr(name, text)
    return file.getvalue()


def formulas_in(data: bytes) -> Iterator[str]:
    """Cells that a spreadsheet would compute."""
    for name, xml in parts_of(data).items():
        if name.startswith("xl/worksheets/sheet"):
            yield from re.findall(r"<(?:\w+:)?f[ >/].{0,80}", xml)


def spoiled(data: bytes, *, method: int = 8, flags: int = 1) -> bytes:
    """Say of each part of a zip file that it is encrypted, or packed by another method."""
    made = bytearray(data)
    for begins, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        found = made.find(begins)
        while found >= 0:
            made[found + at] |= flags
            made[found + at + 2] = method
            found = made.find(begins, found + 4)
    return bytes(made)
