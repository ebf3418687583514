"""Parquet into Arrow batches, without believing what the file says about its own size.

A few hundred bytes can claim 10^9 values, and one dictionary entry can stand for a million long cells, at any depth.
So the metadata is judged before anything is read, all text is read as dictionaries, and its length is summed up before
it is spelled out. Only a long row group, whose dictionaries would fill the memory, is read as it is, where the headers
of its pages show that this is safe.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from animatic.errors import ManifestError
from animatic.errors.text import escaped
from animatic.manifest.csv_text import MAX_CELL_CHARS
from animatic.manifest.embedded import Keep, TooManyBytesError, WithTexts, columns_of_files, read_files
from animatic.manifest.faults import Fault, Problem, fault_at, report
from animatic.manifest.header import COLUMNS, MAX_COLUMNS, name_faults
from animatic.manifest.parquet_pages import TextPages
from animatic.manifest.rows import CHARS_PER_BATCH, ROWS_PER_BATCH, Rows
from animatic.manifest.spelled import cell_bytes, has_dictionary, inner_types, spelled_out
from animatic.manifest.tables import MAX_ROWS, whole_file_error

MAX_TABLE_BYTES = 2 << 30
MAX_ROW_BYTES = 16 << 20
MOST_ROWS_AS_DICTIONARIES = 4 * ROWS_PER_BATCH
"""Of a row group; each batch of a longer one would have all texts before it in its dictionaries."""

LEAST_ROWS_AT_ONCE = ROWS_PER_BATCH // 4
MAX_LIST_VALUES = 16 * MAX_ROWS
MAX_LIST_BYTES = 256 << 20
"""Of all lists together, their text left out: one row may hold all of them."""

UNREADABLE = (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError)
"""The exceptions that pyarrow raises for a file that is damaged."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that a file may hold."""

    rows: int = MAX_ROWS
    columns: int = MAX_COLUMNS
    table_bytes: int = MAX_TABLE_BYTES


class OverCapError(Exception):
    """A file that holds more than it may. `column` and `row` (from 1) are None where the whole file is meant."""

    def __init__(self, bad: Problem, column: str | None = None, row: int | None = None) -> None:
        super().__init__(bad, column, row)
        self.bad, self.column, self.row = bad, column, row


def read_parquet(name: str, file: BinaryIO, rows: Rows, keep: Keep | None = None) -> tuple[pa.Schema, int]:
    """All rows of a file in their own types, dictionaries spelled out, put into `rows`; schema and number of rows.

    With `keep`, files that lie in columns go there, and their names into the rows. Raises ManifestError.
    """
    try:
        return _read(name, file, rows, keep)
    except TooManyBytesError as error:
        raise whole_file_error(name, Problem("too large", *error.args)) from None
    except OverCapError as error:
        found = fault_at(None, error.row, error.column, error.bad)
        raise ManifestError(report([found], name)) from None
    except UNREADABLE as error:
        reason = escaped(str(error).partition("\n")[0], 200)
        bad = Problem("unreadable Parquet", f"Parquet that cannot be read ({reason})", "a whole Parquet file")
        raise whole_file_error(name, bad) from None


def type_faults(schema: pa.Schema) -> list[Fault]:
    """Columns of ours whose type has no text form."""
    allowed = "a column of strings, numbers, booleans or durations"
    return [
        fault_at(None, None, field.name, Problem("bad column type", f"a column of {escaped(str(field.type))}", allowed))
        for field in schema
        if field.name in COLUMNS and not has_text_form(field.type)
    ]


def has_text_form(arrow_type: pa.DataType) -> bool:
    """Tell if values of this type have exactly one text each."""
    types = pa.types
    return any(
        is_of(arrow_type)
        for is_of in (
            *(types.is_string, types.is_large_string, types.is_string_view),
            *(
                types.is_integer,
                types.is_floating,
                types.is_boolean,
                types.is_null,
                types.is_decimal,
                types.is_duration,
            ),
        )
    )


