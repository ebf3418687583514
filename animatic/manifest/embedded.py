"""Stills that lie in a Parquet file itself, in structs of `bytes` and `path`, as Hugging Face's `datasets` writes them.

Some rows at a time are read, their bytes are handed on, and a name for each takes the struct's place. A struct without
bytes is its path. Nothing is opened here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from posixpath import basename
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from animatic.errors.text import quoted
from animatic.manifest.images import STILL_SUFFIXES, relative_path

Keep = Callable[[str | None, bytes], str]
"""Puts the bytes of a file away, given its path, if it has one; returns the name that stands for it."""

ROWS_AT_ONCE = 16
MAX_STEM_CHARS = 100
MAX_FILES_BYTES = 4 << 30
"""Of all the bytes that are handed on, equal ones included."""

_BUFFER_BYTES = 1 << 20
_MARKS = ((b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"RIFF", ".webp"))


MAX_GROUP_BYTES = 256 << 20
"""Of a row group. Its pages are in memory as a whole, three times over, and pyarrow writes 1,024 rows into one."""


class TooManyBytesError(Exception):
    """The files in a table are larger than they may be. Its arguments are what was found, and what is allowed."""


def embedded_name(path: str | None, sha256: str, start: bytes) -> str:
    """Return a name for a file by its own name and its content: `lighthouse-1-3f2b9c01d4e5.png`.

    It is a path as cells have them, whatever the file calls itself.
    """
    stem, _, ending = basename((path or "").replace("\\", "/")).rpartition(".")
    suffix = next((suffix for mark, suffix in _MARKS if start.startswith(mark)), f".{ending.lower()}")
    suffix = suffix if suffix in STILL_SUFFIXES else STILL_SUFFIXES[-1]
    name = f"{stem.strip()[:MAX_STEM_CHARS]}-{sha256[:12]}{suffix}"
    return name if stem.strip(" .") and relative_path(name) == name else f"still-{sha256[:12]}{suffix}"


def columns_of_files(schema: pa.Schema) -> list[str]:
    """Return the columns that hold files: structs of bytes and path, or lists of those."""
    return [field.name for field in schema if _is_file(field.type) or _is_list_of_files(field.type)]


def read_files(
    source: Any, metadata: pq.FileMetaData, columns: Sequence[str], keep: Keep, most_bytes: int = MAX_GROUP_BYTES
) -> dict[str, list[pa.Array]]:
    """Hand on the files in some columns; return each column as text, or lists of text, in pieces.

    Raises:
        TooManyBytesError: they are larger together than they may be.
    """
    largest = max((metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups)), default=0)
    if largest > most_bytes:
        raise TooManyBytesError(
            f"a row group of {largest:,} bytes",
            f"up to {most_bytes:,} where stills lie in it; write it with row_group_size=100",
        )
    # Buffered: a row group of stills is never in memory as a whole.
    file = pq.ParquetFile(
        source, metadata=metadata, buffer_size=_BUFFER_BYTES, arrow_extensions_enabled=False, pre_buffer=False
    )
    texts: dict[str, list[pa.Array]] = {name: [] for name in columns}
    left = MAX_FILES_BYTES
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(columns), use_threads=False):
        for name in columns:
            column = batch.column(batch.schema.get_field_index(name))
            if (left := left - column.nbytes) < 0:
                most = f"{MAX_FILES_BYTES >> 30} GiB"
                raise TooManyBytesError(f"more than {most} of files in {quoted(name)}", f"up to {most}")
            is_list = not _is_file(column.type)
            cells = [_text_of(cell, keep) for cell in column.to_pylist()]
            texts[name].append(pa.array(cells, pa.list_(pa.string()) if is_list else pa.string()))
    return texts


class WithTexts:
    """Rows on their way, with the texts of columns that were read before put where those columns were."""

    def __init__(self, names: Sequence[str], texts: Mapping[str, list[pa.Array]]) -> None:
        self._names = names
        self._texts = {name: pa.concat_arrays(pieces) for name, pieces in texts.items()}
        self._row = 0

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the next batch with all columns in their order."""
        start, self._row = self._row, self._row + batch.num_rows
        columns = [
            self._texts[name].slice(start, batch.num_rows)
            if name in self._texts
            else batch.column(batch.schema.get_field_index(name))
            for name in self._names
        ]
        return pa.RecordBatch.from_arrays(columns, names=list(self._names))

    def batches(self, rows_at_once: int) -> Iterator[pa.RecordBatch]:
        """Return the rows of a file that has no other columns."""
        count = len(next(iter(self._texts.values())))
        for start in range(0, count, rows_at_once):
            columns = [self._texts[name].slice(start, rows_at_once) for name in self._names]
            yield pa.RecordBatch.from_arrays(columns, names=list(self._names))


def _text_of(cell: Any, keep: Keep) -> Any:
    if isinstance(cell, list):
        return [_text_of(each, keep) for each in cast("list[Any]", cell)]
    if cell is None:
        return None
    data, path = cell["bytes"], cell.get("path")
    return keep(path, data) if data else path


def _is_list_of_files(arrow_type: pa.DataType) -> bool:
    is_list = pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type)
    return is_list and _is_file(arrow_type.value_type)


def _is_file(arrow_type: pa.DataType) -> bool:
    types = pa.types
    if not types.is_struct(arrow_type):
        return False
    fields = {arrow_type.field(at).name: arrow_type.field(at).type for at in range(arrow_type.num_fields)}
    data, path = fields.get("bytes"), fields.get("path", pa.null())
    return (
        {*fields} <= {"bytes", "path"}
        and data is not None
        and any(is_of(data) for is_of in (types.is_binary, types.is_large_binary, types.is_null))
        and any(is_of(path) for is_of in (types.is_string, types.is_large_string, types.is_null))
    )
