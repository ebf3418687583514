"""The bytes of a results file, in the three formats that its suffix picks, and the way back.

Parquet keeps every type and the metadata. CSV and JSON Lines keep the types of the columns of RESULTS_SCHEMA;
the manifest's other columns come back from CSV as text and from JSON Lines as JSON types.

CSV: UTF-8, nulls are empty cells and empty strings `""`, moments ISO 8601 with Z, lists JSON text. A text cell or
column name that a spreadsheet would take for a formula gets one `'` in front; `decode` takes it off again. So does what
follows a semicolon, a tab or a line end: where those separate cells, a spreadsheet may split ours there.
"""

import base64
import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from animatic.errors import LocationError
from animatic.results import NEW_IN_2, RESULTS_SCHEMA, microusd_of

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them
SUFFIXES = (".parquet", ".csv", ".jsonl")

MAX_RESULTS_BYTES = 4 << 30
ROW_GROUP_ROWS = 16_384
"""A table is written in pieces of at most so many rows."""

_JSON_BATCH_ROWS = 10_000
_CSV_BLOCK_BYTES = 64 << 20
_FORMULA_STARTS = r"[=+\-@\t\r\n＝＋－＠]"  # the wide ones count in East Asian editions of Excel
_RISKY = rf"\A('*{_FORMULA_STARTS})"
_NEUTRALISED = rf"\A'('*{_FORMULA_STARTS})"
_RISKY_INSIDE = r"([;\t\r\n])('*[=+\-@＝＋－＠])"
_NEUTRALISED_INSIDE = r"([;\t\r\n])'('*[=+\-@＝＋－＠])"
_NEGATIVE_NUMBER = r"\A-[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\z"


def check_suffix(name: str) -> str:
    """The suffix of a results file's name, in lower case; LocationError if it is not one of SUFFIXES."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return suffix
    raise LocationError(f'found "{name}" as a results file; allowed suffixes: {", ".join(SUFFIXES)}')


class Writer(Protocol):
    """Puts a results table into an open file, piece by piece."""

    def write(self, table: pa.Table) -> None:
        """The next rows, all of the writer's own schema; at most ROW_GROUP_ROWS of them become one row group."""
        ...

    def close(self, metadata: Mapping[str, str]) -> None:
        """The end of the table, and what the file says of itself, where its format has a place for that."""
        ...


def open_writer(file: BinaryIO, suffix: str, schema: pa.Schema) -> Writer:
    """A writer for a table of this schema; LocationError for a suffix that is not one of SUFFIXES."""
    match check_suffix(suffix):
        case ".parquet":
            return _ParquetWriter(file, schema)
        case ".csv":
            return _CsvWriter(file, schema)
        case _:
            return _JsonWriter(file)


def encode(table: pa.Table, suffix: str) -> bytes:
    """The bytes of a results file; LocationError for a suffix that is not one of SUFFIXES."""
    sink = io.BytesIO()
    writer = open_writer(sink, suffix, table.schema.remove_metadata())
    for start in range(0, table.num_rows, ROW_GROUP_ROWS):
        writer.write(table.slice(start, ROW_GROUP_ROWS))
    metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
    writer.close({key.decode(): value.decode() for key, value in metadata.items()})
    return sink.getvalue()


class _ParquetWriter:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", store_schema=False)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)

    def close(self, metadata: Mapping[str, str]) -> None:
        """Arrow's readers believe the schema that it stores beside the metadata, so that holds the metadata too."""
        schema = self._schema.with_metadata(dict(metadata)).serialize().to_pybytes()
        stored = {"ARROW:schema": base64.b64encode(schema).decode()}
        self._writer.add_key_value_metadata({**metadata, **stored})
        self._writer.close()


class _CsvWriter:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        nothing = _csv_table(schema.empty_table())
        self._writer = pacsv.CSVWriter(file, nothing.schema)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(_csv_table(table))

    def close(self, metadata: Mapping[str, str]) -> None:  # noqa: ARG002 - CSV has no place for it
        self._writer.close()


class _JsonWriter:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, table: pa.Table) -> None:
        _write_jsonl(table, self._file)

    def close(self, metadata: Mapping[str, str]) -> None:
        """JSON Lines have no place for it."""


