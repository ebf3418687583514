"""The parts of an .xlsx workbook around the cells of its table: styles, widths, properties, relations. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

_DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument"

PLAIN, HEADER, QUOTED, LINK, MOMENT, LOCAL, DATE, AMOUNT, FLAG = range(9)
"""Styles of cells. QUOTED keeps what looks like a formula a text when a person edits the cell.

FLAG shows 1 and 0 as words: LibreOffice makes the formula `TRUE()` of a cell that is said to hold true.
"""

FORMAT_OF = {
    MOMENT: 'yyyy\\-mm\\-dd hh:mm:ss" UTC"',
    LOCAL: "yyyy\\-mm\\-dd hh:mm:ss",
    DATE: "yyyy\\-mm\\-dd",
    AMOUNT: "0.00####",
    FLAG: '[=1]"TRUE";[=0]"FALSE";General',
}
_FIRST_FORMAT = 164
"""Numbers of formats below are Excel's own."""

MAX_FORMATS = 200
_SPECIAL = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


def letters_of(index: int) -> str:
    """Return the letters of a column, by its number from 0: AA for 26."""
    letters = ""
    while index >= 0:
        letters = chr(65 + index % 26) + letters
        index = index // 26 - 1
    return letters


def spelled(text: str) -> str:
    """Return a text as the XML of a cell has it: `_x0007_` for a character that XML has no form for."""
    return escape(_SPECIAL.sub(lambda found: f"_x{ord(found[0]):04X}_", text))


def text_cell(place: str, text: str, style: int = PLAIN) -> str:
    """Return the XML of a cell of text at a place such as `B7`."""
    return f'<c r="{place}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{spelled(text)}</t></is></c>'


class Styles:
    """Styles of the workbook: ours, and one for each number format that people gave to a cell."""

    def __init__(self) -> None:
        self._formats = [FORMAT_OF.get(style, "") for style in range(FLAG + 1)]

    def of_format(self, code: str) -> int:
        """Return the style with this number format; PLAIN where there are too many."""
        if code not in self._formats[MOMENT:]:
            if len(self._formats) >= MAX_FORMATS:
                return PLAIN
            self._formats.append(code)
        return self._formats.index(code, MOMENT)

    @property
    def xml(self) -> str:
        """The part `xl/styles.xml`."""
        formats = "".join(
            f'<numFmt numFmtId="{_FIRST_FORMAT + style}" formatCode={quoteattr(code)}/>'
            for style, code in enumerate(self._formats)
            if code
        )
        styles = "".join(self._style(style) for style in range(len(self._formats)))
        count = sum(map(bool, self._formats))
        return (
            f'{_DECLARATION}<styleSheet xmlns="{_MAIN}"><numFmts count="{count}">{formats}</numFmts>'
            '<fonts count="3"><font><sz val="11"/><name val="Calibri"/><family val="2"/></font>'
            '<font><b/><sz val="11"/><name val="Calibri"/><family val="2"/></font>'
            '<font><u/><sz val="11"/><color rgb="FF0563C1"/><name val="Calibri"/><family val="2"/></font></fonts>'
            '<fills count="3"><fill><patternFill patternType="none"/></fill>'
            '<fill><patternFill patternType="gray125"/></fill>'
            '<fill><patternFill patternType="solid"><fgColor rgb="FFE7ECF2"/></patternFill></fill></fills>'
            '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
            '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
            f'<cellXfs count="{len(self._formats)}">{styles}</cellXfs>'
            '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
        )

    def _style(self, style: int) -> str:
        number = _FIRST_FORMAT + style if self._formats[style] else 0
        font = {HEADER: 1, LINK: 2}.get(style, 0)
        quoted = ' quotePrefix="1"' if style == QUOTED else ""
        return (
            f'<xf numFmtId="{number}" fontId="{font}" fillId="{2 if style == HEADER else 0}" borderId="0" xfId="0"'
            f' applyNumberFormat="1" applyFont="1" applyFill="1"{quoted}/>'
        )


