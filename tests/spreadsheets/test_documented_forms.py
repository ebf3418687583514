"""Files as Excel, Google Sheets, Numbers, Airtable and Notion write them, by their documentation, byte for byte.

Each is read rightly, or refused in one sentence.
"""

from datetime import time
from typing import Any

import pytest
from spreadsheet_shots import HEADER, ROWS, SHEET, SHOTS, URL, SheetFile, as_times, changed, text, workbook

BOM = "utf-8-sig"
PLAIN = changed(lambda _, cell: cell.replace("Ü", "U").replace("ü", "u"))
PLAIN_SHOTS = [(*shot[:2], shot[2].replace("Ü", "U").replace("ü", "u"), *shot[3:]) for shot in SHOTS]
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
LONG = [HEADER, *ROWS, *([f"3{number}", URL.format(number), f"Tilt up {number}", *[""] * 4] for number in range(40))]
LONG_SHOTS = [*SHOTS, *((f"3{n}", URL.format(n), f"Tilt up {n}", "16:9", "5s", 1) for n in range(40))]


def in_blocks(rows: list[list[str]]) -> list[list[str]]:
    """Rows as Excel saves them as text: in each 16 rows of the sheet, empty last columns are left out."""
    kept: list[list[str]] = []
    for start in range(0, len(rows), 16):
        block = rows[start : start + 16]
        width = max(max((at + 1 for at, cell in enumerate(row) if cell), default=0) for row in block)
        kept += [row[:width] for row in block]
    return kept


def typed_in(book: Any) -> None:
    """Rows as they are typed into a sheet: ratios become times of day, numbers numbers."""
    sheet, clock = book.add_worksheet("Shots"), book.add_format({"num_format": "h:mm"})
    for y, row in enumerate(SHEET):
        for x, cell in enumerate(row):
            if cell in {"16:9", "9:16"}:
                sheet.write_datetime(y, x, time(*map(int, cell.split(":"))), clock)
            elif cell.isdigit():
                sheet.write_number(y, x, int(cell))
            elif cell:
                sheet.write_string(y, x, cell)


def plain_sheet(book: Any, name: str) -> Any:
    sheet = book.add_worksheet(name)
    for y, row in enumerate(SHEET):
        for x, cell in enumerate(row):
            sheet.write_string(y, x, cell)
    return sheet


def behind_a_hidden_one(book: Any) -> None:
    book.add_worksheet("Lists").hide()
    sheet = plain_sheet(book, "Shots")
    sheet.activate()
    sheet.set_first_sheet()


def with_a_broken_formula(book: Any) -> None:
    plain_sheet(book, "Shots").write_formula(3, 4, '=VLOOKUP("x",A:B,2,0)', None, "#N/A")


def with_a_title(book: Any) -> None:
    sheet = book.add_worksheet("Shots")
    sheet.merge_range(0, 0, 0, 6, "The Lighthouse")
    for y, row in enumerate(SHEET, 2):
        sheet.write_row(y, 0, row)


def with_merged_storyboards(book: Any) -> None:
    sheet = plain_sheet(book, "Shots")
    sheet.write_string(0, 7, "Storyboard")
    sheet.merge_range(1, 7, 2, 7, "night")
    sheet.write_string(3, 7, "day")


def with_a_summary(book: Any) -> None:
    sheet = book.add_worksheet("Export Summary")
    sheet.write(0, 1, "This document was exported from Numbers. Each table was converted to an Excel worksheet.")
    sheet.write_row(2, 1, ["Numbers Sheet Name", "Numbers Table Name", "Excel Worksheet Name"])
    plain_sheet(book, "Sheet 1 - Shots")


def attached(name: str, cell: str) -> str:
    return f"still (1).png ({cell})" if name == "Image" else cell


def attached_twice(name: str, cell: str) -> str:
    return f"a.png ({cell}),b.png ({cell})" if name == "Image" and cell.endswith("1.png") else cell


