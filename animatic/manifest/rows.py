"""Rows between the steps of a check: written once, in order, read batch by batch as often as needed."""

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

ROWS_PER_BATCH = 4_096
CHARS_PER_BATCH = 16 << 20
"""A batch ends at whichever comes first, so that none takes more than some tens of MB."""


class Rows(Protocol):
    """Record batches of one schema."""

    def add(self, batch: pa.RecordBatch) -> None:
        """Put a batch behind the others."""
        ...

    def batch(self, index: int) -> pa.RecordBatch:
        """Return the batch with this index, from 0."""
        ...

    def __len__(self) -> int:
        """Return the number of batches."""
        ...


class RowsInMemory:
    """Rows for what is small: they are simply kept."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Put a batch behind the others."""
        self._batches.append(batch)

    def batch(self, index: int) -> pa.RecordBatch:
        """Return the batch with this index, from 0."""
        return self._batches[index]

    def __len__(self) -> int:
        return len(self._batches)


def batches_of(rows: Rows) -> Iterator[pa.RecordBatch]:
    """All batches, one after the other."""
    for index in range(len(rows)):
        yield rows.batch(index)
