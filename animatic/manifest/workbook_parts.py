"""The packed parts of an .xlsx workbook, read once before its cells are: their size, and cells that show an error.

Parts may say anything of how large they are, and the reader of cells gives nothing for the error of a formula, as for
an empty cell. Of the XML, only the tags of cells are looked at.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from xml.etree import ElementTree as ET

from animatic.manifest.faults import Problem
from animatic.manifest.tables import whole_file_error

MAX_UNPACKED_BYTES = 512 << 20
MAX_MEMBERS = 10_000
MAX_CELLS = 10_000_000
"""A sheet's cells from the first to the last, empty ones included: the reader holds all of them."""

MAX_ERRORS = 100_000
_MAX_INDEX_BYTES = 4 << 20
_REFERENCE = re.compile(rb'r="([A-Z]{1,3})([0-9]{1,7})"')
_ERROR = re.compile(
    rb'<(?:\w+:)?c\b(?=[^>]*\bt="e")[^>]*\br="([A-Z]{1,3})([0-9]{1,7})"[^>]*>(?:.{0,2000}?<(?:\w+:)?v>([^<]{1,20})<)?'
)
_OVERLAP_BYTES = 4_096
_PIECE_BYTES = 1 << 20
_BROKEN = (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError)

Errors = Mapping[tuple[int, int], str]
"""Texts of errors by row and column, both from 0."""


@dataclass(slots=True)
class _Sheet:
    """The last row and column that the cells in the XML of a sheet name, and its errors."""

    row: int = 0
    column: int = 0
    errors: dict[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])
    _rest: bytes = b""

    def add(self, piece: bytes) -> None:
        """Read the next bytes of the XML."""
        text = self._rest + piece
        for letters, digits in set(_REFERENCE.findall(text)):
            self.row, self.column = max(self.row, int(digits)), max(self.column, _number_of(letters))
        if b't="e"' in text and len(self.errors) < MAX_ERRORS:
            for letters, digits, error in _ERROR.findall(text):
                self.errors[int(digits) - 1, _number_of(letters) - 1] = error.decode("utf-8", "replace") or "#ERROR!"
        self._rest = text[-_OVERLAP_BYTES:]


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a workbook that can be read.

    Attributes:
        errors_in: the errors of each sheet that has some, by the name of its part.
    """

    file: BinaryIO
    errors_in: Mapping[str, Errors]

    def errors_of(self, sheet: str) -> Errors:
        """Return the errors of the sheet with this name."""
        if not self.errors_in:
            return {}
        self.file.seek(0)
        with zipfile.ZipFile(self.file) as packed:
            targets = {each.get("Id"): each.get("Target", "") for each in _xml(packed, "xl/_rels/workbook.xml.rels")}
            for each in _xml(packed, "xl/workbook.xml").iter():
                if each.tag.endswith("}sheet") and each.get("name") == sheet:
                    identity = next((value for key, value in each.items() if key.endswith("}id")), None)
                    target = targets.get(identity, "")
                    return self.errors_in.get(target[1:] if target.startswith("/") else f"xl/{target}", {})
        return {}


def look_into_parts(name: str, file: BinaryIO) -> Parts:
    """Unpack a workbook once, for its size and its errors. Raises ManifestError."""
    total, errors_in = 0, dict[str, Errors]()
    try:
        file.seek(0)
        with zipfile.ZipFile(file) as packed:
            members = packed.infolist()
            if len(members) > MAX_MEMBERS:
                raise _too_large(name, f"a workbook of {len(members):,} parts", f"up to {MAX_MEMBERS:,}")
            for member in members:
                sheet = _Sheet()
                with packed.open(member) as part:
                    for piece in _pieces(part):
                        total += len(piece)
                        if total > MAX_UNPACKED_BYTES:
                            most = f"{MAX_UNPACKED_BYTES:,}"
                            raise _too_large(name, f"more than {most} bytes once unpacked", f"up to {most}")
                        if member.filename.startswith("xl/worksheets/"):
                            sheet.add(piece)
                if sheet.row * sheet.column > MAX_CELLS:
                    found = f"a sheet whose last cell is in row {sheet.row:,}, column {sheet.column:,}"
                    hint = "delete the cells far away from the table"
                    raise _too_large(name, found, f"up to {MAX_CELLS:,} cells", hint)
                if sheet.errors:
                    errors_in[member.filename] = sheet.errors
    except _BROKEN as error:
        found = f"what cannot be unpacked ({type(error).__name__})"
        raise whole_file_error(name, Problem("not a workbook", found, "an Excel workbook (.xlsx)")) from None
    return Parts(file, errors_in)


def _too_large(name: str, found: str, allowed: str, hint: str | None = None) -> Exception:
    return whole_file_error(name, Problem("too large", found, allowed, hint))


def _xml(packed: zipfile.ZipFile, part: str) -> ET.Element:
    """Parse a small part. Raises ValueError where there is none."""
    try:
        with packed.open(part) as file:
            return ET.fromstring(file.read(_MAX_INDEX_BYTES))  # noqa: S314 - expat limits what entities become
    except (KeyError, ET.ParseError):
        raise ValueError(f"no {part}") from None


def _number_of(letters: bytes) -> int:
    """Return the number of a column, from 1: 27 for AA."""
    column = 0
    for letter in letters:
        column = column * 26 + letter - 64
    return column


def _pieces(part: Any) -> Iterator[bytes]:
    while piece := part.read(_PIECE_BYTES):
        yield piece