EXCEL = {
    "CSV UTF-8": SheetFile("shots.csv", text(encoding=BOM)),
    "CSV UTF-8 where decimals have a comma": SheetFile("shots.csv", text(delimiter=";", encoding=BOM)),
    "CSV of more than 16 rows": SheetFile("shots.csv", text(in_blocks(LONG), encoding=BOM), shots=LONG_SHOTS),
    "CSV of more than 16 rows, cut off": SheetFile(
        "shots.csv", text(in_blocks(LONG[:17]), encoding=BOM).removesuffix(b"\r\n"), "found 3 cells; allowed: 7"
    ),
    "CSV with ratios as times": SheetFile(
        "shots.csv", text(as_times({"16:9": "16:09", "9:16": "09:16"}), encoding=BOM)
    ),
    "CSV with ratios as times of day": SheetFile(
        "shots.csv", text(as_times({"16:9": "4:09:00 PM", "9:16": "9:16:00 AM"}), encoding=BOM)
    ),
    "CSV in Windows-1252": SheetFile("shots.csv", text(encoding="cp1252"), "was it saved as Windows-1252"),
    "CSV (MS-DOS)": SheetFile("shots.csv", text(encoding="cp437"), "which is not UTF-8"),
    "CSV (Macintosh)": SheetFile("shots.csv", text(end="\r", encoding="mac_roman"), "which is not UTF-8"),
    "CSV (Macintosh), ASCII": SheetFile("shots.csv", text(PLAIN, end="\r"), shots=PLAIN_SHOTS),
    "text with tabs, ASCII": SheetFile("shots.tsv", text(PLAIN, "\t"), shots=PLAIN_SHOTS),
    "text with tabs under .txt": SheetFile("shots.txt", text(PLAIN, "\t"), 'did you mean "shots.csv"?'),
    "CSV that says its delimiter": SheetFile("shots.csv", b"sep=;\r\n" + text(delimiter=";")),
    "CSV that says a delimiter that we lack": SheetFile(
        "shots.csv", b"sep=|\r\n" + text(delimiter="|"), 'found "sep=|"'
    ),
    "CSV with the language's own error": SheetFile(
        "shots.csv", text(changed(lambda name, cell: "#NV" if (name, cell) == ("Duration", "6s") else cell)), "#NV"
    ),
    "workbook": SheetFile("shots.xlsx", workbook(typed_in)),
    "workbook with a hidden first sheet": SheetFile("shots.xlsx", workbook(behind_a_hidden_one)),
    "workbook with a formula that failed": SheetFile(
        "shots.xlsx", workbook(with_a_broken_formula), 'shots.xlsx:4: duration: found "#N/A", the error of a formula'
    ),
    "workbook with a title": SheetFile("shots.xlsx", workbook(with_a_title), "the header seems to be on row 3"),
    "workbook with merged cells": SheetFile(
        "shots.xlsx", workbook(with_merged_storyboards), notes=["1 empty cells stand below filled ones (merged cells?)"]
    ),
    "workbook with macros": SheetFile("shots.xlsm", workbook(typed_in), "save it as .xlsx"),
    "binary workbook": SheetFile("shots.xlsb", b"PK\x03\x04", "save it as .xlsx"),
    "workbook of Excel 97": SheetFile("shots.xls", OLE, "save it as .xlsx"),
    "workbook with a password": SheetFile("shots.xlsx", OLE, "or one with a password"),
}

GOOGLE = {
    "CSV": SheetFile("shots.csv", text().removesuffix(b"\r\n")),
    "CSV with ratios as times": SheetFile(
        "shots.csv", text(as_times({"16:9": "16:09:00", "9:16": "09:16:00"})).removesuffix(b"\r\n")
    ),
    "TSV, which has blanks for line ends": SheetFile(
        "shots.tsv",
        "\r\n".join("\t".join(cell.replace("\n", " ") for cell in row) for row in SHEET).encode(),
        shots=[SHOTS[0], (*SHOTS[1][:2], "Über der Küste. Two lines", *SHOTS[1][3:]), SHOTS[2]],
    ),
    "workbook": SheetFile("shots.xlsx", workbook(typed_in, in_memory=True)),
    "CSV while a formula is loading": SheetFile(
        "shots.csv", text(changed(lambda name, cell: "Loading..." if cell == "Pan left" else cell)), "Loading..."
    ),
    "a shortcut to a sheet": SheetFile("shots.gsheet", b'{"doc_id": "x"}', "save it as .xlsx"),
}

NUMBERS = {
    "CSV": SheetFile("shots.csv", text(end="\n")),
    "CSV with the table's name": SheetFile(
        "shots.csv", b"Shots,,,,,,\n" + text(end="\n"), "the header seems to be on line 2; remove the lines above it"
    ),
    "CSV with semicolons and the table's name": SheetFile(
        "shots.csv", b"Shots;;;;;;\n" + text(end="\n", delimiter=";"), "the header seems to be on line 2"
    ),
    "workbook with a summary": SheetFile(
        "shots.xlsx", workbook(with_a_summary), 'is it another one ("Sheet 1 - Shots")? Name it as shots.xlsx#SHEET'
    ),
    "workbook, its table named": SheetFile("shots.xlsx", workbook(with_a_summary), sheet="Sheet 1 - Shots"),
    "document": SheetFile("shots.numbers", b"PK\x03\x04", "save it as .xlsx"),
}

AIRTABLE = {
    "CSV with attachments": SheetFile("shots.csv", text(changed(attached), encoding=BOM, end="\n")),
    "CSV with several attachments": SheetFile(
        "shots.csv", text(changed(attached_twice), encoding=BOM, end="\n"), "one URL in each cell"
    ),
    "CSV with a checkbox": SheetFile(
        "shots.csv", text([[*HEADER, "Done"], *([*row, "checked"] for row in ROWS)], encoding=BOM, end="\n")
    ),
}

NOTION = {"CSV": SheetFile("shots.csv", text(encoding=BOM, end="\n"))}

FILES = {
    f"{program}: {form}": file
    for program, files in {
        "Excel": EXCEL, "Google Sheets": GOOGLE, "Numbers": NUMBERS, "Airtable": AIRTABLE, "Notion": NOTION,
    }.items()
    for form, file in files.items()
}  # fmt: skip


@pytest.mark.parametrize("form", FILES)
def test_each_form_is_read_rightly_or_refused_in_one_sentence(form: str) -> None:
    FILES[form].require_right()


def test_a_row_is_named_by_its_sheet_where_cells_hold_line_ends() -> None:
    rows = changed(lambda name, cell: "9s" if (name, cell) == ("Notes", "last, of all") else cell)
    rows[3][4] = "9s"
    SheetFile("shots.csv", text(rows), 'shots.csv:5: row 4, 2A: duration: found "9s"').require_right()
    rows[2][2] = "One line"
    SheetFile("shots.csv", text(rows), 'shots.csv:4: duration: found "9s"').require_right()
