"""The manifest of retakes as a table, and its bytes. Pure.

Each row asks in full for what its shot was bought with, so that its takes are the same takes: stills and files by their
absolute URI, every input in a column of its own, and the manifest's other columns unchanged.
"""

import csv
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from animatic.errors import LocationError
from animatic.errors.text import escaped
from animatic.manifest.header import COLUMNS, bare
from animatic.results.board import CARRIED, inputs_of
from animatic.results.plain_text import as_text
from animatic.results.retakes import (
    RETAKE_DECIDED,
    RETAKE_OF,
    RETAKE_TAKES,
    START_FROM,
    RefusedError,
    RetakeRow,
    Retakes,
)
from animatic.takes.inputs import Inputs, as_json
from animatic.takes.models import INPUT_NAMES
from animatic.takes.veo2 import CHOICES

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
FIRST = ("shot_id", "storyboard", "image", "prompt", "model", *CHOICES, START_FROM, "takes")
MARKS = (RETAKE_OF, RETAKE_TAKES, RETAKE_DECIDED)
_TAKEN = frozenset(map(bare, (*COLUMNS, *MARKS)))
Cells = dict[str, Any]


def check_suffix(name: str) -> str:
    """Return the suffix of a manifest that can be written; LocationError for any other."""
    found = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)
    if found is None:
        raise LocationError(f'found "{escaped(name, 200)}" as a manifest to write; allowed: {", ".join(SUFFIXES)}')
    return found


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a manifest that is written.

    Attributes:
        cells: by column.
        files: URIs of the files that it names, but those on the web.
    """

    row: RetakeRow
    cells: Cells
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A manifest that is written: each shot once, and files of one store."""

    lines: dict[str, Line]

    @property
    def takes(self) -> int:
        """Number of takes that are asked for again."""
        return sum(line.row.bought for line in self.lines.values())

    @property
    def stills(self) -> str | None:
        """The folder that all its files lie in; None where there are none."""
        return common_folder([file for line in self.lines.values() for file in line.files])

    @property
    def table(self) -> pa.Table:
        """Its table: our columns first, then all others; without those in which nothing stands."""
        rows = [line.cells for line in self.lines.values()]
        names = dict.fromkeys([*FIRST, *(name for row in rows for name in row if name not in MARKS), *MARKS])
        used = [name for name in names if name in MARKS or any(row.get(name) is not None for row in rows)]
        return pa.Table.from_arrays([_array([row.get(name) for row in rows]) for name in used], names=used)

    def takes_in(self, lines: Sequence[Line]) -> bool:
        """Tell if lines can stand in it too: no shot asks for two things at once, and files lie in one store."""
        stores = {_store(file) for line in (*self.lines.values(), *lines) for file in line.files}
        return len(stores) < 2 and all(_goes_with(self.lines.get(line.row.shot_id), line) for line in lines)

    def add(self, lines: Sequence[Line]) -> None:
        """Put lines into it; of two for one shot that which buys."""
        for line in lines:
            there = self.lines.get(line.row.shot_id)
            if there is None or not there.row.bought:
                self.lines[line.row.shot_id] = line


def _goes_with(there: Line | None, line: Line) -> bool:
    return there is None or (there.row.storyboard, there.row.target) == (line.row.storyboard, line.row.target)


def sheets_of(retakes: Retakes, stills: str | None = None) -> tuple[list[Sheet], list[str]]:
    """Return the manifests that hold all that is asked for, and why some of it is in none, a line each.

    Args:
        retakes: what is asked for.
        stills: URI of the folder that files are in whose own folder the table does not say.
    """
    sheets: list[Sheet] = []
    refused: list[str] = []
    for unit in retakes.units:
        try:
            lines = _lines_of(unit, stills)
        except RefusedError as error:
            refused.append(f"shot {escaped(unit[0].shot_id)}: {error}")
            continue
        sheet = next((each for each in sheets if each.takes_in(lines)), None)
        if sheet is None:
            sheets.append(sheet := Sheet({}))
        sheet.add(lines)
    return sheets, refused


def _lines_of(unit: Sequence[RetakeRow], stills: str | None) -> list[Line]:
    """Return rows that must stand in one manifest with their cells. Raises RefusedError where none can hold them."""
    lines = [_line_of(row, stills) for row in unit]
    if len({_store(file) for line in lines for file in line.files}) > 1:
        raise RefusedError("its files and those of the shots that it starts from lie in different places")
    return lines


