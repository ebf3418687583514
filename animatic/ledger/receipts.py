"""Replies to submissions, on disk before they are parsed: the second home of a prediction's id.

A run opens its file and sizes it before it buys anything, so that a full disk cannot keep a reply out. Each submission
holds an entry from its intent until what the reply says is committed to the ledger. A reply whose commit failed, or
whose run died before it, stays in the file, and the next run to come reads it back.

An entry is a header (magic, length, CRC-32) and one line of JSON followed by the body as it came. A body too long for
its entry is cut; its take is then settled like one whose reply was lost.
"""

import asyncio
import errno
import json
import os
import struct
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from animatic.errors import LedgerUnusableError
from animatic.ledger.batching import Answer, BatchWorker
from animatic.machine.durability import sync, sync_data, sync_folder

SLOTS = 256
SLOT_BYTES = 16_384
"""Room for a reply of the API's usual kilobyte, and for one that repeats the longest prompt in JSON's escapes."""

_MAGIC = b"animatic"
_HEADER = struct.Struct("<8sII")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A reply that was written down: for which intent of which attempt, its HTTP status and its body."""

    attempt_id: int
    nonce: str
    http: int
    body: bytes


def write_zeros(file: int, offset: int, size_bytes: int) -> None:
    """Make room where the system cannot allocate it (macOS); raises OSError."""
    if os.pwrite(file, bytes(size_bytes), offset) != size_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_allocate: Callable[[int, int, int], None] = getattr(os, "posix_fallocate", write_zeros)


class Entry:
    """Room for one reply."""

    def __init__(self, receipts: "Receipts", number: int) -> None:
        self.number = number
        self._receipts = receipts
        self.is_owed = False
        """True while it holds a reply that the ledger does not."""

    async def keep(self, attempt_id: int, nonce: str, http: int, body: bytes) -> None:
        """Write a reply down; it is on disk when this returns. Raises OSError."""
        self.is_owed = True
        record = encode(Receipt(attempt_id, nonce, http, body))
        await self._receipts.write(self.number, record)

    def settle(self) -> None:
        """Free the entry: the ledger has what the reply says."""
        self.is_owed = False


class Receipts:
    """The receipts of one run. The file goes when everything in it is in the ledger too."""

    def __init__(self, path: Path, entries: int = SLOTS, allocate: Callable[[int, int, int], None] = _allocate) -> None:
        self.path, self._slots = path, entries
        self._free = list(range(entries))
        self._room = asyncio.Semaphore(entries)
        self._worker: BatchWorker[tuple[int, bytes]] | None = None
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            allocate(self._file, 0, entries * SLOT_BYTES)
            sync(self._file)
            sync_folder(path.parent)
        except OSError:
            os.close(self._file)
            path.unlink()
            raise

    @asynccontextmanager
    async def entry(self) -> AsyncGenerator[Entry]:
        """Room for the reply to a submission that has not been sent yet; waits while all room is taken.

        Raises:
            LedgerUnusableError: all of it holds replies that the ledger does not take.
        """
        async with self._room:
            if not self._free:
                raise LedgerUnusableError(
                    f"receipts {self.path}: full of replies that the ledger does not take, so nothing more is bought; "
                    "mend the ledger, then run again"
                )
            entry = Entry(self, self._free.pop())
            try:
                yield entry
            finally:
                if not entry.is_owed:
                    self._free.append(entry.number)

    async def write(self, number: int, record: bytes) -> None:
        """Put a record into an entry, synced, together with all that are put at the same time. Raises OSError."""
        self._worker = self._worker or BatchWorker("receipts", self.put, self._slots)
        await self._worker.ask((number, record))

    def put(self, records: Sequence[tuple[int, bytes]]) -> list[Answer]:
        """Put records into their entries, synced; None or an OSError for each."""
        answers = [self._put(number, record) for number, record in records]
        try:
            sync_data(self._file)
        except OSError as error:
            return [Answer(error=error)] * len(answers)
        return answers

    def _put(self, number: int, record: bytes) -> Answer:
        try:
            is_whole = os.pwrite(self._file, record, number * SLOT_BYTES) == len(record)
        except OSError as error:
            return Answer(error=error)
        return Answer(error=None if is_whole else OSError("the receipts file took only a part of a reply"))

    def close(self) -> None:
        """Close the file, and remove it unless it holds a reply that the ledger does not."""
        if self._worker is not None:
            self._worker.close()
        os.close(self._file)
        if not self.is_owed:
            self.path.unlink(missing_ok=True)

    @property
    def is_owed(self) -> bool:
        """Tell if any entry holds a reply that the ledger does not."""
        return len(self._free) < self._slots


def encode(receipt: Receipt) -> bytes:
    """Encode a record so that it fits into an entry."""
    head = json.dumps({"attempt_id": receipt.attempt_id, "nonce": receipt.nonce, "http": receipt.http}).encode() + b"\n"
    payload = (head + receipt.body)[: SLOT_BYTES - _HEADER.size]
    return _HEADER.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload


def read_receipts(path: Path) -> list[Receipt]:
    """Every whole record of a file, an entry at a time; what was never written, or only half, is left out."""
    try:
        with path.open("rb") as file:
            return list(_records(iter(lambda: file.read(SLOT_BYTES), b"")))
    except FileNotFoundError:  # another run has read it and cleaned up
        return []


def _records(entries: Iterator[bytes]) -> Iterator[Receipt]:
    for entry in entries:
        if len(entry) < _HEADER.size:
            continue
        magic, length, checksum = _HEADER.unpack_from(entry)
        payload = entry[_HEADER.size : _HEADER.size + length]
        if magic != _MAGIC or length > SLOT_BYTES or zlib.crc32(payload) != checksum:
            continue
        head, _, body = payload.partition(b"\n")
        known = json.loads(head)
        yield Receipt(known["attempt_id"], known["nonce"], known["http"], body)