def sheet_start(widths: Sequence[float], frozen: int = 0) -> bytes:
    """Return the XML of a sheet up to its first row, which stays in sight, as do its first columns."""
    right = f' xSplit="{frozen}"' if frozen else ""
    pane = "bottomRight" if frozen else "bottomLeft"
    columns = "".join(
        f'<col min="{number}" max="{number}" width="{width}" customWidth="1"/>'
        for number, width in enumerate(widths, 1)
    )
    return (
        f'{_DECLARATION}<worksheet xmlns="{_MAIN}" xmlns:r="{_OFFICE}/relationships"><sheetViews>'
        f'<sheetView workbookViewId="0"><pane{right} ySplit="1" topLeftCell="{letters_of(frozen)}2" '
        f'activePane="{pane}" state="frozen"/></sheetView></sheetViews><sheetFormatPr defaultRowHeight="15"/>'
        f"<cols>{columns}</cols><sheetData>"
    ).encode()


def small_sheet(rows: Iterable[Sequence[str]], widths: Sequence[float]) -> Iterator[bytes]:
    """Yield the XML of a whole sheet of text, its header first."""
    yield sheet_start(widths)
    for number, row in enumerate(rows, 1):
        style = HEADER if number == 1 else PLAIN
        cells = (text_cell(f"{letters_of(index)}{number}", text, style) for index, text in enumerate(row))
        yield f'<row r="{number}">{"".join(cells)}</row>'.encode()
    yield b"</sheetData></worksheet>"


def link(number: int, target: str) -> str:
    """Return the XML of the relation that a link on a cell names."""
    return (
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/relationships/hyperlink" Target={quoteattr(target)} '
        'TargetMode="External"/>'
    )


def relations(entries: str) -> str:
    """Return a part that holds relations."""
    return f'{_DECLARATION}<Relationships xmlns="{_PACKAGE}/relationships">{entries}</Relationships>'


def frame(sheets: Sequence[str], last: tuple[str, int], metadata: Mapping[str, str], styles: Styles) -> dict[str, str]:
    """Return the other parts of a workbook by their names.

    Args:
        sheets: names of its sheets, in order.
        last: letters and row of the last cell of the first one.
        metadata: its custom properties.
        styles: those that its cells name.
    """
    numbers = range(1, len(sheets) + 1)
    overrides = {
        "/xl/workbook.xml": f"{_TYPE}.spreadsheetml.sheet.main+xml",
        "/xl/styles.xml": f"{_TYPE}.spreadsheetml.styles+xml",
        "/docProps/custom.xml": f"{_TYPE}.custom-properties+xml",
        **{f"/xl/worksheets/sheet{number}.xml": f"{_TYPE}.spreadsheetml.worksheet+xml" for number in numbers},
    }
    types = "".join(f'<Override PartName="{name}" ContentType="{of}"/>' for name, of in overrides.items())
    tabs = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{number}" r:id="rId{number}"/>'
        for number, name in zip(numbers, sheets, strict=True)
    )
    targets = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/relationships/worksheet" '
        f'Target="worksheets/sheet{number}.xml"/>'
        for number in numbers
    )
    properties = "".join(
        f'<property fmtid="{{D5CDD505-2E9C-101B-9397-08002B2CF9AE}}" pid="{number}" name={quoteattr(name)}>'
        f"<vt:lpwstr>{escape(value)}</vt:lpwstr></property>"
        for number, (name, value) in enumerate(metadata.items(), 2)
    )
    table = f"'{sheets[0]}'!$A$1:${last[0]}${last[1]}"
    return {
        "[Content_Types].xml": f'{_DECLARATION}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
        f'ContentType="application/xml"/>{types}</Types>',
        "_rels/.rels": relations(
            f'<Relationship Id="rId1" Type="{_OFFICE}/relationships/officeDocument" Target="xl/workbook.xml"/>'
            f'<Relationship Id="rId2" Type="{_OFFICE}/relationships/custom-properties" Target="docProps/custom.xml"/>'
        ),
        "docProps/custom.xml": f'{_DECLARATION}<Properties xmlns="{_OFFICE}/custom-properties" '
        f'xmlns:vt="{_OFFICE}/docPropsVTypes">{properties}</Properties>',
        "xl/workbook.xml": f'{_DECLARATION}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}/relationships"><bookViews>'
        f'<workbookView activeTab="0"/></bookViews><sheets>{tabs}</sheets><definedNames><definedName '
        f'name="_xlnm._FilterDatabase" localSheetId="0" hidden="1">{table}</definedName></definedNames></workbook>',
        "xl/_rels/workbook.xml.rels": relations(
            f'{targets}<Relationship Id="rId{len(sheets) + 1}" Type="{_OFFICE}/relationships/styles" '
            'Target="styles.xml"/>'
        ),
        "xl/styles.xml": styles.xml,
    }
