"""Rows on their way, in a temporary file instead of in memory: written once, read batch by batch.

The file has no name, so no other process can open it and nothing of it is left behind, however the process ends.
"""

import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

import pyarrow as pa

from animatic.errors import LocationError


def nameless_file() -> BinaryIO:
    """Open an empty file of our own that is gone when it is closed. Raises LocationError."""
    try:
        return cast("BinaryIO", tempfile.TemporaryFile(prefix="animatic-"))
    except OSError as error:
        raise no_room(error) from None


def no_room(error: OSError) -> LocationError:
    """Return the error for temporary files that cannot be written."""
    return LocationError(
        f"temporary files: cannot be written ({error.strerror}). A run keeps the rows of its manifest there; "
        "make room, or set TMPDIR to a folder with more"
    )


class Spool:
    """Record batches in a nameless file, as `manifest.Rows` wants them. Any number of threads may read it."""

    def __init__(self) -> None:
        self._file = nameless_file()
        self._ends = [0]

    def append(self, batch: pa.RecordBatch) -> None:
        """Put a batch behind the others. Raises LocationError where there is no room."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        data = sink.getvalue()
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise no_room(error) from None
        self._ends.append(self._ends[-1] + data.size)

    def __getitem__(self, index: int) -> pa.RecordBatch:
        """Return the batch with this index, from 0."""
        start, end = self._ends[index], self._ends[index + 1]
        data = os.pread(self._file.fileno(), end - start, start)
        return pa.ipc.open_stream(data).read_next_batch()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Read the batches from the first to the last."""
        return map(self.__getitem__, range(len(self)))

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self._ends[-1]

    def close(self) -> None:
        """Give the file up."""
        self._file.close()

    def __del__(self) -> None:
        """Close the file with the spool, if nothing else has closed it."""
        if hasattr(self, "_file"):
            self._file.close()
