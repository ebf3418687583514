"""The way back from the bytes of a results file, in any of its formats, to a table with its types.

The columns of RESULTS_SCHEMA come back with their types. The manifest's other columns come back from CSV as text, from
JSON Lines as JSON types, and from a workbook as it says itself, or as their cells are. A CSV or workbook that a
spreadsheet saved again is read too.
"""

import csv
import io
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from xml.parsers.expat import ExpatError

import pyarrow as pa
import pyarrow.parquet as pq

from animatic.errors import LocationError
from animatic.errors.text import escaped
from animatic.manifest.header import MAX_COLUMNS
from animatic.manifest.parquet import UNREADABLE, Caps, OverCapError, capped_batches, open_capped
from animatic.manifest.tables import MAX_ROWS
from animatic.results import json_cells, workbook_cells
from animatic.results.columns import NEWER, RESULTS_SCHEMA
from animatic.results.csv_cells import open_csv
from animatic.results.formats import check_suffix
from animatic.results.schema import COLUMN_OF
from animatic.results.typed import AmbiguousError, typed
from animatic.results.workbook_cells import SheetTable
from animatic.takes.shots import MAX_TAKES

MAX_RESULTS_BYTES = 4 << 30
CAPS = Caps(rows=MAX_ROWS * (MAX_TAKES + 1), columns=3 * MAX_COLUMNS, table_bytes=MAX_RESULTS_BYTES)
"""The most that a Parquet file may hold, spelled out, to be read back as a results table."""
_OF_FORMS = (
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    RuntimeError,  # of zipfile: a part that is encrypted, or packed in a way that it does not know
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
    ExpatError,
)
IDENTITY = ("row", "shot_id", "take", "status", "fingerprint", "run_id")
"""Columns that make a file a results table of ours, whichever others were taken out of it."""


@dataclass(frozen=True, slots=True)
class Head:
    """The columns of a results file, by their origin.

    Attributes:
        names: all of them, in order.
        origins: of each column that says where it came from, `animatic` or `manifest`; empty where the format has no
            place for that, or another program has written the file.
        is_ours: whether it is a results table of animatic.
        other_sheets: names of sheets that people added to a workbook.
    """

    names: Sequence[str]
    origins: Mapping[str, str]
    is_ours: bool
    other_sheets: Sequence[str] = ()


def read_head(file: BinaryIO, name: str) -> Head:
    """Return the columns of a file that may be a results table.

    Raises:
        LocationError: it is not what its suffix says, or only half of it.
    """
    suffix = check_suffix(name)
    with _told(name, suffix):
        file.seek(0)
        if suffix == ".parquet":
            schema = open_capped(file, CAPS).schema
            origins = {field.name: (field.metadata or {}).get(COLUMN_OF, b"").decode() for field in schema}
            metadata: Mapping[bytes, bytes] = schema.metadata or {}
            is_ours = b"animatic.schema_version" in metadata or set(IDENTITY) <= set(schema.names)
            return Head(schema.names, {key: value for key, value in origins.items() if value}, is_ours)
        if suffix == ".xlsx":
            sheet = SheetTable(file)
            is_ours = "animatic.schema_version" in sheet.metadata or set(IDENTITY) <= set(sheet.names)
            return Head(sheet.names, sheet.origins, is_ours, sheet.other_sheets)
        names = list(open_csv(file).names if suffix == ".csv" else json_cells.names_in(file))
        return Head(names, {}, set(IDENTITY) <= set(names))


def read_cells(file: BinaryIO, name: str, known: Sequence[str], others: Sequence[str]) -> Iterator[pa.Table]:
    """Read some known columns of a results file with their types, and others as they stand there, a piece at a time.

    Others are text from CSV, and JSON (`pa.json_()`) from JSON Lines and workbooks. Known ones that the file lacks are
    nulls, and so are moments in a local form.

    Raises:
        LocationError: as `read_head`; with the first piece, or later where the file is damaged.
    """
    suffix = check_suffix(name)
    with _told(name, suffix):
        present = [column for column in known if column in read_head(file, name).names]
        file.seek(0)
        comma, pieces = False, iter(())
        match suffix:
            case ".parquet":
                pieces = _parquet_cells(file, [*present, *others])
            case ".csv":
                cells = open_csv(file)
                comma = cells.has_decimal_commas
                pieces = cells.read([cells.names.index(column) for column in (*present, *others)])
            case ".xlsx":
                pieces = SheetTable(file).pieces(present, others)
            case _:
                pieces = json_cells.read_cells(file, present, others)
        for table in pieces:
            nulls = {
                column: pa.nulls(table.num_rows, RESULTS_SCHEMA.field(column).type)
                for column in known
                if column not in present
            }
            there = {column: table[column] for column in table.column_names} | nulls
            whole, unread = _with_known_types(
                pa.table({column: there[column] for column in (*known, *others)}), name, known, comma=comma
            )
            for column, why in unread.items():
                field = RESULTS_SCHEMA.field(column)
                if not pa.types.is_timestamp(field.type):
                    told = f"column {column} does not hold {field.type}: {why}"
                    raise LocationError(f"{name}: {told}; give the table as animatic wrote it")
                whole = whole.set_column(whole.column_names.index(column), field, pa.nulls(whole.num_rows, field.type))
            yield whole