def decode(data: bytes, name: str) -> pa.Table:
    """The table in a results file of this name, its known columns with the types of RESULTS_SCHEMA.

    Raises:
        LocationError: the suffix is not ours, the bytes are not what it says, or columns are missing.
    """
    suffix = check_suffix(name)
    read = {".parquet": _decode_parquet, ".csv": _decode_csv, ".jsonl": _decode_jsonl}[suffix]
    try:
        table = read(data)
    except (pa.ArrowException, OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise LocationError(f"{name}: not a readable {suffix} file: {error}") from None
    for column in NEW_IN_2:
        if column not in table.column_names:
            field = RESULTS_SCHEMA.field(column)
            place = min(RESULTS_SCHEMA.get_field_index(column), table.num_columns)
            table = table.add_column(place, field, pa.nulls(table.num_rows, field.type))
    missing = [column for column in RESULTS_SCHEMA.names if column not in table.column_names]
    if missing:
        raise LocationError(f"{name}: not a results table of animatic; columns that are missing: {', '.join(missing)}")
    return _with_known_types(table, name)


def read_columns(file: BinaryIO, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some known columns of a results file, a piece at a time.

    Raises:
        LocationError: as `decode`; with the first piece, or later where the file is damaged.
    """
    suffix = check_suffix(name)
    read = {".parquet": _parquet_columns, ".csv": _csv_columns, ".jsonl": _json_columns}[suffix]
    try:
        for table in read(file, columns):
            yield _with_known_types(table, name, columns)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise LocationError(f"{name}: not a readable {suffix} file: {error}") from None


def _parquet_columns(file: BinaryIO, columns: Sequence[str]) -> Iterator[pa.Table]:
    parquet = pq.ParquetFile(pa.PythonFile(file, mode="r"))
    for batch in parquet.iter_batches(batch_size=ROW_GROUP_ROWS, columns=list(columns), use_threads=False):
        yield pa.Table.from_batches([batch]).select(list(columns))


def _csv_columns(file: BinaryIO, columns: Sequence[str]) -> Iterator[pa.Table]:
    with pacsv.open_csv(
        pa.PythonFile(file, mode="r"),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            include_columns=list(columns),
            column_types={column: pa.string() for column in columns},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    ) as reader:
        for batch in reader:
            yield pa.Table.from_arrays([restore(column) for column in batch.columns], names=list(columns))


def _json_columns(file: BinaryIO, columns: Sequence[str]) -> Iterator[pa.Table]:
    while batch := list(itertools.islice(file, _JSON_BATCH_ROWS)):
        parsed = [json.loads(line) for line in batch if line.strip()]
        yield pa.table({name: _json_column(name, parsed) for name in columns})


def _with_known_types(table: pa.Table, name: str, columns: Sequence[str] = tuple(RESULTS_SCHEMA.names)) -> pa.Table:
    for field in map(RESULTS_SCHEMA.field, columns):
        index = table.column_names.index(field.name)
        column = table.column(index)
        if column.type == field.type:
            continue
        try:
            typed = _typed(column, field.type)
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise LocationError(f"{name}: column {field.name} does not hold {field.type}: {error}") from None
        table = table.set_column(index, field, typed)
    return table


def _typed(column: pa.ChunkedArray, wanted: pa.DataType) -> Any:
    """The column as its true type; lists that were JSON text are parsed."""
    if pa.types.is_list(wanted) and pa.types.is_string(column.type):
        return pa.array([None if text is None else json.loads(text) for text in column.to_pylist()], wanted)
    return column.cast(wanted)


def neutralise(texts: Any) -> Any:
    """Text (an Arrow array) with one `'` before what a spreadsheet would run as a formula; plain numbers stay."""
    inside = pc.replace_substring_regex(texts, _RISKY_INSIDE, r"\1'\2")
    marked = pc.replace_substring_regex(inside, _RISKY, r"'\1", max_replacements=1)
    return pc.if_else(pc.match_substring_regex(texts, _NEGATIVE_NUMBER), texts, marked)


def restore(texts: Any) -> Any:
    """The inverse of `neutralise`."""
    begun = pc.replace_substring_regex(texts, _NEUTRALISED, r"\1", max_replacements=1)
    return pc.replace_substring_regex(begun, _NEUTRALISED_INSIDE, r"\1\2")


def _csv_table(table: pa.Table) -> pa.Table:
    names = neutralise(pa.array(table.column_names, pa.string())).to_pylist()
    return pa.Table.from_arrays([_csv_cells(column) for column in table.columns], names=names)


def _csv_cells(column: pa.ChunkedArray) -> Any:
    """A column as pyarrow's CSV writer can take it: numbers, booleans and dates as they are, the rest safe text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _csv_cells(column.cast(kind.value_type))
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_date(kind):
        return column
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        texts = column.cast(pa.string())  # as text, for -inf is a formula to a spreadsheet
    elif pa.types.is_timestamp(kind):
        texts = _moments_as_text(column)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        texts = column.cast(pa.large_string())
    else:
        texts = pa.array([_as_json_text(value) for value in column.to_pylist()], pa.large_string())
    return neutralise(texts)


def _as_json_text(value: Any) -> str | None:
    """Lists and structs as JSON; what JSON has no form for as plain text."""
    if value is None:
        return None
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """What `json` can write: bytes as hex digits, times and the like as their own text."""
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (list, dict, tuple, str, int, float, bool)) else str(value)


def _moments_as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601 with all digits of the unit; with a Z where the column has a time zone."""
    if column.type.tz is None:
        return pc.strftime(column, "%Y-%m-%dT%H:%M:%S")
    return pc.strftime(column.cast(pa.timestamp(column.type.unit, tz="UTC")), "%Y-%m-%dT%H:%M:%SZ")


def _write_jsonl(table: pa.Table, file: BinaryIO) -> None:
    """One object a line; numbers that JSON has no form for (NaN, infinities) become null."""
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, _moments_as_text(column))
        elif field.name in RESULTS_SCHEMA.names and pa.types.is_decimal(field.type):
            amounts = microusd_of(column)  # Arrow's own cast of decimals to floating point is not exact
            dollars = pa.array(amounts / 1_000_000, pa.float64(), mask=amounts < 0)
            table = table.set_column(index, field.name, dollars)
        elif pa.types.is_floating(field.type):
            finite = pc.if_else(pc.is_finite(column), column, None)
            table = table.set_column(index, field.name, finite)
    write = json.JSONEncoder(ensure_ascii=False, default=_plain).encode
    file.writelines(
        "".join(f"{write(line)}\n" for line in batch.to_pylist()).encode()
        for batch in table.to_batches(max_chunksize=_JSON_BATCH_ROWS)
    )


def _decode_parquet(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data))


def _decode_csv(data: bytes) -> pa.Table:
    names = next(csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")), [])
    table = pacsv.read_csv(
        pa.BufferReader(data),
        read_options=pacsv.ReadOptions(block_size=_CSV_BLOCK_BYTES),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    columns = [restore(column) for column in table.columns]
    return pa.Table.from_arrays(columns, names=restore(pa.array(names, pa.string())).to_pylist())


def _decode_jsonl(data: bytes) -> pa.Table:
    """Parsed by `json` and not by pyarrow, which would turn carried text that looks like a date into one."""
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="\n")
    batches: list[pa.Table] = []
    while batch := list(itertools.islice(lines, _JSON_BATCH_ROWS)):
        parsed = [json.loads(line) for line in batch if line.strip()]
        names = dict.fromkeys(name for entry in parsed for name in entry)
        batches.append(pa.table({name: _json_column(name, parsed) for name in names}))
    table = pa.concat_tables(batches, promote_options="permissive")
    nothing_known = [pa.field(field.name, pa.string()) if field.type == pa.null() else field for field in table.schema]
    return table.cast(pa.schema(nothing_known))


def _json_column(name: str, parsed: list[dict[str, Any]]) -> pa.Array:
    values = [entry.get(name) for entry in parsed]
    if name in RESULTS_SCHEMA.names and pa.types.is_decimal(RESULTS_SCHEMA.field(name).type):
        return pa.array(
            [None if value is None else round(Decimal(str(value)), 6) for value in values],
            RESULTS_SCHEMA.field(name).type,
        )
    known = name in RESULTS_SCHEMA.names and not pa.types.is_timestamp(RESULTS_SCHEMA.field(name).type)
    return pa.array(values, RESULTS_SCHEMA.field(name).type if known else None)
