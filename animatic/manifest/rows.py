"""Rows between the steps of a check: written once, in order, read batch by batch as often as needed."""

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

ROWS_PER_BATCH = 4_096
CHARS_PER_BATCH = 16 << 20
"""A batch ends at whichever comes first, so that none takes more than some tens of MB."""


class Rows(Protocol):
    """Record batches of one schema. A list will do for what is small."""

    def append(self, batch: pa.RecordBatch, /) -> None:
        """Put a batch behind the others."""
        ...

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Read the batches from the first to the last."""
        ...
