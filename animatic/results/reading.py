"""The way back from the bytes of a results file, in any of its three formats, to a table with its types.

The columns of RESULTS_SCHEMA come back with their types. The manifest's other columns come back from CSV as text and
from JSON Lines as JSON types.
"""

import csv
import io
import itertools
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from animatic.errors import LocationError
from animatic.manifest.header import MAX_COLUMNS
from animatic.manifest.parquet import UNREADABLE, Caps, OverCapError, capped_batches, open_capped
from animatic.manifest.tables import MAX_ROWS
from animatic.results.columns import NEWER, RESULTS_SCHEMA
from animatic.results.formats import ROW_GROUP_ROWS, check_suffix
from animatic.results.formulas import restore
from animatic.results.schema import COLUMN_OF
from animatic.takes.shots import MAX_TAKES
from animatic.text import escaped

MAX_RESULTS_BYTES = 4 << 30
CAPS = Caps(rows=MAX_ROWS * (MAX_TAKES + 1), columns=3 * MAX_COLUMNS, table_bytes=MAX_RESULTS_BYTES)
"""The most that a Parquet file may hold, spelled out, to be read back as a results table."""
IDENTITY = ("row", "shot_id", "take", "status", "fingerprint", "run_id")
"""Columns that make a file a results table of ours, whichever others were taken out of it."""
_JSON_BATCH_ROWS = 10_000
_JSON_LINE_BYTES = 64 << 20
_CSV_BLOCK_BYTES = 64 << 20
_HEADER_BYTES = 4 << 20


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


def read_columns(file: BinaryIO, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read some known columns of a results file, a piece at a time.

    Raises:
        LocationError: as `decode`; with the first piece, or later where the file is damaged.
    """
    missing = [column for column in columns if column not in {*read_head(file, name).names, *NEWER}]
    if missing:
        raise LocationError(f"{name}: not a results table of animatic; columns that are missing: {', '.join(missing)}")
    yield from read_cells(file, name, columns, ())


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
        raise LocationError(
            f"{name}: not a readable {suffix} file: {reason}; give the table as animatic wrote it"
        ) from None


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


def _with_known_types(table: pa.Table, name: str, columns: Sequence[str] = tuple(RESULTS_SCHEMA.names)) -> pa.Table:
    for field in map(RESULTS_SCHEMA.field, columns):
        index = table.column_names.index(field.name)
        column = table.column(index)
        if column.type == field.type:
            continue
        try:
            typed = _typed(column, field.type)
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise LocationError(
                f"{name}: column {field.name} does not hold {field.type}: {error}; give the table as animatic wrote it"
            ) from None
        table = table.set_column(index, field, typed)
    return table


def _typed(column: pa.ChunkedArray, wanted: pa.DataType) -> Any:
    """Convert the column to its true type. Lists in JSON text are parsed."""
    if pa.types.is_list(wanted) and pa.types.is_string(column.type):
        return pa.array([None if text is None else json.loads(text) for text in column.to_pylist()], wanted)
    return column.cast(wanted)


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
