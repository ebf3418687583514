"""Rows of models other than veo2-i2v: a column that has the name of an input holds its values.

Cells become values of the type that the model's schema wants; a blank cell is not sent, and no default of ours is.
"""

import itertools
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import pyarrow as pa

from animatic.errors.text import quoted
from animatic.manifest.faults import Problem
from animatic.manifest.header import COLUMNS, START_FROM, bare
from animatic.manifest.model_cells import Cell, CellReaders, paths_in
from animatic.manifest.rows import Rows
from animatic.manifest.source import texts_of
from animatic.manifest.still_cells import RowProblems, StillCells, unusable
from animatic.manifest.still_folder import StillFolder
from animatic.takes.canonical import canonical_provider, is_here
from animatic.takes.inputs import Inputs, as_json, parts_of
from animatic.takes.models import INPUT_NAMES, Property, RequestSchema
from animatic.takes.schemas import TIMED_BY, ModelSchema, TakeClass
from animatic.takes.shots import asked_part

INSISTS = "input."
"""Begins the name of a column that is an input, or a fault: `input.seed`."""

_ONE_URL = re.compile(r"https?://[^\s;\[\]()]+")
NEVER_SENT = frozenset({"shot_id", "storyboard", "takes", "model", "start_from"})
"""Columns that say something about the shot; an input of that name is sent from `input.NAME` only."""


def model_schema_of(schema: RequestSchema) -> ModelSchema:
    """Return what takes of a model depend on."""
    return ModelSchema(schema.model, tuple(schema.priced_by), tuple(schema.media), tuple(schema.images))


def refuse_cells(  # noqa: PLR0913, PLR0917 - where, for which model, and who hears of it
    batch: pa.RecordBatch, column: str, indices: Iterable[int], model: str, inputs: Iterable[str], problems: RowProblems
) -> None:
    """Refuse what is in a column in these rows: their model has no such input."""
    texts, allowed = cell_texts(batch, column), f"nothing: {model} has no such input; it takes {', '.join(inputs)}"
    for index in indices:
        text = texts[index]
        if text is not None and text.strip():
            problems.setdefault(index, []).append((column, Problem("no such input", quoted(text), allowed)))


def columns_of(schema: RequestSchema, columns: Sequence[str]) -> dict[str, str]:
    """Return the column that each input of a model is read from: `input.NAME`, its name, or one that means it alone."""
    found: dict[str, str] = {}
    meant: dict[str, list[str]] = {}
    for column in columns:
        meant.setdefault(bare(column), []).append(column)
    for name in schema.properties:
        alike = [each for each in meant.get(bare(name), ()) if each not in NEVER_SENT and each not in schema.properties]
        if INSISTS + name in columns:
            found[name] = INSISTS + name
        elif name in columns and name not in NEVER_SENT:
            found[name] = name
        elif len(alike) == 1 and alike[0] not in COLUMNS:
            found[name] = alike[0]
        elif name == "image" and START_FROM in columns:
            found[name] = name  # of rows that start from another shot, though no row has a still of its own
    return found


def local_paths(
    rows: Rows,
    schemas: Mapping[str, RequestSchema],
    folder: StillFolder = StillFolder(),  # noqa: B008 - frozen
) -> list[str]:
    """Return the distinct paths below the folder of images in the columns of these models' inputs, in order."""
    paths: dict[str, None] = {}
    for batch in rows if schemas else ():
        for schema in schemas.values():
            columns = columns_of(schema, batch.schema.names)
            for name in schema.media:
                if name in columns:
                    texts = cell_texts(batch, columns[name])
                    paths.update(dict.fromkeys(_paths_in(schema.properties[name], texts, folder)))
    return list(paths)


def _paths_in(wanted: Property, texts: Sequence[str | None], folder: StillFolder) -> Iterator[str]:
    for text in dict.fromkeys(texts):
        if text is not None and _ONE_URL.fullmatch(text):
            continue
        if text and not text.isspace():
            yield from paths_in(wanted, text, folder)


def cell_texts(batch: pa.RecordBatch, column: str) -> Sequence[str | None]:
    """Return the cells of a column as text, those of lists and objects as JSON."""
    index = batch.schema.get_field_index(column)
    if index >= 0 and pa.types.is_nested(batch.schema.field(index).type):
        values = batch.column(column).to_pylist()
        return [None if value is None else json.dumps(_without_nulls(value), default=str) for value in values]
    return texts_of(batch, column)


