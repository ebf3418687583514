"""The XML parts of an .xlsx workbook, read piece by piece without believing what they say of their size. Pure.

Any program's: texts in the cells or in a list of their own, any prefix, days from 1900 or 1904. A document type, which
could make much out of little, is refused.
"""

import math
import re
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, BinaryIO, Protocol
from xml.parsers import expat

from animatic.results.workbook import DAY_US, EPOCH_DAYS, MAX_SHEET_ROWS
from animatic.results.workbook_frame import letters_of

Cell = tuple[str, str, str]
"""Kind of the value (`s` text, `n` number, `b` true or false, `e` error), its text, and the format of a number."""

MAX_PART_BYTES = 16 << 30
MAX_SMALL_PART_BYTES = 16 << 20
MAX_CELL_TEXT = 1 << 20
MAX_SHARED_CHARS = 512 << 20
MAX_MEMBERS = 10_000
_PIECE_BYTES = 256 << 10
_DAYS_TO_1904 = 1_462
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPELLED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_NO_PART_OF_FORMAT = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_PREFIXED = re.compile(rb"<\w+:(?:worksheet|sst|workbook|styleSheet|Relationships|Properties)\b")
_BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??",
    14: "yyyy\\-mm\\-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM",
    20: "h:mm", 21: "h:mm:ss", 22: "yyyy\\-mm\\-dd hh:mm", 37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)",
    39: "#,##0.00;(#,##0.00)", 40: "#,##0.00;(#,##0.00)", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0",
    48: "##0.0E+0", 49: "@",
}  # fmt: skip
"""Number formats that files name by their number only."""


@dataclass(frozen=True, slots=True)
class Workbook:
    """An open workbook.

    Attributes:
        sheets: names of its sheets, and the parts that hold them.
        formats: number format of each style of cells; empty for none.
        texts: the texts that cells name by their number.
        metadata: its custom properties.
        first_day: what to add to the number of a day, so that it counts from 1900.
    """

    packed: zipfile.ZipFile
    sheets: Mapping[str, str]
    formats: list[str]
    texts: list[str]
    metadata: Mapping[str, str]
    first_day: int

    def rows(self, sheet: str, leaves_out: Callable[[int], bool] = lambda _: False) -> Iterator[dict[int, Cell]]:
        """Yield the cells of each row that has a value, by the number of their column from 0."""
        rows = _Rows(self.formats, self.texts, leaves_out)
        left = MAX_SHEET_ROWS + 1
        for _ in _parsed(self.packed, self.sheets[sheet], rows):
            for row in rows.taken():
                left -= 1
                if left < 0:
                    raise ValueError(f"a sheet of more than {MAX_SHEET_ROWS + 1:,} rows")
                yield row

    def moment(self, serial: str) -> datetime | None:
        """Return the moment that a cell's number stands for; None where it is none."""
        try:
            return moment_of(float(serial) + self.first_day)
        except ValueError:
            return None


def open_workbook(file: BinaryIO) -> Workbook:
    """Open a workbook; ValueError, zipfile.BadZipFile, KeyError or expat.ExpatError where it is none."""
    file.seek(0)
    packed = zipfile.ZipFile(file)
    if len(packed.namelist()) > MAX_MEMBERS:
        raise ValueError(f"a workbook of more than {MAX_MEMBERS:,} parts")
    part = "xl/workbook.xml"
    targets = {
        each["Id"]: each for tag, each in _elements(packed, "xl/_rels/workbook.xml.rels") if tag == "Relationship"
    }
    sheets, first_day = dict[str, str](), 0
    for tag, each in _elements(packed, part):
        if tag == "sheet":
            identity = next((value for key, value in each.items() if _local(key) == "id"), "")
            target = targets.get(identity, {})
            if target.get("Type", "").endswith("/worksheet"):
                sheets[each["name"]] = _place(target["Target"])
        if tag == "workbookPr" and each.get("date1904", "0") in {"1", "true"}:
            first_day = _DAYS_TO_1904
    if not sheets:
        raise ValueError("a workbook without a sheet")
    kinds = {each["Type"].rsplit("/", 1)[-1]: _place(each["Target"]) for each in targets.values()}
    formats = _formats(packed, kinds["styles"]) if "styles" in kinds else []
    texts = _shared_texts(packed, kinds["sharedStrings"]) if "sharedStrings" in kinds else []
    return Workbook(packed, sheets, formats, texts, _properties(packed), first_day)


