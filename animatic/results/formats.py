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
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from animatic.errors import LocationError
from animatic.manifest.csv_text import MAX_ROWS
from animatic.manifest.header import MAX_COLUMNS
from animatic.manifest.parquet import UNREADABLE, Caps, OverCapError, capped_batches, open_capped
from animatic.results.columns import NEWER, RESULTS_SCHEMA
from animatic.results.schema import COLUMN_OF, microusd_of
from animatic.takes.shots import MAX_TAKES
from animatic.text import escaped

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them
SUFFIXES = (".parquet", ".csv", ".jsonl")

MAX_RESULTS_BYTES = 4 << 30
ROW_GROUP_ROWS = 16_384
"""A table is written in pieces of at most so many rows."""

CAPS = Caps(rows=MAX_ROWS * (MAX_TAKES + 1), columns=3 * MAX_COLUMNS, table_bytes=MAX_RESULTS_BYTES)
"""The most that a Parquet file may hold, spelled out, to be read back as a results table."""

IDENTITY = ("row", "shot_id", "take", "status", "fingerprint", "run_id")
"""Columns that make a file a results table of ours, whichever others were taken out of it."""

_JSON_BATCH_ROWS = 10_000
_JSON_LINE_BYTES = 64 << 20
_CSV_BLOCK_BYTES = 64 << 20
_HEADER_BYTES = 4 << 20
_FORMULA_STARTS = r"[=+\-@\t\r\n＝＋－＠]"  # the wide ones count in East Asian editions of Excel
_RISKY = rf"\A('*{_FORMULA_STARTS})"
_NEUTRALISED = rf"\A'('*{_FORMULA_STARTS})"
_RISKY_INSIDE = r"([;\t\r\n])('*[=+\-@＝＋－＠])"
_NEUTRALISED_INSIDE = r"([;\t\r\n])'('*[=+\-@＝＋－＠])"
_NEGATIVE_NUMBER = r"\A-[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\z"


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


class Writer(Protocol):
    """Puts a results table into an open file, piece by piece."""

    def write(self, table: pa.Table) -> None:
        """Write the next rows, all of the writer's own schema; at most ROW_GROUP_ROWS of them become one row group."""
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


@dataclass(frozen=True, slots=True)
class Head:
    """The columns of a results file, by their origin.

    Attributes:
        names: all of them, in order.
        origins: of each column that says where it came from, `animatic` or `manifest`; empty where the format has no
            place for that, or another program has written the file.
        is_ours: whether it is a results table of animatic.
    """

    names: Sequence[str]
    origins: Mapping[str, str]
    is_ours: bool


def read_head(file: BinaryIO, name: str) -> Head:
    """Return the columns of a file that may be a results table.

    Raises:
        LocationError: it is not what its suffix says, or only half of it.
    """
    suffix = check_suffix(name)
    with _told(name, suffix):
        file.seek(0)
        if suffix == ".parquet":
            schema = open_capped(file, CAPS).schema_arrow
            origins = {field.name: (field.metadata or {}).get(COLUMN_OF, b"").decode() for field in schema}
            metadata: Mapping[bytes, bytes] = schema.metadata or {}
            is_ours = b"animatic.schema_version" in metadata or set(IDENTITY) <= set(schema.names)
            return Head(schema.names, {key: value for key, value in origins.items() if value}, is_ours)
        names = list(_csv_dialect(file)[1] if suffix == ".csv" else _json_names(file))
        return Head(names, {}, set(IDENTITY) <= set(names))


def read_cells(file: BinaryIO, name: str, known: Sequence[str], others: Sequence[str]) -> Iterator[pa.Table]:
    """Read some known columns of a results file with their types, and others as they stand there, a piece at a time.

    Others are text from CSV, and JSON (`pa.json_()`) from JSON Lines. Known ones that the file lacks are nulls.

    Raises:
        LocationError: as `read_head`; with the first piece, or later where the file is damaged.
    """
    suffix = check_suffix(name)
    with _told(name, suffix):
        file.seek(0)
        present = [column for column in known if column in read_head(file, name).names]
        file.seek(0)
        read = {".parquet": _parquet_cells, ".csv": _csv_cells_of, ".jsonl": _json_cells}[suffix]
        for table in read(file, present, others):
            nulls = {
                column: pa.nulls(table.num_rows, RESULTS_SCHEMA.field(column).type)
                for column in known
                if column not in present
            }
            there = {column: table[column] for column in table.column_names} | nulls
            yield _with_known_types(pa.table({column: there[column] for column in (*known, *others)}), name, known)


