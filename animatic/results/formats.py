"""The bytes of a results file, in the formats that its suffix picks. `reading` is the way back.

Parquet keeps every type and the metadata. CSV and JSON Lines keep the types of the columns of RESULTS_SCHEMA. For
workbooks see `workbook`.

CSV: UTF-8, nulls are empty cells and empty strings `""`, moments ISO 8601 with Z, lists JSON text. A text cell or
column name that a spreadsheet would take for a formula gets one `'` in front; reading takes it off again. So does what
follows a semicolon, a tab or a line end: where those separate cells, a spreadsheet may split ours there.
"""

import base64
import io
import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from animatic.errors import LocationError
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.formulas import neutralise
from animatic.results.plain_text import as_text, moments_as_text, plain
from animatic.results.schema import microusd_of
from animatic.results.workbook import WorkbookWriter, require_room

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them
_JSON_BATCH_ROWS = 10_000
SUFFIXES = (".parquet", ".csv", ".jsonl", ".xlsx")
ROW_GROUP_ROWS = 16_384
"""A table is written in pieces of at most so many rows."""


def beside(uri: str, mark: str) -> str:
    """Return the place of another table beside one: `out.csv` and `mark` give `out.mark.csv`."""
    suffix = check_suffix(uri)
    return f"{uri[: -len(suffix)]}.{mark}{uri[-len(suffix) :]}"


def check_suffix(name: str) -> str:
    """Return the suffix of a results file's name, in lower case; LocationError if it is not one of SUFFIXES."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return suffix
    raise LocationError(f'found "{name}" as a results file; allowed suffixes: {", ".join(SUFFIXES)}')


def require_room_for(name: str, rows: int) -> None:
    """Refuse so many rows where the form of a results file has no room for them. Raises LocationError."""
    if check_suffix(name) == ".xlsx":
        require_room(rows, 0)


class Writer(Protocol):
    """Puts a results table into an open file, piece by piece.

    Attributes:
        has_marks: true once a cell got the mark that keeps a spreadsheet from running it.
    """

    has_marks: bool

    def write(self, table: pa.Table) -> None:
        """Write the next rows, all of the writer's own schema; ROW_GROUP_ROWS of them become one row group."""
        ...

    def close(self, metadata: Mapping[str, str]) -> None:
        """End the table, and add its metadata where the format has a place for it."""
        ...


def open_writer(file: BinaryIO, suffix: str, schema: pa.Schema) -> Writer:
    """Open a writer for a table of this schema; LocationError for a suffix that is not one of SUFFIXES."""
    match check_suffix(suffix):
        case ".parquet":
            return _ParquetWriter(file, schema)
        case ".csv":
            return _CsvWriter(file, schema)
        case ".xlsx":
            return WorkbookWriter(file, schema)
        case _:
            return _JsonWriter(file)


def encode(table: pa.Table, suffix: str) -> bytes:
    """Return the bytes of a results file; LocationError for a suffix that is not one of SUFFIXES."""
    sink = io.BytesIO()
    writer = open_writer(sink, suffix, table.schema.remove_metadata())
    for start in range(0, table.num_rows, ROW_GROUP_ROWS):
        writer.write(table.slice(start, ROW_GROUP_ROWS))
    metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
    writer.close({key.decode(): value.decode() for key, value in metadata.items()})
    return sink.getvalue()


