"""A sheet of an .xlsx workbook into rows of text, by python-calamine.

The values of cells count, not their look: 16:9 that a spreadsheet took for a time comes as `16:09:00`.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO
from urllib.parse import unquote

from animatic.errors.text import quoted
from animatic.manifest.faults import Problem
from animatic.manifest.header import names_required
from animatic.manifest.rows import Rows
from animatic.manifest.tables import Form, Records, TextTable, number_text, read_records, whole_file_error
from animatic.manifest.workbook_parts import Errors, look_into_parts

MOST_SHEETS_NAMED = 10


def read_workbook(name: str, file: BinaryIO, rows: Rows, mapping: Mapping[str, str], sheet: str | None) -> TextTable:
    """Read a sheet, the first one without a name, into `rows`, as `tables.read_records` does."""
    from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415 - for workbooks only

    parts = look_into_parts(name, file)
    try:
        file.seek(0)
        book = CalamineWorkbook.from_filelike(file)
        wanted, others = _chosen(name, book, sheet)
        cells = book.get_sheet_by_name(wanted).to_python(skip_empty_area=False)
        errors = parts.errors_of(wanted)
    except (CalamineError, OSError, ValueError, OverflowError) as error:
        bad = Problem("not a workbook", f"what cannot be read ({type(error).__name__})", "an Excel workbook (.xlsx)")
        raise whole_file_error(name, bad) from None
    is_first, shown = sheet is None and bool(others), ", ".join(map(quoted, others[:MOST_SHEETS_NAMED]))
    another = Problem(
        "another sheet", f"no shots in the first sheet {quoted(wanted)}", "a sheet whose header names image and prompt",
        f"is it another one ({shown})? Name it as {name}#SHEET",
    )  # fmt: skip
    if is_first and not cells:
        raise whole_file_error(name, another)
    table = read_records(name, _records(cells, errors), rows, mapping, Form("row"))
    if not is_first:
        return table
    if not names_required(table.schema.names):
        raise whole_file_error(name, another)
    note = f"the sheet {quoted(wanted)} was read; others were not: {shown}. A sheet is named as {name}#SHEET"
    return replace(table, notes=[*table.notes, note])


def _chosen(name: str, book: Any, sheet: str | None) -> tuple[str, list[str]]:
    """Return the sheet that is meant, the first one that can be seen where none is named, and the others."""
    from python_calamine import SheetTypeEnum, SheetVisibleEnum  # noqa: PLC0415 - for workbooks only

    tables = [each for each in book.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]
    seen = [each.name for each in tables if each.visible == SheetVisibleEnum.Visible]
    names = [each.name for each in tables]
    if sheet is not None and sheet not in names:
        sheet = unquote(sheet)  # as a URI spells it
    if sheet is not None and sheet not in names:
        allowed = ", ".join(map(quoted, names[:20]))
        raise whole_file_error(name, Problem("no such sheet", f"no sheet {quoted(sheet)}", allowed))
    if sheet is None and not seen:
        raise whole_file_error(name, Problem("no sheet", "a workbook without a sheet", "at least one sheet"))
    wanted = seen[0] if sheet is None else sheet
    return wanted, [each for each in seen if each != wanted]


def _records(rows: list[list[Any]], errors: Errors) -> Records:
    for number, row in enumerate(rows, 1):
        cells = [text_of(value) for value in row]
        if errors:
            cells = [errors.get((number - 1, column), cell) for column, cell in enumerate(cells)]
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
