"""One storyboard as a spreadsheet holds it, and what each program's file of it must come to."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import xlsxwriter

from animatic.errors import ManifestError
from animatic.manifest import Manifest, check, read_table

URL = "https://stills.example/{}.png"
HEADER = ["Shot ID", "Image", "Prompt", "Aspect Ratio", "Duration", "Takes", "Notes"]
ROWS = [
    ["1A", URL.format(1), 'Push in, slowly; the "keeper" waits', "16:9", "5s", "1", "first"],
    ["1B", URL.format(2), "Über der Küste.\nTwo lines", "9:16", "6s", "2", ""],
    ["2A", URL.format(3), "Pan left", "", "", "", "last, of all"],
]
SHEET = [HEADER, *ROWS]
SHOTS = [
    ("1A", URL.format(1), 'Push in, slowly; the "keeper" waits', "16:9", "5s", 1),
    ("1B", URL.format(2), "Über der Küste.\nTwo lines", "9:16", "6s", 2),
    ("2A", URL.format(3), "Pan left", "16:9", "5s", 1),
]
"""The shots that SHEET asks for: shot_id, image, prompt, aspect_ratio, duration, takes."""


@dataclass(frozen=True, slots=True)
class SheetFile:
    """A file as a program writes it.

    Attributes:
        name: what it is called; the suffix says how it is read.
        refusal: part of the one sentence that refuses it; empty where it is read.
        shots: what it asks for.
        notes: parts of the notes that reading it gives.
        sheet: which sheet of a workbook is meant.
    """

    name: str
    data: bytes
    refusal: str = ""
    shots: Sequence[Any] = tuple(SHOTS)
    notes: Sequence[str] = ()
    sheet: str | None = None

    def require_right(self) -> None:
        """Fail where it is neither read rightly nor refused in one sentence."""
        if self.refusal:
            with pytest.raises(ManifestError) as refused:
                checked(self.name, self.data, self.sheet)
            assert len(refused.value.report.splitlines()) == 1, refused.value.report
            assert self.refusal in refused.value.report
            return
        manifest = checked(self.name, self.data, self.sheet)
        assert shots_of(manifest) == [tuple(shot) for shot in self.shots]
        for note in self.notes:
            assert any(note in warning for warning in manifest.warnings), manifest.warnings


def checked(name: str, data: bytes, sheet: str | None = None) -> Manifest:
    """Read and judge a file; raises ManifestError."""
    raw = read_table(name, data, None, None, sheet)
    manifest = check(raw, stills={}, storyboard_default="board", provider="sandbox")
    manifest.require_valid()
    return manifest


def shots_of(manifest: Manifest) -> list[tuple[Any, ...]]:
    return [
        (
            shot.shot_id,
            shot.image,
            shot.inputs["prompt"],
            shot.inputs["aspect_ratio"],
            shot.inputs["duration"],
            shot.takes,
        )
        for part in manifest.parts()
        for shot in part.shots(part.lengths.nonzero()[0])
    ]


def text(
    rows: Sequence[Sequence[str]] = SHEET,
    delimiter: str = ",",
    end: str = "\r\n",
    encoding: str = "utf-8",
) -> bytes:
    """Rows as a text file, each line with its end; cells are quoted where they must be."""
    lines = (delimiter.join(quoted(cell, delimiter) for cell in row) + end for row in rows)
    return "".join(lines).encode(encoding)


def quoted(cell: str, delimiter: str) -> str:
    is_plain = not any(mark in cell for mark in (delimiter, '"', "\r", "\n"))
    return cell if is_plain else '"' + cell.replace('"', '""') + '"'


def changed(change: Callable[[str, str], str], rows: Sequence[Sequence[str]] = SHEET) -> list[list[str]]:
    """Rows with each cell below the header changed, by its column."""
    header, *others = rows
    return [list(header), *([change(name, cell) for name, cell in zip(header, row, strict=True)] for row in others)]


def as_times(form: Mapping[str, str]) -> list[list[str]]:
    """Rows whose ratios a spreadsheet has taken for times of day."""
    return changed(lambda name, cell: form.get(cell, cell) if name == "Aspect Ratio" else cell)


def workbook(fill: Callable[[Any], None], **options: Any) -> bytes:
    """A workbook that `fill` puts sheets into."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, options) as book:
        fill(book)
    return file.getvalue()