class _ParquetWriter:
    has_marks = False

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", store_schema=False)
        self._waiting: list[pa.Table] = []

    def write(self, table: pa.Table) -> None:
        """Write the rows once they fill a row group: of each group 75 kB stay in memory until the table is closed."""
        self._waiting.append(table)
        rows = sum(map(len, self._waiting))
        if rows >= ROW_GROUP_ROWS:
            waiting = pa.concat_tables(self._waiting)
            full = rows - rows % ROW_GROUP_ROWS
            self._writer.write_table(waiting.slice(0, full), row_group_size=ROW_GROUP_ROWS)
            self._waiting = [waiting.slice(full)]

    def close(self, metadata: Mapping[str, str]) -> None:
        """Arrow's readers believe the schema that it stores beside the metadata, so that holds the metadata too."""
        if any(map(len, self._waiting)):
            self._writer.write_table(pa.concat_tables(self._waiting))
        schema = self._schema.with_metadata(dict(metadata)).serialize().to_pybytes()
        stored = {"ARROW:schema": base64.b64encode(schema).decode()}
        self._writer.add_key_value_metadata({**metadata, **stored})
        self._writer.close()


class _CsvWriter:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self.has_marks = False
        nothing = _csv_table(schema.empty_table())
        self._writer = pacsv.CSVWriter(file, nothing.schema)

    def write(self, table: pa.Table) -> None:
        written = _csv_table(table)
        self.has_marks = self.has_marks or any(_is_marked(*pair) for pair in zip(table, written, strict=True))
        self._writer.write_table(written)

    def close(self, metadata: Mapping[str, str]) -> None:  # noqa: ARG002 - CSV has no place for it
        self._writer.close()


class _JsonWriter:
    has_marks = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, table: pa.Table) -> None:
        _write_jsonl(table, self._file)

    def close(self, metadata: Mapping[str, str]) -> None:
        """JSON Lines have no place for it."""


def _csv_table(table: pa.Table) -> pa.Table:
    names = neutralise(pa.array(table.column_names, pa.string())).to_pylist()
    return pa.Table.from_arrays([_csv_cells(column) for column in table.columns], names=names)


def _is_marked(column: pa.ChunkedArray, written: pa.ChunkedArray) -> bool:
    """Tell if a cell of text got a mark."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return False
    return bool(pc.any(pc.not_equal(column.cast(pa.large_string()), written)).as_py())


def _csv_cells(column: pa.ChunkedArray) -> Any:
    """Return a column for pyarrow's CSV writer: numbers, booleans and dates unchanged, the rest as safe text."""
    arrow_type = column.type
    if pa.types.is_dictionary(arrow_type):
        return _csv_cells(column.cast(arrow_type.value_type))
    if pa.types.is_integer(arrow_type) or pa.types.is_boolean(arrow_type) or pa.types.is_date(arrow_type):
        return column
    return neutralise(as_text(column))  # floating point too, for -inf is a formula to a spreadsheet


def _write_jsonl(table: pa.Table, file: BinaryIO) -> None:
    """One object a line; numbers that JSON has no form for (NaN, infinities) become null."""
    parsed_names = [field.name for field in table.schema if isinstance(field.type, pa.JsonType)]
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, moments_as_text(column))
        elif field.name in RESULTS_SCHEMA.names and pa.types.is_decimal(field.type):
            amounts = microusd_of(column)  # Arrow's own cast of decimals to floating point is not exact
            dollars = pa.array(amounts / 1_000_000, pa.float64(), mask=amounts < 0)
            table = table.set_column(index, field.name, dollars)
        elif pa.types.is_floating(field.type):
            finite = pc.if_else(pc.is_finite(column), column, None)
            table = table.set_column(index, field.name, finite)
    write = json.JSONEncoder(ensure_ascii=False, default=plain, allow_nan=False).encode
    for batch in table.to_batches(max_chunksize=_JSON_BATCH_ROWS):
        lines: list[dict[str, Any]] = batch.to_pylist()
        for line in lines:
            line.update({name: json.loads(line[name]) for name in parsed_names if line[name] is not None})
        try:
            texts = [write(line) for line in lines]
        except ValueError:  # a number inside a list or a struct that JSON has no form for
            texts = [write(_finite(line)) for line in lines]
        file.write("".join(f"{text}\n" for text in texts).encode())


def _finite(value: Any) -> Any:
    """Return a value with null for each number that JSON has no form for, at any depth."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case _:
            return value
