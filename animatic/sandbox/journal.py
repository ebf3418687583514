"""Append-only files of JSON lines, each on disk before `write` returns.

A line without its newline was never answered for: it is torn off when the file is opened for writing.
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Journal:
    """An open file. One writer at a time: the folder's lock sees to that."""

    def __init__(self, path: Path, *, syncs: bool) -> None:
        self._syncs = syncs
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._tear_off_unfinished_line()

    def write(self, *records: Mapping[str, Any]) -> None:
        """Append a line for each record, durable when this returns. On a failure (OSError) the file is as before."""
        lines = b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in records)
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            _write_whole(self._file, lines)
            if self._syncs:
                os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, end)
            raise

    def close(self) -> None:
        """Close the file; `write` must not follow."""
        os.close(self._file)

    def _tear_off_unfinished_line(self) -> None:
        size_bytes = os.lseek(self._file, 0, os.SEEK_END)
        kept = size_bytes
        while kept and os.pread(self._file, 1, kept - 1) != b"\n":
            kept -= 1
        if kept != size_bytes:
            os.ftruncate(self._file, kept)


def _write_whole(file: int, lines: bytes) -> None:
    if os.write(file, lines) != len(lines):
        raise OSError(errno.ENOSPC, "the witness took only a part of its line: is the disk full?")


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Return the finished lines with their numbers, from 1; none if there is no file. Safe while a sandbox writes."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            yield number, line