@contextmanager
def _told(name: str, suffix: str) -> Generator[None]:
    """Tell whatever is wrong with a file as a LocationError."""
    try:
        yield
    except OverCapError as error:
        row = None if error.row is None else f"row {error.row}"
        places = ": ".join(place for place in (name, row, error.column) if place)
        raise LocationError(f"{places}: found {error.bad.found}; allowed: {error.bad.allowed}") from None
    except (*UNREADABLE, KeyError, AttributeError, RecursionError, csv.Error) as error:
        reason = escaped(str(error).partition("\n")[0].rstrip(". "), 200)
        raise LocationError(f"{name}: not a readable {suffix} file: {reason}") from None


def _parquet_cells(file: BinaryIO, known: Sequence[str], others: Sequence[str]) -> Iterator[pa.Table]:
    columns = [*known, *others]
    for batch in capped_batches(open_capped(file, CAPS), CAPS, columns):
        yield pa.Table.from_batches([batch]).select(columns)


def _csv_cells_of(file: BinaryIO, known: Sequence[str], others: Sequence[str]) -> Iterator[pa.Table]:
    delimiter, names = _csv_dialect(file)
    file.seek(0)
    wanted = [names.index(column) for column in (*known, *others)]
    with pacsv.open_csv(
        pa.PythonFile(file, mode="r"),
        read_options=pacsv.ReadOptions(
            block_size=_CSV_BLOCK_BYTES, use_threads=False, column_names=_numbered(names), skip_rows_after_names=1
        ),
        parse_options=pacsv.ParseOptions(newlines_in_values=True, delimiter=delimiter),
        convert_options=pacsv.ConvertOptions(
            include_columns=[str(index) for index in wanted],
            column_types={str(index): pa.string() for index in wanted},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    ) as reader:
        for batch in reader:
            for start in range(0, batch.num_rows, ROW_GROUP_ROWS):
                piece = batch.slice(start, ROW_GROUP_ROWS)
                yield pa.Table.from_arrays([restore(column) for column in piece.columns], names=[*known, *others])


def _numbered(names: Sequence[str]) -> list[str]:
    """Names of columns for a reader that would stumble over those of the file."""
    return [str(index) for index in range(len(names))]


def _csv_dialect(file: BinaryIO) -> tuple[str, list[str]]:
    """Return the delimiter, and the columns without formula marks. Spreadsheets write semicolons and a BOM.

    Raises UnicodeDecodeError, csv.Error: it is no text in UTF-8, or no CSV.
    """
    start = file.read(_HEADER_BYTES)
    line = start.decode("utf-8-sig", "strict" if len(start) < _HEADER_BYTES else "ignore")
    found: list[tuple[int, str, list[str]]] = []
    for delimiter in (",", ";", "\t"):
        names = next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter), [])
        plain: list[str] = restore(pa.array(names, pa.string())).to_pylist()
        found.append((sum(name in RESULTS_SCHEMA.names for name in plain), delimiter, plain))
    _, delimiter, names = max(found, key=lambda each: (each[0], len(each[2])))
    return delimiter, names


def _json_names(file: BinaryIO) -> dict[str, None]:
    """Return the names in the first objects of a file."""
    names: dict[str, None] = {}
    for parsed in itertools.islice(_json_objects(file), 100):
        names.update(dict.fromkeys(parsed))
    return names


def _json_objects(file: BinaryIO) -> Iterator[dict[str, Any]]:
    while line := file.readline(_JSON_LINE_BYTES + 1):
        if len(line) > _JSON_LINE_BYTES:
            raise ValueError(f"a line of more than {_JSON_LINE_BYTES:,} bytes")
        parsed: Any = json.loads(line) if line.strip() else None
        if parsed is not None and not isinstance(parsed, dict):
            raise ValueError("a line that is no JSON object")
        if parsed is not None:
            yield parsed


def _json_cells(file: BinaryIO, known: Sequence[str], others: Sequence[str]) -> Iterator[pa.Table]:
    objects = _json_objects(file)
    while batch := list(itertools.islice(objects, 1_000)):
        columns: dict[str, Any] = {name: _json_column(name, batch) for name in known}
        for name in others:
            texts = [None if (value := entry.get(name)) is None else json.dumps(value) for entry in batch]
            columns[name] = pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))
        yield pa.table(columns)