def moment_of(days: float) -> datetime | None:
    """Return the moment so many days after the first one of 1900, to the microsecond; None where there is none."""
    try:
        whole = math.floor(days)  # apart, since their product with the parts of a day would lose microseconds
        return _EPOCH + timedelta(days=whole - EPOCH_DAYS, microseconds=round((days - whole) * DAY_US))
    except (ValueError, OverflowError):
        return None


def has_date(code: str) -> bool:
    """Tell if a number format shows a date or a time."""
    return any(letter in "dmyhs" for letter in _NO_PART_OF_FORMAT.sub("", code).lower()) and code != "General"


def has_hours(code: str) -> bool:
    """Tell if a number format shows a time."""
    return "h" in _NO_PART_OF_FORMAT.sub("", code).lower()


def _place(target: str) -> str:
    return target[1:] if target.startswith("/") else f"xl/{target}"


def _local(name: str) -> str:
    return name.rpartition(":")[2]


class _Rows:
    """Takes the events of a sheet, and keeps the rows that have ended. Millions of events: each does little.

    `leaves_out` tells of the number of a column if its cells are not wanted.
    """

    def __init__(self, formats: list[str], texts: list[str], leaves_out: Callable[[int], bool]) -> None:
        self._formats, self._texts, self._leaves_out = formats, texts, leaves_out
        self._done = deque[dict[int, Cell]]()
        self._row: dict[int, Cell] = {}
        self._columns = dict[str, tuple[int, bool]]()
        self._column, self._is_wanted, self._is_muted, self._has_value = -1, False, False, False
        self._attributes, self._value = dict[str, str](), None
        self.listen: Callable[[Any], None] = lambda _: None

    def taken(self) -> Iterator[dict[int, Cell]]:
        """Yield the rows that have ended, and forget them."""
        while self._done:
            yield self._done.popleft()

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        if tag == "c":
            place = attributes.get("r")
            letters = place.rstrip("0123456789") if place else letters_of(self._column + 1)
            known = self._columns.get(letters)
            if known is None:
                column = _number_of(letters)
                known = self._columns[letters] = column, not self._leaves_out(column)
            self._column, self._is_wanted = known
            self._attributes, self._value = attributes, None
        elif tag in {"v", "t"}:
            self._has_value = True
            if self._is_wanted and not self._is_muted:
                self._value = self._value or ""
                self.listen(self.add)
        elif tag == "row":
            self._row, self._column, self._has_value = {}, -1, False
        elif tag == "rPh":  # the reading of a word beside it
            self._is_muted = True

    def add(self, text: str) -> None:
        """Add to the value that is open."""
        self._value = self._value + text if self._value else text
        if len(self._value) > MAX_CELL_TEXT:
            raise ValueError(f"a cell of more than {MAX_CELL_TEXT:,} characters")

    def end(self, tag: str) -> None:
        """End an element."""
        if tag in {"v", "t"}:
            self.listen(None)
        elif tag == "c":
            if self._value is not None:
                self._end_cell(self._attributes.get("t", "n"), self._value)
        elif tag == "row":
            if self._has_value:
                self._done.append(self._row)
        elif tag == "rPh":
            self._is_muted = False

    def _end_cell(self, kind: str, value: str) -> None:
        if kind == "n":
            style = int(self._attributes.get("s", "0"))
            self._row[self._column] = ("n", value, self._formats[style] if style < len(self._formats) else "")
        elif kind == "s":
            self._row[self._column] = ("s", self._texts[int(value)], "")
        elif kind == "b":
            self._row[self._column] = ("b", "true" if value in {"1", "true"} else "false", "")
        else:
            self._row[self._column] = ("e" if kind == "e" else "s", unspelled(value), "")


class _SharedTexts:
    """Takes the events of the list of texts."""

    def __init__(self) -> None:
        self.listen: Callable[[Any], None] = lambda _: None
        self.texts = list[str]()
        self._pieces, self._is_muted, self._left = list[str](), False, MAX_SHARED_CHARS

    def begin(self, tag: str, attributes: dict[str, str]) -> None:  # noqa: ARG002 - none of them counts
        """Begin an element."""
        if tag == "si":
            self._pieces = []
        elif tag == "rPh":
            self._is_muted = True
        elif tag == "t" and not self._is_muted:
            self.listen(self.add)

    def add(self, text: str) -> None:
        """Add to the text that is open."""
        self._pieces.append(text)
        self._left -= len(text)
        if self._left < 0:
            raise ValueError(f"texts of more than {MAX_SHARED_CHARS:,} characters")

    def end(self, tag: str) -> None:
        """End an element."""
        if tag == "t":
            self.listen(None)
        elif tag == "rPh":
            self._is_muted = False
        elif tag == "si":
            self.texts.append(unspelled("".join(self._pieces)))