class CappedFile:
    """A file whose metadata is within the caps.

    Attributes:
        texts: the file, all its text to be read as dictionaries.
    """

    def __init__(self, data: BinaryIO, caps: Caps) -> None:
        source = pa.PythonFile(data, mode="r")
        metadata = pq.read_metadata(source)
        _require_sane(metadata, caps)
        leaves = [metadata.schema.column(index) for index in range(metadata.num_columns)]
        self._texts = [
            index
            for index, leaf in enumerate(leaves)
            if leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type != "DECIMAL"
        ]
        # Extension types would hide text from the dictionaries. What is read ahead, is so by threads that a file which
        # is given up half-way leaves behind, and the interpreter cannot end while one of them asks for more of it.
        self._options: dict[str, Any] = {"metadata": metadata, "arrow_extensions_enabled": False, "pre_buffer": False}
        self.texts = pq.ParquetFile(
            source, read_dictionary=[leaves[index].path for index in self._texts], **self._options
        )
        self._source, self._pages = source, TextPages(data)
        self._plain: dict[tuple[int, Sequence[str] | None], _PlainGroup | None] = {}

    @property
    def metadata(self) -> pq.FileMetaData:
        """Its metadata."""
        return self.texts.metadata

    @property
    def schema(self) -> pa.Schema:
        """Its schema, with dictionaries for text."""
        return self.texts.schema_arrow

    def batches(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        """Return the rows, row group by row group: one batch cannot have the dictionaries of two."""
        flat_bytes = _flat_row_bytes(self.texts)
        plain = None
        for group in range(self.texts.num_row_groups):
            key = (group, None if columns is None else tuple(columns))
            if key not in self._plain:
                self._plain[key] = self._plain_group(group, columns, flat_bytes)
            found = self._plain[key]
            if found is None:
                yield from self._read(self.texts, group, _rows_at_once(flat_bytes), columns)
                continue
            plain = plain or pq.ParquetFile(self._source, **self._options)
            for batch in self._read(plain, group, found.rows_at_once, columns):
                yield _spelled_out(batch).cast(found.schema)

    def _plain_group(self, group: int, columns: Sequence[str] | None, flat_bytes: int) -> "_PlainGroup | None":
        """Tell how to read a long row group as it is; None where it must be read as dictionaries."""
        schema = self.schema
        if self.metadata.row_group(group).num_rows <= MOST_ROWS_AS_DICTIONARIES or any(map(_is_nested, schema.types)):
            return None
        texts = [index for index in self._texts if columns is None or schema.names[index] in columns]
        means = self._pages.mean_bytes(group, texts)
        if means is None:
            return None
        first = next(self._read(self.texts, group, 1, columns), None)
        if first is None:
            return None
        entries = [each.dictionary for each in first.columns if pa.types.is_dictionary(each.type)]
        longest = sum(int(cell_bytes(each).max(initial=0)) for each in entries)
        at_once = _rows_at_once(flat_bytes + longest + sum(means.values()))
        return _PlainGroup(at_once, _spelled_out(first).schema) if at_once >= LEAST_ROWS_AT_ONCE else None

    @staticmethod
    def _read(
        file: pq.ParquetFile, group: int, rows_at_once: int, columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        yield from file.iter_batches(batch_size=rows_at_once, row_groups=[group], columns=columns, use_threads=False)


class _PlainGroup(NamedTuple):
    """Batches of a row group that is read without dictionaries: the rows of each, and their schema."""

    rows_at_once: int
    schema: pa.Schema


def _is_nested(arrow_type: pa.DataType) -> bool:
    is_of_dictionary = pa.types.is_dictionary(arrow_type)
    return pa.types.is_nested(arrow_type.value_type if is_of_dictionary else arrow_type)


def open_capped(data: BinaryIO, caps: Caps) -> CappedFile:
    """Open a file whose metadata is within the caps.

    Raises:
        OverCapError: it claims more than it may hold.
        Exception: one of UNREADABLE.
    """
    return CappedFile(data, caps)


def capped_batches(file: CappedFile, caps: Caps, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Return the rows of a file from `open_capped`, dictionaries spelled out, some MB at a time.

    Raises:
        OverCapError: they hold more than they may, which is found before they are spelled out.
        Exception: one of UNREADABLE.
    """
    _require_dictionaries(file.schema)
    left, first = caps.table_bytes, 1
    for read in file.batches(columns):
        left -= int(_row_bytes(read, first).sum())
        first += read.num_rows
        if left < 0:
            most = caps.table_bytes >> 30
            raise OverCapError(Problem("too large", f"more than {most} GiB of cells", f"up to {most} GiB"))
    for read in file.batches(columns):
        for start, stop in _pieces(_row_bytes(read, 1)):
            batch = _spelled_out(read.slice(start, stop - start))
            batch.validate(full=True)
            yield batch


def _read(name: str, data: BinaryIO, rows: Rows, keep: Keep | None) -> tuple[pa.Schema, int]:
    caps = Caps()
    file = open_capped(data, caps)
    schema, count = file.metadata.schema.to_arrow_schema(), 0
    faults = name_faults(schema.names, None)
    if faults:
        raise ManifestError(report(faults, name), len(faults))
    for batch in capped_batches(file, caps) if keep is None else _with_files_kept(data, file, caps, keep):
        rows.append(batch)
        schema, count = batch.schema, count + batch.num_rows
    return schema, count


def _with_files_kept(data: BinaryIO, file: CappedFile, caps: Caps, keep: Keep) -> Iterator[pa.RecordBatch]:
    """Return the rows of a file, with names for the files that lie in its columns."""
    schema = file.metadata.schema.to_arrow_schema()
    columns = columns_of_files(schema)
    if not columns:
        yield from capped_batches(file, caps)
        return
    others = [name for name in schema.names if name not in columns]
    texts = WithTexts(schema.names, read_files(pa.PythonFile(data, mode="r"), file.metadata, columns, keep))
    yield from map(texts.batch, capped_batches(file, caps, others)) if others else texts.batches(ROWS_PER_BATCH)


def _require_sane(metadata: pq.FileMetaData, caps: Caps) -> None:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
    if rows > caps.rows:
        raise OverCapError(Problem("too many rows", f"{rows:,} rows", f"up to {caps.rows:,}"))
    if metadata.num_columns > caps.columns:
        bad = Problem("too many columns", f"{metadata.num_columns:,} columns", f"up to {caps.columns:,}")
        raise OverCapError(bad)
    # Groups are not asked for their columns: where statistics are damaged, pyarrow 26 would end the process.
    size_bytes = sum(max(group.total_byte_size, 0) for group in groups)
    if size_bytes > caps.table_bytes:
        raise OverCapError(Problem("too large", f"{size_bytes:,} bytes of cells", f"up to {caps.table_bytes:,}"))


def _rows_at_once(row_bytes: int) -> int:
    """Return how many rows to read together, so that they fill no memory."""
    return max(1, min(ROWS_PER_BATCH, 4 * CHARS_PER_BATCH // max(row_bytes, 1)))


def _flat_row_bytes(file: pq.ParquetFile) -> int:
    """Return the bytes of a row without text and lists. Raises OverCapError.

    One row can claim 10^9 values in a few bytes.
    """
    metadata, flat_bytes, list_bytes = file.metadata, 0, 0
    for index in range(metadata.num_columns):
        leaf = metadata.schema.column(index)
        width = max(leaf.length, _WIDTHS.get(leaf.physical_type, 4))
        if width > MAX_CELL_CHARS:
            bad = Problem("long cell", f"cells of {width:,} bytes", f"up to {MAX_CELL_CHARS:,}")
            raise OverCapError(bad, escaped(leaf.path))
        if not leaf.max_repetition_level:
            flat_bytes += width
            continue
        file.scan_contents([leaf.path])  # keeps nothing; raises properly where asking for the column would abort
        count = sum(metadata.row_group(group).column(index).num_values for group in range(metadata.num_row_groups))
        list_bytes += count * width
        if count > MAX_LIST_VALUES or list_bytes > MAX_LIST_BYTES:
            allowed = f"up to {MAX_LIST_VALUES:,} in a column, and {MAX_LIST_BYTES:,} bytes of them in all"
            bad = Problem("too large", f"lists of {count:,} values", allowed)
            raise OverCapError(bad, escaped(leaf.path))
    return flat_bytes


_WIDTHS = {"BOOLEAN": 1, "INT64": 8, "DOUBLE": 8, "INT96": 8}


def _require_dictionaries(schema: pa.Schema) -> None:
    """Refuse a type that the reader would spell out before anybody could look at its length."""
    for field in schema:
        if _is_spelled_out(field.type):
            bad = Problem("bad column type", f"a column of {escaped(str(field.type))}", "text, numbers, moments, lists")
            raise OverCapError(bad, escaped(field.name))


def _is_spelled_out(arrow_type: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(arrow_type):
        return types.is_nested(arrow_type.value_type)
    is_text = any(
        is_of(arrow_type)
        for is_of in (
            *(types.is_string, types.is_large_string, types.is_string_view),
            *(types.is_binary, types.is_large_binary, types.is_binary_view),
            *(types.is_list_view, types.is_large_list_view, types.is_run_end_encoded, types.is_union),
        )
    )
    return is_text or any(_is_spelled_out(inner) for inner in inner_types(arrow_type))


def _row_bytes(batch: pa.RecordBatch, first: int) -> NDArray[np.int64]:
    """Return how much each row takes once dictionaries are spelled out; `first` is the number of the first.

    Raises OverCapError for a cell or a row that is too long.
    """
    total = np.zeros(batch.num_rows, np.int64)
    for field, column in zip(batch.schema, batch.columns, strict=True):
        sizes = cell_bytes(column)
        longest = int(sizes.max(initial=0))
        if longest > MAX_CELL_CHARS:
            bad = Problem("long cell", f"a cell of {longest:,} bytes", f"up to {MAX_CELL_CHARS:,}")
            raise OverCapError(bad, escaped(field.name), first + int(sizes.argmax()))
        total += sizes
    if int(total.max(initial=0)) > MAX_ROW_BYTES:
        bad = Problem("long row", f"a row of {int(total.max()):,} bytes", f"up to {MAX_ROW_BYTES:,}")
        raise OverCapError(bad, "row", first + int(total.argmax()))
    return total


def _pieces(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut rows of these sizes where a batch would become too large."""
    ends, start = np.cumsum(sizes), 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + CHARS_PER_BATCH, side="right")), start + 1)
        yield start, stop
        start = stop


def _spelled_out(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns: list[Any] = [spelled_out(column) if has_dictionary(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
