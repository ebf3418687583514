"""The cells of a results table in JSON Lines. Columns of ours get their types, others those that JSON has.

Values of a column that no one type of Arrow fits, such as the pairs of a map, come back as text: strings as they are,
others as JSON.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow as pa

from animatic.results.columns import RESULTS_SCHEMA

_BATCH_ROWS = 10_000
_CELL_ROWS = 1_000
_LINE_BYTES = 64 << 20


def names_in(file: BinaryIO) -> dict[str, None]:
    """Return the names in the first objects of a file."""
    names: dict[str, None] = {}
    for parsed in itertools.islice(_objects(file), 100):
        names.update(dict.fromkeys(parsed))
    return names


def read_cells(file: BinaryIO, known: Sequence[str], others: Sequence[str]) -> Iterator[pa.Table]:
    """Yield known columns with their types, and others as JSON (`pa.json_()`), some rows at a time."""
    file.seek(0)
    objects = _objects(file)
    while batch := list(itertools.islice(objects, _CELL_ROWS)):
        columns: dict[str, Any] = {name: _column(name, batch) for name in known}
        for name in others:
            texts = [None if (value := entry.get(name)) is None else json.dumps(value) for entry in batch]
            columns[name] = pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))
        yield pa.table(columns)


def read_table(file: BinaryIO) -> pa.Table:
    """Return the whole table. By `json`: pyarrow would turn carried text that looks like a date into one."""
    pieces, mixed = list[dict[str, pa.Array]](), dict[str, None]()
    for batch in _batches(file):
        piece: dict[str, pa.Array] = {}
        for name in dict.fromkeys(name for entry in batch for name in entry):
            try:
                piece[name] = _column(name, batch)
            except (pa.ArrowException, OverflowError, TypeError):
                if name in RESULTS_SCHEMA.names:
                    raise
                piece[name] = pa.nulls(len(batch))
                mixed[name] = None
        pieces.append(piece)
    mixed |= dict.fromkeys(name for name in _names_of(pieces) if name not in mixed and not _are_one_type(pieces, name))
    texts = _texts_in(file, mixed) if mixed else itertools.repeat(dict[str, pa.Array](), len(pieces))
    tables = [pa.table(piece | text) for piece, text in zip(pieces, texts, strict=True)]
    table = pa.concat_tables(tables, promote_options="permissive")
    nothing_known = [pa.field(field.name, pa.string()) if field.type == pa.null() else field for field in table.schema]
    return table.cast(pa.schema(nothing_known))


def _texts_in(file: BinaryIO, names: Iterable[str]) -> Iterator[dict[str, pa.Array]]:
    """Yield these columns as text, batch by batch."""
    for batch in _batches(file):
        yield {name: pa.array([_text(entry.get(name)) for entry in batch], pa.string()) for name in names}


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _names_of(pieces: Sequence[dict[str, pa.Array]]) -> dict[str, None]:
    return dict.fromkeys(name for piece in pieces for name in piece)


def _are_one_type(pieces: Sequence[dict[str, pa.Array]], name: str) -> bool:
    """Tell if the pieces of a column can be put together."""
    schemas = [pa.schema([(name, piece[name].type)]) for piece in pieces if name in piece]
    try:
        pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException:
        return False
    return True


def _batches(file: BinaryIO) -> Iterator[list[dict[str, Any]]]:
    file.seek(0)
    objects = _objects(file)
    while batch := list(itertools.islice(objects, _BATCH_ROWS)):
        yield batch


def _objects(file: BinaryIO) -> Iterator[dict[str, Any]]:
    while line := file.readline(_LINE_BYTES + 1):
        if len(line) > _LINE_BYTES:
            raise ValueError(f"a line of more than {_LINE_BYTES:,} bytes")
        text = line.strip(b"\xef\xbb\xbf \t\r\n")
        parsed: Any = json.loads(text) if text else None
        if parsed is not None and not isinstance(parsed, dict):
            raise ValueError("a line that is no JSON object")
        if parsed is not None:
            yield parsed


def _column(name: str, parsed: Sequence[dict[str, Any]]) -> pa.Array:
    values = [entry.get(name) for entry in parsed]
    if name not in RESULTS_SCHEMA.names:
        return pa.array(values)
    of = RESULTS_SCHEMA.field(name).type
    if pa.types.is_decimal(of):
        return pa.array([None if value is None else round(Decimal(str(value)), 6) for value in values], of)
    return pa.array(values, None if pa.types.is_timestamp(of) else of)