def unspelled(text: str) -> str:
    """Undo `workbook_frame.spelled`, after the XML was parsed."""
    return _SPELLED.sub(_character, text) if "_x" in text else text


def _character(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return found[0] if 0xD800 <= code < 0xE000 else chr(code)


def _shared_texts(packed: zipfile.ZipFile, part: str) -> list[str]:
    shared = _SharedTexts()
    for _ in _parsed(packed, part, shared):
        pass
    return shared.texts


def _formats(packed: zipfile.ZipFile, part: str) -> list[str]:
    """Return the number format of each style of cells."""
    codes, styles, is_inside = dict(_BUILT_IN), list[str](), False
    for tag, each in _elements(packed, part):
        if tag == "numFmt":
            codes[int(each["numFmtId"])] = each["formatCode"]
        elif tag in {"cellXfs", "cellStyles", "dxfs"}:
            is_inside = tag == "cellXfs"
        elif tag == "xf" and is_inside:
            styles.append(codes.get(int(each.get("numFmtId", "0")), ""))
    return styles


def _properties(packed: zipfile.ZipFile) -> dict[str, str]:
    """Return the custom properties."""
    if "docProps/custom.xml" not in packed.namelist():
        return {}
    properties = _Properties()
    for _ in _parsed(packed, "docProps/custom.xml", properties, MAX_SMALL_PART_BYTES):
        pass
    return properties.found


class _Properties:
    """Takes the events of the custom properties."""

    def __init__(self) -> None:
        self.listen: Callable[[Any], None] = lambda _: None
        self.found, self._name = dict[str, str](), ""

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        if tag == "property":
            self._name = attributes.get("name", "")
            self.listen(self.add)

    def add(self, text: str) -> None:
        """Add to the value that is open."""
        self.found[self._name] = self.found.get(self._name, "") + text

    def end(self, tag: str) -> None:
        """End an element."""
        if tag == "property":
            self.listen(None)


class _Elements:
    """Takes elements with their attributes, in order."""

    def __init__(self) -> None:
        self.listen: Callable[[Any], None] = lambda _: None
        self.found: list[tuple[str, dict[str, str]]] = []

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        self.found.append((tag, attributes))

    def end(self, tag: str) -> None:
        """End an element."""


def _elements(packed: zipfile.ZipFile, part: str) -> list[tuple[str, dict[str, str]]]:
    elements = _Elements()
    for _ in _parsed(packed, part, elements, MAX_SMALL_PART_BYTES):
        pass
    return elements.found


class _Taker(Protocol):
    """Takes the events of a part. It calls `listen` with the function that text goes to, or None."""

    listen: Callable[[Any], None]

    def begin(self, tag: str, attributes: dict[str, str]) -> None: ...

    def end(self, tag: str) -> None: ...


def _parsed(packed: zipfile.ZipFile, part: str, taker: _Taker, max_bytes: int = MAX_PART_BYTES) -> Iterator[None]:
    """Parse a part, and pause after each piece of it. The names of its elements come without their prefix."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    taker.listen = partial(setattr, parser, "CharacterDataHandler")
    left, is_first = max_bytes, True
    with packed.open(part) as file:
        while piece := file.read(_PIECE_BYTES):
            if is_first:
                _connect(parser, taker, has_prefixes=_PREFIXED.search(piece) is not None)
            left, is_first = left - len(piece), False
            if left < 0:
                raise ValueError(f"a part of more than {max_bytes:,} bytes")
            parser.Parse(piece, False)
            yield
        parser.Parse(b"", True)
        yield


def _connect(parser: Any, taker: _Taker, *, has_prefixes: bool) -> None:
    parser.StartElementHandler, parser.EndElementHandler = taker.begin, taker.end
    if has_prefixes:  # of programs that are rare; a function more for each event takes time
        parser.StartElementHandler = lambda name, attributes: taker.begin(_local(name), attributes)
        parser.EndElementHandler = lambda name: taker.end(_local(name))


def _refuse(*_: Any) -> None:
    raise ValueError("a document type")


def _number_of(letters: str) -> int:
    """Return the number of a column, from 0, by its letters; -1 where they are none."""
    column = 0
    for letter in letters.upper():
        if not "A" <= letter <= "Z" or len(letters) > 3:
            return -1
        column = column * 26 + ord(letter) - 64
    return column - 1