def _line_of(row: RetakeRow, stills: str | None) -> Line:
    """Return a row with its cells. Raises RefusedError where a file that is sent cannot be named."""
    base = row.base
    inputs = inputs_of(base)
    inputs = inputs.replaced(prompt=row.prompt) if row.prompt else inputs
    inputs = inputs.without("image") if row.start_from else inputs
    files = _files_of(base, inputs, stills)
    inputs = inputs.with_files(files)
    carried: Mapping[str, Any] = base.get(CARRIED, {})
    cells: Cells = {name: value for name, value in carried.items() if name not in {*MARKS, *COLUMNS}}
    for name, value in inputs.items():
        column = name if name in INPUT_NAMES else _column_of(name, carried)
        cells[column] = value if isinstance(value, str) else as_json(value)
    cells |= {"shot_id": row.shot_id, "storyboard": row.storyboard, "model": base["model"], "takes": row.takes}
    cells |= {START_FROM: row.start_from or None}
    marks = zip(*(pair.cells for pair in row.pairs), strict=True) if row.pairs else [()] * len(MARKS)
    cells |= {name: " ".join(texts) or None for name, texts in zip(MARKS, marks, strict=True)}
    return Line(row, cells, tuple(files.values()))


def _column_of(name: str, carried: Mapping[str, Any]) -> str:
    """Return the column that an input is read from: that which it was read from, if the table has it."""
    insisted = f"input.{name}"
    if insisted in carried or bare(name) in _TAKEN:
        return insisted
    alike = [each for each in carried if bare(each) == bare(name)]
    return name if name in carried or len(alike) != 1 else alike[0]


def _files_of(base: Mapping[str, Any], inputs: Inputs, stills: str | None) -> dict[str, str]:
    """Return the absolute URI of each file that is named by a path. Raises RefusedError where a folder is not known."""
    image, still = inputs.get("image"), str(base.get("still_uri") or "")
    found: dict[str, str] = {}
    folder = _folder_of(str(image or ""), still) or (stills.rstrip("/") if stills is not None else None)
    for path in inputs.local_paths():
        if path == image and still:
            found[path] = still
        elif folder is not None:
            found[path] = f"{folder}/{quote(path) if folder.startswith('file:') else path}"
        elif path == image:
            raise RefusedError(
                f"its still {escaped(path, 200)} lies in the manifest itself; put the stills into a folder, by the "
                "names of the column image, and name it: --stills FOLDER"
            )
        else:
            what = f"the table does not say where {escaped(path, 200)} is"
            raise RefusedError(f"{what}; name the folder that it is in: --stills FOLDER")
    return found


def _folder_of(image: str, still: str) -> str | None:
    """Return the folder that paths of a row start from, by its still; None where that is not in one."""
    ends = (f"/{quote(image)}", f"/{image}") if image and "://" not in image else ()
    return next((still.removesuffix(end) for end in ends if still.endswith(end)), None)


def _array(values: Sequence[Any]) -> pa.Array:
    try:
        found = pa.array(values)
    except (pa.ArrowException, OverflowError):
        found = pa.array([_as_text(value) for value in values])
    return found.cast(pa.string()) if pa.types.is_null(found.type) else found


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def encode(table: pa.Table, suffix: str) -> bytes:
    """Return the bytes of a manifest. Text is exactly what is sent: no cell gets a mark."""
    sink = io.BytesIO()
    match suffix:
        case ".parquet":
            pq.write_table(table, sink, compression="zstd")
        case ".jsonl":
            for row in table.to_pylist():
                filled = {name: value for name, value in row.items() if value is not None or name in MARKS}
                sink.write((json.dumps(filled, ensure_ascii=False, default=str) + "\n").encode())
        case _:
            texts = pa.Table.from_arrays([as_text(column) for column in table.columns], names=table.column_names)
            pacsv.write_csv(texts, sink, pacsv.WriteOptions(delimiter="\t" if suffix == ".tsv" else ","))
    return sink.getvalue()


def names_in(data: bytes, suffix: str) -> list[str]:
    """Return the columns of a file that may be such a manifest; none where it cannot be read as one."""
    try:
        if suffix == ".parquet":
            return list(pq.read_schema(io.BytesIO(data)).names)
        first = data.decode("utf-8-sig", "replace").partition("\n")[0]
        if suffix == ".jsonl":
            return list(json.loads(first))
        return next(csv.reader([first], delimiter="\t" if suffix == ".tsv" else ","), [])
    except (pa.ArrowException, ValueError, TypeError, RecursionError, csv.Error):
        return []


def is_ours(names: Collection[str]) -> bool:
    """Tell by its columns if a file is a manifest of retakes, and no results table of a run."""
    return {RETAKE_OF, RETAKE_TAKES, "takes"} <= set(names) and "fingerprint" not in names


def common_folder(uris: Collection[str]) -> str | None:
    """Return the folder that all these URIs of files lie in; None where there are none, or they have none in common."""
    places = [uri.split("/")[:-1] for uri in uris]
    if not places:
        return None
    common = list[str]()
    for parts in zip(*places, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "/".join(common) if len(common) > 3 or (len(common) == 3 and common[2]) else None


def _store(uri: str) -> str:
    """Return where a file lies as far as one `--stills` reaches: a bucket, or a folder at the root of this machine."""
    return "/".join(uri.split("/")[: 4 if uri.startswith("file:") else 3])