def decode(data: bytes, name: str) -> pa.Table:
    """Return the table in a results file of this name, its known columns with the types of RESULTS_SCHEMA.

    Raises:
        LocationError: the suffix is not ours, the bytes are not what it says, or columns are missing.
    """
    suffix = check_suffix(name)
    read = {".parquet": _decode_parquet, ".csv": _decode_csv, ".jsonl": _decode_jsonl}[suffix]
    with _told(name, suffix):
        table = read(data)
    for column in NEWER:
        if column not in table.column_names:
            field = RESULTS_SCHEMA.field(column)
            place = min(RESULTS_SCHEMA.get_field_index(column), table.num_columns)
            table = table.add_column(place, field, pa.nulls(table.num_rows, field.type))
    missing = [column for column in RESULTS_SCHEMA.names if column not in table.column_names]
    if missing:
        raise LocationError(f"{name}: not a results table of animatic; columns that are missing: {', '.join(missing)}")
    return _with_known_types(table, name)


def read_columns(file: BinaryIO, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read some known columns of a results file, a piece at a time.

    Raises:
        LocationError: as `decode`; with the first piece, or later where the file is damaged.
    """
    missing = [column for column in columns if column not in {*read_head(file, name).names, *NEWER}]
    if missing:
        raise LocationError(f"{name}: not a results table of animatic; columns that are missing: {', '.join(missing)}")
    yield from read_cells(file, name, columns, ())


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
    """Convert the column to its true type. Lists in JSON text are parsed."""
    if pa.types.is_list(wanted) and pa.types.is_string(column.type):
        return pa.array([None if text is None else json.loads(text) for text in column.to_pylist()], wanted)
    return column.cast(wanted)


def neutralise(texts: Any) -> Any:
    """Text (an Arrow array) with one `'` before what a spreadsheet would run as a formula; plain numbers stay."""
    inside = pc.replace_substring_regex(texts, _RISKY_INSIDE, r"\1'\2")
    marked = pc.replace_substring_regex(inside, _RISKY, r"'\1", max_replacements=1)
    return pc.if_else(pc.match_substring_regex(texts, _NEGATIVE_NUMBER), texts, marked)


def restore(texts: Any) -> Any:
    """Undo `neutralise`."""
    begun = pc.replace_substring_regex(texts, _NEUTRALISED, r"\1", max_replacements=1)
    return pc.replace_substring_regex(begun, _NEUTRALISED_INSIDE, r"\1\2")


def _csv_table(table: pa.Table) -> pa.Table:
    names = neutralise(pa.array(table.column_names, pa.string())).to_pylist()
    return pa.Table.from_arrays([_csv_cells(column) for column in table.columns], names=names)


def _csv_cells(column: pa.ChunkedArray) -> Any:
    """Return a column for pyarrow's CSV writer: numbers, booleans and dates unchanged, the rest as safe text."""
    arrow_type = column.type
    if pa.types.is_dictionary(arrow_type):
        return _csv_cells(column.cast(arrow_type.value_type))
    if pa.types.is_integer(arrow_type) or pa.types.is_boolean(arrow_type) or pa.types.is_date(arrow_type):
        return column
    if pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type):
        texts = column.cast(pa.string())  # as text, for -inf is a formula to a spreadsheet
    elif pa.types.is_timestamp(arrow_type):
        texts = _moments_as_text(column)
    elif pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type) or pa.types.is_string_view(arrow_type):
        texts = column.cast(pa.large_string())
    else:
        texts = pa.array([_as_json_text(value) for value in column.to_pylist()], pa.large_string())
    return neutralise(texts)


def _as_json_text(value: Any) -> str | None:
    """Return lists and structs as JSON, and as plain text what JSON has no form for."""
    if value is None:
        return None
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Return a value that `json` can write: bytes as hex digits, times and the like as their own text."""
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
    parsed_names = [field.name for field in table.schema if isinstance(field.type, pa.JsonType)]
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
    for batch in table.to_batches(max_chunksize=_JSON_BATCH_ROWS):
        lines: list[dict[str, Any]] = batch.to_pylist()
        for line in lines:
            line.update({name: json.loads(line[name]) for name in parsed_names if line[name] is not None})
        file.write("".join(f"{write(line)}\n" for line in lines).encode())


def _decode_parquet(data: bytes) -> pa.Table:
    file = open_capped(io.BytesIO(data), CAPS)
    batches = list(capped_batches(file, CAPS))
    table = pa.Table.from_batches(batches) if batches else pq.read_table(pa.BufferReader(data))
    return table.replace_schema_metadata(file.schema_arrow.metadata)


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
    """Parse with `json`, not with pyarrow, which would turn carried text that looks like a date into one."""
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
