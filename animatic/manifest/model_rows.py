"""Rows of models other than veo2-i2v: a column that has the name of an input holds its values.

Cells become values of the type that the model's schema wants; a blank cell is not sent, and no default of ours is.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, cast

import pyarrow as pa

from animatic.manifest import cells, images
from animatic.manifest.faults import Problem
from animatic.manifest.header import COLUMNS, bare
from animatic.manifest.rows import Rows
from animatic.manifest.source import texts_of
from animatic.manifest.still_cells import Bads, StillCells
from animatic.models import Property, RequestSchema, Unfit, read_value
from animatic.takes.canonical import canonical_provider, is_here, is_signed_by_path
from animatic.takes.inputs import Inputs, as_json, form_of, parts_of
from animatic.takes.schemas import TIMED_BY, ModelSchema, TakeClass
from animatic.takes.shots import asked_part, asked_value
from animatic.text import quoted

INSISTS = "input."
"""Begins the name of a column that is an input, or a fault: `input.seed`."""

OWN = ("image", "prompt", "aspect_ratio", "duration")
"""Columns of ours that are inputs of veo2-i2v: in a row whose model takes no such input, a cell in them is a fault."""

_ONE_URL = re.compile(r"https?://[^\s;\[\]()]+")
NEVER_SENT = frozenset({"shot_id", "storyboard", "takes", "model", "start_from"})
"""Columns that say something about the shot; an input of that name is sent from `input.NAME` only."""


def model_schema_of(schema: RequestSchema) -> ModelSchema:
    """Return what takes of a model depend on."""
    return ModelSchema(schema.model, tuple(schema.priced_by), tuple(schema.media))


def refuse_cells(  # noqa: PLR0913, PLR0917 - where, for which model, and who hears of it
    batch: pa.RecordBatch, column: str, indices: Iterable[int], model: str, inputs: Iterable[str], bads: Bads
) -> None:
    """Refuse what is in a column in these rows: their model has no such input."""
    texts, allowed = cell_texts(batch, column), f"nothing: {model} has no such input; it takes {', '.join(inputs)}"
    for index in indices:
        text = texts[index]
        if text is not None and text.strip():
            bads.setdefault(index, []).append((column, Problem("no such input", quoted(text), allowed)))


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
    return found


def local_paths(rows: Rows, schemas: Mapping[str, RequestSchema]) -> list[str]:
    """Return the distinct relative paths of images in the columns of these models' inputs, in order."""
    paths: dict[str, None] = {}
    for batch in rows if schemas else ():
        for schema in schemas.values():
            columns = columns_of(schema, batch.schema.names)
            for name in schema.media:
                if name in columns:
                    paths.update(dict.fromkeys(_paths_in(schema.properties[name], cell_texts(batch, columns[name]))))
    return list(paths)


def _paths_in(wanted: Property, texts: Sequence[str | None]) -> Iterator[str]:
    for text in dict.fromkeys(texts):
        if text is not None and _ONE_URL.fullmatch(text):
            continue
        value = _value_of(wanted, text) if text and not text.isspace() else None
        for each in parts_of(value):
            if isinstance(each, str) and "://" not in each and images.relative_path(each) is not None:
                yield each


def cell_texts(batch: pa.RecordBatch, column: str) -> Sequence[str | None]:
    """Return the cells of a column as text, those of lists and objects as JSON."""
    arrow_type = batch.schema.field(column).type
    if pa.types.is_nested(arrow_type):
        values = batch.column(column).to_pylist()
        return [None if value is None else json.dumps(_without_nulls(value), default=str) for value in values]
    return texts_of(batch, column)


