"""Rows of models other than veo2-i2v: a column that has the name of an input holds its values.

Cells become values of the type that the model's schema wants; a blank cell is not sent, and no default of ours is.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pyarrow as pa

from animatic.manifest import cells, images
from animatic.manifest.faults import Problem
from animatic.manifest.header import COLUMNS, bare
from animatic.manifest.rows import Rows
from animatic.manifest.source import texts_of
from animatic.manifest.still_cells import Bads, StillCells
from animatic.models import Property, RequestSchema, Unfit, read_value
from animatic.takes.schemas import ModelSchema
from animatic.text import quoted

INSISTS = "input."
"""Begins the name of a column that is an input, or a fault: `input.seed`."""

OWN = ("image", "prompt", "aspect_ratio", "duration")
"""Columns of ours that are inputs of veo2-i2v: in a row whose model takes no such input, a cell in them is a fault."""

NEVER_SENT = frozenset({"shot_id", "storyboard", "takes", "model", "start_from"})
"""Columns that say something about the shot; an input of that name is sent from `input.NAME` only."""


def model_schema_of(schema: RequestSchema) -> ModelSchema:
    """Return what takes of a model depend on."""
    return ModelSchema(schema.model, tuple(schema.priced_by), tuple(schema.media))


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
    for batch in rows:
        for schema in schemas.values():
            columns = columns_of(schema, batch.schema.names)
            for name in schema.media:
                if name in columns:
                    paths.update(dict.fromkeys(_paths_in(schema.properties[name], cell_texts(batch, columns[name]))))
    return list(paths)


def _paths_in(wanted: Property, texts: Sequence[str | None]) -> Iterator[str]:
    for text in dict.fromkeys(texts):
        value = _value_of(wanted, text) if text and not text.isspace() else None
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and "://" not in each and images.relative_path(each) is not None:
                yield each


def cell_texts(batch: pa.RecordBatch, column: str) -> Sequence[str | None]:
    """Return the cells of a column as text, those of lists and objects as JSON, those of durations in seconds."""
    arrow_type = batch.schema.field(column).type
    if pa.types.is_nested(arrow_type):
        values = batch.column(column).to_pylist()
        return [None if value is None else json.dumps(value, default=str) for value in values]
    if pa.types.is_decimal(arrow_type) or pa.types.is_duration(arrow_type):
        values = batch.column(column).to_pylist()
        return [
            None if value is None else str(value.total_seconds() if isinstance(value, dt.timedelta) else value)
            for value in values
        ]
    return texts_of(batch, column)


@dataclass(slots=True)
class Asked:
    """What one row asks for.

    Attributes:
        inputs: as written in the row.
        identities: the same, each local file by what identifies it.
    """

    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    identities: dict[str, Any] = field(default_factory=dict[str, Any])


class ModelRows:
    """Reads the rows of one model."""

    def __init__(self, schema: RequestSchema, columns: Sequence[str], stills: StillCells) -> None:
        self._schema, self._stills = schema, stills
        self._columns = columns_of(schema, columns)
        self._others = [name for name in columns if self._is_misplaced(name)]
        self.takes = model_schema_of(schema)

    def _is_misplaced(self, column: str) -> bool:
        """Tell if a cell in this column is a fault, since the model has no such input."""
        is_insisted = column.startswith(INSISTS)
        return (is_insisted or column in OWN) and column not in self._columns.values()

    def read(self, batch: pa.RecordBatch, indices: Sequence[int], first_row: int, bads: Bads) -> dict[int, Asked]:
        """Return what these rows ask for, and add the faults of each to its own."""
        rows = {index: Asked() for index in indices}
        for name, column in self._columns.items():
            texts = cell_texts(batch, column)
            for index, value in self._values(name, {index: texts[index] for index in indices}):
                if isinstance(value, Problem):
                    bads.setdefault(index, []).append((column, value))
                else:
                    rows[index].inputs[name] = rows[index].identities[name] = value
        for name in self._schema.media:
            if name in self._columns:
                self._identify(name, rows, first_row, bads)
        for column in self._others:
            self._refuse(batch, column, indices, bads)
        for index in indices:
            if index not in bads:
                self._check(rows[index], index, bads)
        return rows

    def _values(self, name: str, texts: Mapping[int, str | None]) -> Iterator[tuple[int, Any]]:
        """Yield the value of each cell that is not blank, or what is wrong with it; different texts are read once."""
        known: dict[str, Any] = {}
        for index, text in texts.items():
            if text is None or not text or text.isspace():
                continue
            if text not in known:
                known[text] = cells.formula_error(text) or _value_of(self._schema.properties[name], text)
            yield index, known[text]

    def _identify(self, name: str, rows: Mapping[int, Asked], first_row: int, bads: Bads) -> None:
        """Put what identifies each local file in the place of its path."""
        for index, row in rows.items():
            value = row.inputs.get(name)
            written = value if isinstance(value, list) else [] if value is None else [value]
            if not any(isinstance(each, str) and "://" not in each for each in written):
                continue
            column = self._columns[name]
            found, problems = self._stills.identities_in_row(written, first_row + index, column)
            if problems:
                bads.setdefault(index, []).extend((column, each) for each in problems)
            else:
                row.identities[name] = found if isinstance(value, list) else found[0]

    def _refuse(self, batch: pa.RecordBatch, column: str, indices: Sequence[int], bads: Bads) -> None:
        texts = cell_texts(batch, column)
        takes = ", ".join(self._schema.properties)
        for index in indices:
            text = texts[index]
            if text is not None and text.strip():
                allowed = f"nothing: {self._schema.model} has no such input; it takes {takes}"
                bads.setdefault(index, []).append((column, Problem("no such input", quoted(text), allowed)))

    def _check(self, row: Asked, index: int, bads: Bads) -> None:
        for name, allowed in self._schema.faults(_as_sent(row)):
            column = self._columns.get(name, name)
            shown = quoted(json.dumps(row.inputs[name]))[:200] if name in row.inputs else "nothing"
            bads.setdefault(index, []).append((column, Problem(f"bad {name}", shown, allowed)))


def _as_sent(row: Asked) -> dict[str, Any]:
    """Return the inputs as they are going to be sent, but for the URLs of uploads, which are not known yet."""
    return {name: _uploaded(value) for name, value in row.identities.items()}


def _uploaded(value: Any) -> Any:
    if isinstance(value, list):
        return [_uploaded(each) for each in value]
    return f"https://example.com/{value[7:39]}.jpg" if isinstance(value, str) and value.startswith("sha256:") else value


def _value_of(wanted: Property, text: str) -> Any:
    """Return the value of a cell, or what is wrong with it."""
    value = read_value(text, wanted)
    if isinstance(value, Unfit):
        return Problem(f"bad {wanted.name}", quoted(text), value.allowed)
    files = wanted.items if wanted.type == "array" else wanted
    if files is not None and files.media:
        return _files(value, files)
    problem = next(filter(None, map(_hidden, value if isinstance(value, list) else [value])), None)
    return problem or value


def _hidden(value: Any) -> Problem | None:
    return cells.hidden_character(value) if isinstance(value, str) else None


def _files(value: Any, wanted: Property) -> Any:
    """Return URLs as they are and paths without `.` segments, or what is wrong with the first bad one."""
    written = cast("list[Any]", value) if isinstance(value, list) else [value]
    found = [_file(each, wanted) if isinstance(each, str) else each for each in written]
    bad = next((each for each in found if isinstance(each, Problem)), None)
    return bad or (found if isinstance(value, list) else found[0])


def _file(text: str, wanted: Property) -> str | Problem:
    if wanted.media == "image":
        return images.image(text)
    if images.is_acceptable_url(text.strip()):
        return text.strip()
    return Problem(f"bad {wanted.name}", quoted(text), f"an https URL of {wanted.media}")
