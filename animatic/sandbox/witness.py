"""The witness: which submissions the sandbox accepted, on disk before anyone is told.

`accepted.jsonl` in the sandbox's folder, one line each, append-only. Tests count it; a sandbox that starts again on
the folder rebuilds everything from it. A line without its newline was never answered for: it is torn off at the start.
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from animatic.errors import SettingsError

_NAME = "accepted.jsonl"


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted submission.

    Attributes:
        id: of the prediction, 32 hex digits.
        accepted_at: ISO 8601, UTC, to the millisecond.
        model: as in the path of the request.
        inputs: the body, with its defaults filled in.
        scenario: as asked for, `NAME` or `NAME=VALUE`.
        started_at: when it gets its place among those in flight.
        latency_s: how long it works then.
        seed: of its clip.
        price_usd: what the account was charged.
    """

    id: str
    accepted_at: str
    model: str
    inputs: Mapping[str, str]
    scenario: str
    started_at: str
    latency_s: float
    seed: int
    price_usd: float


_FIELDS = tuple(each.name for each in fields(Accepted))


class Witness:
    """The open file. One writer at a time: the folder's lock sees to that."""

    def __init__(self, folder: Path, *, syncs: bool) -> None:
        self._syncs = syncs
        self._file = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._tear_off_unfinished_line()

    def write(self, accepted: Accepted) -> None:
        """Append one line, durable when this returns. On a failure (OSError) the file is as before."""
        record = {name: getattr(accepted, name) for name in _FIELDS}
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            _write_whole(self._file, line)
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


def _write_whole(file: int, line: bytes) -> None:
    if os.write(file, line) != len(line):
        raise OSError(errno.ENOSPC, "the witness took only a part of its line: is the disk full?")


def read_witness(folder: Path) -> list[Accepted]:
    """Every accepted submission, oldest first; none if nothing was ever served there. Safe while a sandbox writes.

    Raises SettingsError for a finished line that is not one of ours.
    """
    return list(_accepted_in(folder / _NAME))


def _accepted_in(path: Path) -> Iterator[Accepted]:
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                record: dict[str, Any] = json.loads(line)
                yield Accepted(**record)
            except (ValueError, TypeError):
                raise SettingsError(
                    f"{path}:{number}: not a line of a sandbox's witness; use another folder, or move the file away"
                ) from None