def _without_nulls(value: Any) -> Any:
    """Return a value without the fields that are null: Arrow gives every struct of a column all fields."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value).items()
        return {name: _without_nulls(each) for name, each in fields if each is not None}
    return [_without_nulls(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


class ModelRequests(NamedTuple):
    """Requests of the rows of one model in a batch, column by column; those of rows with faults count for nothing.

    Attributes:
        indices: of the rows, in their batch.
        columns: the inputs that have columns of their own, as text; `still`: what identifies the `image`; `inputs`: the
            JSON of all, as written.
        texts: what is asked, as fingerprints have it, up to the number of the take.
        take_classes: of their takes.
    """

    indices: Sequence[int]
    columns: Mapping[str, Sequence[str | None]]
    texts: Sequence[str]
    take_classes: Sequence[TakeClass]


class ModelRows:
    """Reads the rows of one model, for one provider.

    Attributes:
        takes: what its takes depend on.
    """

    def __init__(self, schema: RequestSchema, columns: Sequence[str], stills: StillCells, provider: str) -> None:
        self._schema, self._stills = schema, stills
        self._columns = columns_of(schema, columns)
        self._others = [name for name in columns if self._is_misplaced(name)]
        self.takes = model_schema_of(schema)
        cell_readers = CellReaders(schema, stills, is_here=is_here(provider))
        self._cell_readers = cell_readers
        self._readers = {name: cell_readers.reader(name, column) for name, column in self._columns.items()}
        self._classes: dict[tuple[Any, ...], TakeClass] = {}
        self._class_names = [name for name in self._columns if name in {*schema.priced_by, *TIMED_BY}]
        known = {"model": schema.model, "provider": canonical_provider(provider)}
        self._parts = [
            (name, asked_part(name, known[name]) if name in known else "") for name in sorted({*self._columns, *known})
        ]

    @property
    def has_signed_paths(self) -> bool:
        """Tell if a file has an address that carries its authorisation in the path."""
        return self._cell_readers.has_signed_paths

    def _is_misplaced(self, column: str) -> bool:
        """Tell if a cell in this column is a fault, since the model has no such input.

        So it is in `input.NAME`, and in a column for an input of veo2-i2v; any other may be a column of the user's own.
        """
        is_insisted = column.startswith(INSISTS)
        return (is_insisted or column in INPUT_NAMES) and column not in self._columns.values()

    def read(
        self,
        batch: pa.RecordBatch,
        indices: Sequence[int],
        first_row: int,
        problems: RowProblems,
        chained: Mapping[int, str] = MappingProxyType({}),
    ) -> ModelRequests:
        """Return what these rows ask for, and add the faults of each to its own.

        `chained` are rows that start from another shot, each with what stands for its still.
        """
        found = {name: self._cells(name, batch, indices, problems) for name in self._columns} or {
            "": [None] * len(indices)
        }
        for column in self._others:
            refuse_cells(batch, column, indices, self._schema.model, self._schema.properties, problems)
        self._refuse_unsound(found, indices, first_row, problems)
        self._link(found, indices, chained, problems)
        self._refuse_missing(found, indices, problems)
        if not self._schema.is_by_input:
            self._refuse_unfit(found, indices, problems)
        count = len(indices)
        blank = {name for name, column in found.items() if None in column}
        parts = zip(*(_parts(column, "written", name in blank) for name, column in found.items()), strict=True)
        inputs = map(_joined if blank else ", ".join, parts)
        columns: dict[str, Sequence[str | None]] = {name: _texts(found.get(name), count) for name in INPUT_NAMES}
        columns["still"] = [None if cell is None else str(cell.identity) for cell in found.get("image", [None] * count)]
        columns["inputs"] = [f"{{{written}}}" for written in inputs]
        texts = [f'{{{"".join(each)}"take":' for each in self._columns_of_text(found, blank)]
        return ModelRequests(indices, columns, texts, self._class_of_each(found, count))

    def _refuse_missing(
        self, found: Mapping[str, Sequence[Cell | None]], indices: Sequence[int], problems: RowProblems
    ) -> None:
        """Refuse rows without an input that is required. A cell that is there and bad is no missing one."""
        for name in self._schema.required:
            column = self._columns.get(name, name)
            allowed = f"{self._schema.properties[name].allowed_in_words}; it is required"
            for index, cell in zip(indices, found.get(name, [None] * len(indices)), strict=True):
                if cell is None and column not in (each for each, _ in problems.get(index, ())):
                    problems.setdefault(index, []).append((column, Problem(f"bad {name}", "nothing", allowed)))

    def _refuse_unfit(
        self, found: Mapping[str, Sequence[Cell | None]], indices: Sequence[int], problems: RowProblems
    ) -> None:
        """Refuse rows whose inputs do not go together, in a schema that has rules for that."""
        for index, row in zip(indices, zip(*found.values(), strict=True), strict=True):
            cells = {name: cell for name, cell in zip(found, row, strict=True) if cell is not None}
            sent = {name: cell.sent for name, cell in cells.items()}
            if index not in problems and not self._schema.fits(sent):
                problems[index] = [self._problem_of(cells, *each) for each in self._schema.faults(sent)]

    def _columns_of_text(
        self, found: Mapping[str, Sequence[Cell | None]], blank: Collection[str]
    ) -> Iterator[tuple[str, ...]]:
        """Yield the parts of the JSON of what each row asks for, in the order of their names."""
        count = len(next(iter(found.values())))
        columns = (
            itertools.repeat(known, count) if known else _parts(found[name], "asked", name in blank)
            for name, known in self._parts
        )
        return zip(*columns, strict=True)

    def _class_of_each(self, found: Mapping[str, Sequence[Cell | None]], count: int) -> list[TakeClass]:
        """Return the class of each row's takes; rows with the same values of what counts share one."""
        columns = [[None if cell is None else cell.counted for cell in found[name]] for name in self._class_names]
        keys = list(zip(*columns, strict=True)) if columns else [()] * count
        for at, key in enumerate(keys):
            if key not in self._classes:
                sent = {name: cell.sent for name in self._class_names if (cell := found[name][at]) is not None}
                self._classes[key] = self.takes.take_class(Inputs(sent))
        return [self._classes[key] for key in keys]

    def _cells(
        self, name: str, batch: pa.RecordBatch, indices: Sequence[int], problems: RowProblems
    ) -> list[Cell | None]:
        """Return the cells of an input in these rows, None for a blank or a bad one; different texts are read once."""
        column = self._columns[name]
        texts = cell_texts(batch, column)
        own = [texts[index] for index in indices] if len(indices) != len(texts) else texts
        read = self._readers[name]
        known = {text: None if not text or text.isspace() else read(text) for text in dict.fromkeys(own)}
        found = [known[text] for text in own]
        if any(isinstance(each, Problem) for each in known.values()):
            for at, each in enumerate(found):
                if isinstance(each, Problem):
                    problems.setdefault(indices[at], []).append((column, each))
                    found[at] = None
        return cast("list[Cell | None]", found)

    def _refuse_unsound(
        self, found: Mapping[str, Sequence[Cell | None]], indices: Sequence[int], first_row: int, problems: RowProblems
    ) -> None:
        """Refuse the files of rows that have one which cannot be used, though it is there."""
        for at, index in enumerate(indices):
            whys = self._stills.unsound.get(first_row + index, {})
            for name in self.takes.media if whys else ():
                cell = found[name][at] if name in found else None
                if cell is None:
                    continue
                for value, identity in zip(parts_of(cell.value), parts_of(cell.identity), strict=True):
                    if identity in whys:
                        problem = unusable(str(value), whys[identity])
                        problems.setdefault(index, []).append((self._columns[name], problem))

    def _link(
        self,
        found: Mapping[str, list[Cell | None]],
        indices: Sequence[int],
        chained: Mapping[int, str],
        problems: RowProblems,
    ) -> None:
        """Give rows that start from another shot its last frame as their still."""
        for at, index in enumerate(indices) if chained else ():
            if index not in chained:
                continue
            if "image" in found:
                still = chained[index]
                written = f"{as_json('image')}: {as_json(still)}"
                found["image"][at] = Cell(still, still, _UPLOADED, written, asked_part("image", still), 1)
            else:
                allowed = f"nothing: {self._schema.model} has no input image to start from a last frame with"
                problems.setdefault(index, []).append(
                    (START_FROM, Problem("no still", quoted(chained[index]), allowed))
                )

    def _problem_of(self, cells_: Mapping[str, Cell], name: str, allowed: str) -> tuple[str, Problem]:
        shown = quoted(json.dumps(cells_[name].value))[:200] if name in cells_ else "nothing"
        return self._columns.get(name, name), Problem(f"bad {name}", shown, allowed)


def _texts(column: Sequence[Cell | None] | None, count: int) -> Sequence[str | None]:
    """Return the cells of a column as text; nothing for one that is not there."""
    if column is None:
        return [None] * count
    values = (None if cell is None else cell.value for cell in column)
    return [value if value is None or type(value) is str else as_json(value) for value in values]


def _parts(column: Sequence[Cell | None], name: str, has_blanks: bool) -> Iterable[str]:
    """Return a part of each cell of a column; nothing of a blank one."""
    part = attrgetter(name)
    return ["" if cell is None else part(cell) for cell in column] if has_blanks else map(part, column)


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(filter(None, parts))


_UPLOADED = "https://example.com/last-frame.png"
