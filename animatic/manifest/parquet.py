"""Parquet into an Arrow table, without believing what the file says about its own size.

A few hundred bytes can claim 10^9 values, and one dictionary entry can stand for a million long cells. So the
metadata is judged before anything is read, strings are read as dictionaries, and their length is summed up before
they are spelled out.
"""

from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from animatic.errors import ManifestError
from animatic.manifest.csv_text import MAX_CELL_CHARS, MAX_ROWS, whole_file_error
from animatic.manifest.faults import Bad, Fault, escaped, fault_at, report
from animatic.manifest.header import COLUMNS, MAX_COLUMNS, name_faults
from animatic.manifest.rows import CHARS_PER_BATCH, ROWS_PER_BATCH, Rows

MAX_TABLE_BYTES = 2 << 30
MAX_LIST_VALUES = 16 * MAX_ROWS


def read_parquet(name: str, file: BinaryIO, rows: Rows) -> tuple[pa.Schema, int]:
    """All rows of a file in their own types, dictionaries spelled out, put into `rows`; schema and number of rows.

    Raises ManifestError.
    """
    try:
        return _read(name, file, rows)
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        reason = escaped(str(error).partition("\n")[0], 200)
        bad = Bad("unreadable Parquet", f"Parquet that cannot be read ({reason})", "a whole Parquet file")
        raise whole_file_error(name, bad) from None


def type_faults(schema: pa.Schema) -> list[Fault]:
    """Columns of ours whose type has no text form."""
    allowed = "a column of strings, numbers or booleans"
    return [
        fault_at(None, None, field.name, Bad("bad column type", f"a column of {escaped(str(field.type))}", allowed))
        for field in schema
        if field.name in COLUMNS and not has_text_form(field.type)
    ]


def has_text_form(kind: pa.DataType) -> bool:
    """Whether values of this type stand for one text each."""
    types = pa.types
    return any(
        is_of(kind)
        for is_of in (
            *(types.is_string, types.is_large_string, types.is_string_view),
            *(types.is_integer, types.is_floating, types.is_boolean, types.is_null),
        )
    )


def _read(name: str, data: BinaryIO, rows: Rows) -> tuple[pa.Schema, int]:
    source = pa.PythonFile(data, mode="r")
    metadata = pq.read_metadata(source)
    _require_sane(name, metadata)
    schema = metadata.schema.to_arrow_schema()
    faults = name_faults(schema.names, None)
    if faults:
        raise ManifestError(report(faults, name), len(faults))
    texts = [field.name for field in schema if _is_text(field.type)]
    # The threads would not make one small file faster, and one bad file could fill the memory on all of them.
    file = pq.ParquetFile(source, read_dictionary=texts, metadata=metadata)
    _require_short_lists(name, file)
    budget, count = MAX_TABLE_BYTES, 0
    for read in file.iter_batches(batch_size=ROWS_PER_BATCH, use_threads=False):
        size_bytes = _spelled_out_bytes(name, read)
        budget -= size_bytes
        if budget < 0:
            raise whole_file_error(name, Bad("too large", "more than 2 GiB of cells", "up to 2 GiB"))
        length = max(1, read.num_rows * CHARS_PER_BATCH // max(size_bytes, CHARS_PER_BATCH))
        for start in range(0, read.num_rows, length):
            batch = _spelled_out(read.slice(start, length))
            batch.validate(full=True)
            rows.add(batch)
            schema, count = batch.schema, count + batch.num_rows
    return schema, count


def _require_sane(name: str, metadata: pq.FileMetaData) -> None:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
    if rows > MAX_ROWS:
        bad = Bad("too many rows", f"{rows:,} rows", f"up to {MAX_ROWS:,}")
        raise whole_file_error(name, bad)
    if metadata.num_columns > MAX_COLUMNS:
        bad = Bad("too many columns", f"{metadata.num_columns:,} columns", f"up to {MAX_COLUMNS:,}")
        raise whole_file_error(name, bad)
    # Groups are not asked for their columns: where statistics are damaged, pyarrow 26 would end the process.
    size_bytes = sum(max(group.total_byte_size, 0) for group in groups)
    if size_bytes > MAX_TABLE_BYTES:
        raise whole_file_error(name, Bad("too large", f"{size_bytes:,} bytes of cells", f"up to {MAX_TABLE_BYTES:,}"))


def _require_short_lists(name: str, file: pq.ParquetFile) -> None:
    """One row can claim 10^9 values in a few bytes. Raises ManifestError."""
    metadata = file.metadata
    for index in (index for index in range(metadata.num_columns) if metadata.schema.column(index).max_repetition_level):
        path = metadata.schema.column(index).path
        file.scan_contents([path])  # keeps nothing; raises properly where asking a group for its column would abort
        count = sum(metadata.row_group(group).column(index).num_values for group in range(metadata.num_row_groups))
        if count > MAX_LIST_VALUES:
            bad = Bad("too large", f"lists of {count:,} values", f"up to {MAX_LIST_VALUES:,} in a column")
            raise whole_file_error(name, bad, column=escaped(path))


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(is_of(value) for is_of in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary))


def _spelled_out_bytes(name: str, batch: pa.RecordBatch) -> int:
    """How much memory the batch takes once dictionaries are spelled out. Raises ManifestError for a cell too long."""
    total = 0
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if not (pa.types.is_dictionary(column.type) and _is_text(column.type)):
            total += column.nbytes
            continue
        lengths = pc.call_function("binary_length", [column.dictionary])
        longest = pc.call_function("min_max", [lengths])["max"].as_py() or 0
        if longest > MAX_CELL_CHARS:
            bad = Bad("long cell", f"a cell of {longest:,} bytes", f"up to {MAX_CELL_CHARS:,}")
            raise whole_file_error(name, bad, column=escaped(field.name))
        total += pc.call_function("sum", [lengths.take(column.indices)]).as_py() or 0
    return total


def _spelled_out(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
