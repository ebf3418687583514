"""Receipts: a reply is on disk before it is parsed, in room that was made beforehand."""

import asyncio
import os
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from animatic.errors import LedgerUnusableError
from animatic.ledger.liveness import alive, receipts_left_behind, runs_folder
from animatic.ledger.receipts import SLOT_BYTES, Receipt, Receipts, encode, read_receipts, write_zeros


@pytest.fixture
def receipts(tmp_path: Path) -> Iterator[Receipts]:
    found = Receipts(tmp_path / "run.receipts", entries=2)
    yield found
    found.close()


async def test_a_reply_is_on_disk_when_keep_returns(receipts: Receipts) -> None:
    async with receipts.entry() as entry:
        await entry.keep(7, "n1", 200, b'{"data": {"id": "p1"}}\n{}')
        assert read_receipts(receipts.path) == [Receipt(7, "n1", 200, b'{"data": {"id": "p1"}}\n{}')]
        entry.settle()
    assert not receipts.is_owed


async def test_the_file_has_its_room_from_the_start(receipts: Receipts) -> None:
    status = receipts.path.stat()
    assert (status.st_size, status.st_mode & 0o777) == (2 * SLOT_BYTES, 0o600)
    assert status.st_blocks * 512 >= 2 * SLOT_BYTES
    assert read_receipts(receipts.path) == []


async def test_a_slot_is_used_again_once_it_is_settled(receipts: Receipts) -> None:
    for number in range(10):
        async with receipts.entry() as entry:
            await entry.keep(number, "n", 200, b"x")
            entry.settle()
    assert {receipt.attempt_id for receipt in read_receipts(receipts.path)} <= {8, 9}


async def test_who_comes_when_all_room_is_taken_waits(receipts: Receipts) -> None:
    async with receipts.entry(), receipts.entry() as second:
        third = asyncio.ensure_future(receipts.entry().__aenter__())
        await asyncio.sleep(0.05)
        assert not third.done()
        second.settle()
    assert (await asyncio.wait_for(third, 1)).number in {0, 1}


async def test_a_slot_that_is_owed_is_never_given_out_again(receipts: Receipts) -> None:
    async with receipts.entry() as entry:
        await entry.keep(1, "n", 200, b"owed")
    assert receipts.is_owed
    for number in range(3):
        async with receipts.entry() as other:
            assert other.number != entry.number
            await other.keep(2 + number, "n", 200, b"x")
            other.settle()
    assert b"owed" in {receipt.body for receipt in read_receipts(receipts.path)}


async def test_a_body_too_long_for_its_entry_is_cut(receipts: Receipts) -> None:
    async with receipts.entry() as entry:
        await entry.keep(1, "n", 200, b"x" * 100_000)
    (found,) = read_receipts(receipts.path)
    assert SLOT_BYTES - 200 < len(found.body) < SLOT_BYTES
    assert receipts.path.stat().st_size == 2 * SLOT_BYTES


def test_what_is_half_written_or_damaged_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "some.receipts"
    good = encode(Receipt(1, "n", 200, b"good")).ljust(SLOT_BYTES, b"\0")
    half = encode(Receipt(2, "n", 200, b"half" * 100))[:100].ljust(SLOT_BYTES, b"\0")
    flipped = bytearray(encode(Receipt(3, "n", 200, b"flipped")).ljust(SLOT_BYTES, b"\0"))
    flipped[40] ^= 1
    endless = b"animatic\xff\xff\xff\xff\0\0\0\0".ljust(SLOT_BYTES, b"\0")
    path.write_bytes(b"\0" * SLOT_BYTES + half + bytes(flipped) + endless + good + b"rest")
    assert [receipt.body for receipt in read_receipts(path)] == [b"good"]
    assert read_receipts(tmp_path / "none") == []


def test_the_file_goes_with_the_run_unless_it_is_owed(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    with alive(ledger, "fine"):
        assert receipts_left_behind(ledger) == {}
    assert list(runs_folder(ledger).iterdir()) == []

    async def owe() -> None:
        with alive(ledger, "owes") as receipts:
            async with receipts.entry() as entry:
                await entry.keep(1, "n", 200, b"x")

    asyncio.run(owe())
    assert list(receipts_left_behind(ledger)) == ["owes"]


async def test_the_wait_for_a_free_entry_is_bounded(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path / "some.receipts", entries=1)

    async def wait() -> None:
        async with receipts.entry():
            pytest.fail("there was no room")

    async with receipts.entry() as entry:
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        await entry.keep(1, "n", 200, b"x")  # and the ledger does not take it
    with pytest.raises(LedgerUnusableError, match="full of replies"):
        await asyncio.wait_for(waiting, 1)
    receipts.close()


def no_room(path: Path) -> int:
    """Run a process that may write one page only, and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))
            try:
                with alive(path, "run-1"):
                    code = 1
            except LedgerUnusableError as error:
                code = 0 if "make room" in str(error) else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_without_room_for_receipts_no_run_begins_and_nothing_stays(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    assert no_room(ledger) == 0
    assert [path.suffix for path in runs_folder(ledger).iterdir()] == [".lock"]


async def test_a_write_that_is_cut_is_an_error(receipts: Receipts) -> None:
    os.close(os.dup(receipts._file))
    whole, cut = receipts.put([(0, b"whole"), (1, ShortBytes(b"x" * 10))])
    assert whole.error is None
    assert re.search("part of a reply", str(cut.error))
    with pytest.raises(OSError, match="part of a reply"):
        await receipts.write(1, ShortBytes(b"x" * 10))


@pytest.mark.parametrize(
    ("path", "mode", "problem"), [("its own", "rb", "Bad file descriptor"), ("/dev/null", "wb", "Invalid argument")]
)
async def test_a_reply_that_cannot_be_written_or_synced_is_an_error(
    receipts: Receipts, path: str, mode: str, problem: str
) -> None:
    """One of them takes no byte, the other cannot be synced."""
    with (receipts.path if path == "its own" else Path(path)).open(mode) as broken:
        os.dup2(broken.fileno(), receipts._file)
    for answer in receipts.put([(0, b"one"), (1, b"two")]):
        assert re.search(problem, str(answer.error))


class ShortBytes(bytes):
    """Claims to be longer than it is."""

    __slots__ = ()

    def __len__(self) -> int:
        return 99


@pytest.mark.parametrize("options", [{}, {"allocate": write_zeros}])
def test_a_file_that_cannot_be_sized_leaves_nothing_behind(tmp_path: Path, options: Any) -> None:
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large|No space left"):
            Receipts(tmp_path / "some.receipts", **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_room_can_be_made_where_the_system_does_not_allocate(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path / "some.receipts", entries=3, allocate=write_zeros)
    assert receipts.path.read_bytes() == bytes(3 * SLOT_BYTES)
    receipts.close()


def test_receipts_of_the_same_name_are_never_written_over(tmp_path: Path) -> None:
    path = runs_folder(tmp_path / "l") / "a.receipts"
    path.parent.mkdir()
    path.write_bytes(b"another's")
    with pytest.raises(LedgerUnusableError, match="cannot be made"), alive(tmp_path / "l", "a"):
        pass
    assert path.read_bytes() == b"another's"