def _without_nulls(value: Any) -> Any:
    """Return a value without the fields that are null: Arrow gives every struct of a column all fields."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value).items()
        return {name: _without_nulls(each) for name, each in fields if each is not None}
    return [_without_nulls(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


class Cell(NamedTuple):
    """One cell as an input.

    Attributes:
        value: as written: a local file by its path.
        identity: the same, a local file by what identifies it.
        sent: the same with a URL for each local file, as it is going to be sent; which URL is not known yet.
        written: its part of the JSON of a row's inputs.
        asked: its part of the JSON that fingerprints are made from.
    """

    value: Any
    identity: Any
    sent: Any
    written: str
    asked: str

    @property
    def text(self) -> str:
        """The value as text."""
        return self.value if isinstance(self.value, str) else as_json(self.value)


class Asked(NamedTuple):
    """Request of one row.

    Attributes:
        own: the inputs that have columns of their own, in the order of OWN, as text.
        still: what identifies its `image`; None where it has none.
        inputs: the JSON of all, as written.
        text: what is asked, as fingerprints have it, up to the number of the take.
        take_class: of its takes.
    """

    own: Sequence[str | None]
    still: str | None
    inputs: str
    text: str
    take_class: TakeClass


class ModelRows:
    """Reads the rows of one model, for one provider.

    Attributes:
        takes: what its takes depend on.
        has_signed_paths: whether a file has an address that carries its authorisation in the path.
    """

    def __init__(self, schema: RequestSchema, columns: Sequence[str], stills: StillCells, provider: str) -> None:
        self._schema, self._stills, self._is_here = schema, stills, is_here(provider)
        self._columns = columns_of(schema, columns)
        self._others = [name for name in columns if self._is_misplaced(name)]
        self.takes, self.has_signed_paths = model_schema_of(schema), False
        self._files = frozenset(schema.media)
        self._classes: dict[tuple[Any, ...], TakeClass] = {}
        self._class_names = [name for name in self._columns if name in {*schema.priced_by, *TIMED_BY}]
        known = {"model": schema.model, "provider": canonical_provider(provider)}
        places = {name: at for at, name in enumerate(self._columns)}
        self._parts = [
            (name, asked_part(name, known[name]) if name in known else "") for name in sorted({*self._columns, *known})
        ]
        self._own, self._still = [places.get(name) for name in OWN], places.get("image")

    def _is_misplaced(self, column: str) -> bool:
        """Tell if a cell in this column is a fault, since the model has no such input."""
        is_insisted = column.startswith(INSISTS)
        return (is_insisted or column in OWN) and column not in self._columns.values()

    def read(self, batch: pa.RecordBatch, indices: Sequence[int], first_row: int, bads: Bads) -> dict[int, Asked]:
        """Return what these rows ask for, and add the faults of each to its own."""
        found = {name: self._cells(name, batch, indices, bads) for name in self._columns} or {"": [None] * len(indices)}
        for column in self._others:
            refuse_cells(batch, column, indices, self._schema.model, self._schema.properties, bads)
        self._refuse_unsound(found, indices, first_row, bads)
        texts = map("".join, self._columns_of_text(found))
        inputs = map(_joined, zip(*(_parts(column, "written") for column in found.values()), strict=True))
        asked: dict[int, Asked] = {}
        for index, row, text, written in zip(indices, zip(*found.values(), strict=True), texts, inputs, strict=True):
            if index in bads:
                continue
            sent = {name: cell.sent for name, cell in zip(found, row, strict=True) if cell is not None}
            if self._schema.fits(sent):
                own = [None if at is None or (cell := row[at]) is None else cell.text for at in self._own]
                still = None if self._still is None or (cell := row[self._still]) is None else str(cell.identity)
                asked[index] = Asked(own, still, f"{{{written}}}", f'{{{text}"take":', self._class_of(sent))
            else:
                cells = {name: cell for name, cell in zip(found, row, strict=True) if cell is not None}
                bads[index] = [self._problem_of(cells, *each) for each in self._schema.faults(sent)]
        return asked

    def _columns_of_text(self, found: Mapping[str, Sequence[Cell | None]]) -> Iterator[tuple[str, ...]]:
        """Yield the parts of the JSON of what each row asks for, in the order of their names."""
        count = len(next(iter(found.values())))
        return zip(
            *(itertools.repeat(known, count) if known else _parts(found[name], "asked") for name, known in self._parts),
            strict=True,
        )

    def _class_of(self, sent: Mapping[str, Any]) -> TakeClass:
        key = tuple([self._counted(name, sent.get(name)) for name in self._class_names])
        known = self._classes.get(key)
        if known is None:
            known = self._classes[key] = self.takes.take_class(Inputs(sent))
        return known

    def _counted(self, name: str, value: Any) -> Any:
        """Return an input as its classes are found by it: of files, how many there are; all else as it is."""
        if value is not None and name in self._files:
            return len(parts_of(value))
        return as_json(value) if isinstance(value, list | dict) else value

    def _cells(self, name: str, batch: pa.RecordBatch, indices: Sequence[int], bads: Bads) -> list[Cell | None]:
        """Return the cells of an input in these rows, None for a blank or a bad one; different texts are read once."""
        column = self._columns[name]
        texts = cell_texts(batch, column)
        own = [texts[index] for index in indices] if len(indices) != len(texts) else texts
        read = self._reader(name)
        known = {text: None if not text or text.isspace() else read(text) for text in dict.fromkeys(own)}
        found = [known[text] for text in own]
        if any(isinstance(each, Problem) for each in known.values()):
            for at, each in enumerate(found):
                if isinstance(each, Problem):
                    bads.setdefault(indices[at], []).append((column, each))
                    found[at] = None
        return cast("list[Cell | None]", found)

    def _reader(self, name: str) -> Callable[[str], Cell | Problem]:
        """Return the function from a cell that is not blank to an input of this name."""
        wanted, key, form = self._schema.properties[name], as_json(name), form_of(name)

        def read(text: str) -> Cell | Problem:
            value = cells.formula_error(text) or _value_of(wanted, text, is_here=self._is_here)
            if isinstance(value, Problem):
                return value
            counts = value if form is None else form(value)
            if name == "prompt" and counts == "":
                return cells.EMPTY_PROMPT
            return Cell(value, value, value, f"{key}: {as_json(value)}", f"{key}:{asked_value(counts)},")

        return self._file_reader(name) if name in self._files else read

    def _file_reader(self, name: str) -> Callable[[str], Cell | Problem]:
        wanted, head = self._schema.properties[name], f"{as_json(name)}: "

        def read(text: str) -> Cell | Problem:
            value = cells.formula_error(text) or _value_of(wanted, text, is_here=self._is_here)
            if isinstance(value, Problem):
                return value
            known, problems = self._stills.identities_of(parts_of(value), self._columns[name])
            if problems:
                return problems[0]
            self.has_signed_paths = self.has_signed_paths or any(map(is_signed_by_path, known))
            identity = known if isinstance(value, list) else known[0]
            return Cell(value, identity, _uploaded(identity), head + as_json(value), asked_part(name, identity))

        return read

    def _refuse_unsound(
        self, found: Mapping[str, Sequence[Cell | None]], indices: Sequence[int], first_row: int, bads: Bads
    ) -> None:
        """Refuse the local files of rows that have one which cannot be decoded."""
        for at, index in enumerate(indices):
            why = self._stills.unsound.get(first_row + index)
            for name in self.takes.media if why is not None else ():
                cell = found[name][at] if name in found else None
                if cell is not None and cell.identity != cell.value:
                    problem = Problem("unusable still", f"{quoted(str(cell.value))}: {why}", images.STILL_ALLOWED)
                    bads.setdefault(index, []).append((self._columns[name], problem))

    def _problem_of(self, cells_: Mapping[str, Cell], name: str, allowed: str) -> tuple[str, Problem]:
        shown = quoted(json.dumps(cells_[name].value))[:200] if name in cells_ else "nothing"
        return self._columns.get(name, name), Problem(f"bad {name}", shown, allowed)


def _parts(column: Sequence[Cell | None], name: str) -> list[str]:
    """Return a part of each cell of a column; nothing of a blank one."""
    part = attrgetter(name)
    return ["" if cell is None else part(cell) for cell in column]


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(filter(None, parts))


def _uploaded(value: Any) -> Any:
    if isinstance(value, list):
        return [_uploaded(each) for each in cast("list[Any]", value)]
    return f"https://example.com/{value[7:39]}.jpg" if isinstance(value, str) and value.startswith("sha256:") else value


def _value_of(wanted: Property, text: str, *, is_here: bool = True) -> Any:
    """Return the value of a cell, or what is wrong with it."""
    value = read_value(text, wanted)
    if isinstance(value, Unfit):
        return Problem(f"bad {wanted.name}", quoted(text), value.allowed)
    files = wanted.items if wanted.type == "array" else wanted
    if files is not None and files.media:
        return _files(value, files, is_here=is_here)
    hidden = (cells.hidden_character(each) for each in parts_of(value) if isinstance(each, str))
    return next(filter(None, hidden), None) or value


def _files(value: Any, wanted: Property, *, is_here: bool) -> Any:
    """Return URLs as they are and paths without `.` segments, or what is wrong with the first bad one."""
    found = [_file(each, wanted, is_here=is_here) if isinstance(each, str) else each for each in parts_of(value)]
    bad = next((each for each in found if isinstance(each, Problem)), None)
    return bad or (found if isinstance(value, list) else found[0])


def _file(text: str, wanted: Property, *, is_here: bool) -> str | Problem:
    if wanted.media == "image":
        return images.image(text, is_fetched_here=is_here)
    if images.is_acceptable_url(text.strip()):
        return text.strip()
    return Problem(f"bad {wanted.name}", quoted(text), f"an https URL of {wanted.media}")