def read_columns(file: BinaryIO, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read some known columns of a results file, a piece at a time, as `read_cells` does.

    Raises:
        LocationError: as `decode`; with the first piece, or later where the file is damaged.
    """
    require_columns(file, name, columns)
    yield from read_cells(file, name, columns, ())


def require_columns(file: BinaryIO, name: str, columns: Sequence[str]) -> None:
    """Refuse a results file that lacks some known columns, other than newer ones. Raises LocationError."""
    missing = [column for column in columns if column not in {*read_head(file, name).names, *NEWER}]
    if missing:
        raise LocationError(f"{name}: not a results table of animatic; columns that are missing: {', '.join(missing)}")


def decode(data: bytes, name: str) -> pa.Table:
    """Return the table in a results file of this name, as `decode_with_notes` does."""
    return decode_with_notes(data, name)[0]


def decode_with_notes(data: bytes, name: str) -> tuple[pa.Table, list[str]]:
    """Return the table in a results file of this name, its known columns with the types of RESULTS_SCHEMA.

    A column that can be read in several ways, such as dates in a local form, is left as text, and a note says so.

    Raises:
        LocationError: the suffix is not ours, the bytes are not what it says, or columns are missing.
    """
    suffix = check_suffix(name)
    comma = False
    with _told(name, suffix):
        match suffix:
            case ".parquet":
                table = _decode_parquet(data)
            case ".csv":
                table, comma = _decode_csv(data)
            case ".xlsx":
                table = workbook_cells.read_table(io.BytesIO(data))
            case _:
                table = json_cells.read_table(io.BytesIO(data))
    for column in NEWER:
        if column not in table.column_names:
            field = RESULTS_SCHEMA.field(column)
            place = min(RESULTS_SCHEMA.get_field_index(column), table.num_columns)
            table = table.add_column(place, field, pa.nulls(table.num_rows, field.type))
    missing = [column for column in RESULTS_SCHEMA.names if column not in table.column_names]
    if missing:
        raise LocationError(f"{name}: not a results table of animatic; columns that are missing: {', '.join(missing)}")
    table, unread = _with_known_types(table, name, comma=comma)
    return table, [f"{name}: column {column} is left as text: {why}" for column, why in unread.items()]


@contextmanager
def _told(name: str, suffix: str) -> Generator[None]:
    """Tell whatever is wrong with a file as a LocationError."""
    try:
        yield
    except OverCapError as error:
        row = None if error.row is None else f"row {error.row}"
        places = ": ".join(place for place in (name, row, error.column) if place)
        raise LocationError(f"{places}: found {error.bad.found}; allowed: {error.bad.allowed}") from None
    except (*UNREADABLE, *_OF_FORMS) as error:
        reason = escaped(str(error).partition("\n")[0].rstrip(". "), 200)
        raise LocationError(
            f"{name}: not a readable {suffix} file: {reason}; give the table as animatic wrote it"
        ) from None


def _with_known_types(
    table: pa.Table, name: str, columns: Sequence[str] = tuple(RESULTS_SCHEMA.names), *, comma: bool = False
) -> tuple[pa.Table, dict[str, str]]:
    """Return the table with these columns in their types; and why some are left as text, by column."""
    unread: dict[str, str] = {}
    for field in map(RESULTS_SCHEMA.field, columns):
        index = table.column_names.index(field.name)
        column = table.column(index)
        try:
            values = typed(column, field, has_decimal_commas=comma)
        except AmbiguousError as error:
            unread[field.name] = str(error)
            continue
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise LocationError(
                f"{name}: column {field.name} does not hold {field.type}: {error}; give the table as animatic wrote it"
            ) from None
        if values is not column:
            table = table.set_column(index, field, values)
    return table, unread


def _parquet_cells(file: BinaryIO, columns: Sequence[str]) -> Iterator[pa.Table]:
    for batch in capped_batches(open_capped(file, CAPS), CAPS, columns):
        yield pa.Table.from_batches([batch]).select(list(columns))


def _decode_parquet(data: bytes) -> pa.Table:
    file = open_capped(io.BytesIO(data), CAPS)
    batches = list(capped_batches(file, CAPS))
    table = pa.Table.from_batches(batches) if batches else pq.read_table(pa.BufferReader(data))
    return table.replace_schema_metadata(file.schema.metadata)


def _decode_csv(data: bytes) -> tuple[pa.Table, bool]:
    """Return the cells as text, and whether a comma in a number is for its decimals."""
    cells = open_csv(io.BytesIO(data))
    pieces = list(cells.read(range(len(cells.names))))
    nothing = [pa.nulls(0, pa.string()) for _ in cells.names]
    table = pa.concat_tables(pieces) if pieces else pa.Table.from_arrays(nothing, names=list(cells.names))
    return table, cells.has_decimal_commas
