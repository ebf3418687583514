"""Disks that are full, broken or empty."""

import asyncio
import contextlib
import errno
import os
import resource
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from animatic.buying.shoot import Shoot
from animatic.errors import AnimaticError, LedgerUnusableError
from animatic.ledger import Ledger, liveness, open_ledger
from animatic.ledger.opening import find_database, open_database
from animatic.ledger.transactions import Transactions
from animatic.pace.limits import Limits
from animatic.planning.config import RunConfig
from animatic.progress import Progress
from animatic.takes.shots import Take
from animatic.wavespeed.client import WaveSpeedClient
from torture.canary import KEY
from torture.cluster import Cluster
from torture.ledgers import Place, is_on_server, wait_until_old
from torture.matrix.stage import PROVIDER, Setup, case
from torture.steps import quotes

SMALL_DISK_MB = 64


class FullDisk(Transactions):
    """Transactions on a disk that has no more room from the first operation of this name on."""

    def __init__(self, url: str, broken: str) -> None:
        super().__init__(open_database(find_database(url)))
        self._broken = broken
        self.refused = 0

    async def do(self, within_s: float, operation: Any, *args: Any, **kwargs: Any) -> Any:
        if operation.__name__ == self._broken:
            self.refused += 1
            return await super().do(within_s, _out_of_room)
        return await super().do(within_s, operation, *args, **kwargs)


def _out_of_room(db: Any) -> None:
    if is_on_server():
        db.exec_driver_sql(
            f"CREATE UNLOGGED TABLE too_much AS SELECT i FROM generate_series(1, {SMALL_DISK_MB * 30_000}) i"
        )
        return
    db.exec_driver_sql("PRAGMA max_page_count = 1")
    db.exec_driver_sql("CREATE TABLE too_much AS SELECT zeroblob(1000000)")


def on_a_small_disk(setup: Setup) -> Cluster | None:
    """Return a server with its data and WAL on a small file system; None where the ledger is on no server."""
    if not is_on_server():
        return None
    folder = setup.folder / "small"
    folder.mkdir()
    setup.folder.chmod(0o711)
    size = f"size={SMALL_DISK_MB}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True, capture_output=True)
    setup.ends.callback(subprocess.run, ["umount", str(folder)], check=True)
    return setup.server_of_own("--wal-segsize=1", folder=folder)


async def _with_full_disk(setup: Setup, takes: Sequence[Take], broken: str) -> tuple[int, Exception | None]:
    with contextlib.ExitStack() as stack:
        disk = FullDisk(setup.ledger.url, broken)
        opened = stack.enter_context(Ledger(disk))
        async with opened.run("full", "shots.csv") as run, WaveSpeedClient(setup.url, KEY) as client:
            config = RunConfig(
                "full", PROVIDER, Limits(1_000, 5), poll_floor_s=0.05, take_deadline_s=4.0, quotes=quotes()
            )
            shoot = Shoot(config, client, run, Progress())
            try:
                await shoot.shoot(takes)
            except LedgerUnusableError as error:
                return disk.refused, error
    return disk.refused, None


@case("disk", "full when the intent is to be written", "no POST, and the run stops")
async def _full_before(setup: Setup) -> bool:
    on_a_small_disk(setup)
    async with setup.sandbox():
        refused, error = await _with_full_disk(setup, setup.takes(*(f"take {number}" for number in range(8))), "intend")
        assert isinstance(error, LedgerUnusableError)
        assert not setup.accepted
        return refused > 0


@case(
    "disk",
    "full when the reply is to be written",
    "the reply is in the receipts and read back; nothing is bought again",
)
async def _full_after(setup: Setup) -> bool:
    on_a_small_disk(setup)
    async with setup.sandbox():
        takes = setup.takes("one", "two", "three")
        refused, error = await _with_full_disk(setup, takes, "accept")
        assert isinstance(error, LedgerUnusableError)
        bought = len(setup.accepted)
        assert bought >= 1
        left = list(liveness.receipts_left_behind(setup.ledger.path))
        assert left == ["full"]
        await asyncio.to_thread(wait_until_old)
        await setup.run(takes)
        assert await setup.states(takes) == ["completed"] * 3
        assert set(setup.bought.values()) == {1}
        assert setup.ledger.rows("SELECT count(*) FROM attempt WHERE settled_by = 'receipt'") == [(bought,)]
        return refused > 0


@case("disk", "the receipts cannot be written", "the ledger gets the reply, and nothing more is bought")
async def _no_receipts(setup: Setup) -> bool:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with setup.sandbox():
        takes = setup.takes(*(f"take {number}" for number in range(6)))
        ran = await setup.run(takes, limits=Limits(1_000, 1), break_receipts=refuse)
        assert "receipts" in (ran.shoot.stop_signal.reason or "")
        assert (await setup.states(takes)).count("completed") == len(setup.accepted) == 1
        await setup.run(takes)
        assert await setup.states(takes) == ["completed"] * 6
        return set(setup.bought.values()) == {1}


@case("disk", "full, for the whole process", "no POST without an intent; a later run with room completes it", "sqlite")
async def _full_process(setup: Setup) -> bool:
    from torture.studio import in_child

    async with setup.sandbox():
        takes = setup.takes(*(f"take {number}" for number in range(6)))
        await setup.run(takes[:1])
        size = setup.ledger.path.stat().st_size

        def work() -> None:
            setup._runs = 100
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            asyncio.run(setup.run(takes))

        code = await asyncio.to_thread(in_child, work)
        assert code != 0
        assert len(setup.accepted) == 1
        await setup.run(takes)
        assert await setup.states(takes) == ["completed"] * 6
        return set(setup.bought.values()) == {1}


async def refusal(setup: Setup) -> str:
    """Return the error with which the ledger is not opened now."""
    try:
        with open_ledger(setup.ledger.url) as opened:
            await opened.require_sound()
    except AnimaticError as error:
        return str(error)
    return ""


@case("disk", "the ledger is damaged", "the run stops and says so; nothing is planned anew", "sqlite")
async def _damaged(setup: Setup) -> bool:
    async with setup.sandbox():
        await setup.run(setup.takes(*(f"take {number}" for number in range(60))))
    ledger = setup.ledger.path
    whole = ledger.read_bytes()
    fired = tried = 0
    for at in range(4_096 + 8, len(whole), 4_096):
        if not any(whole[at - 5 : at - 3]):  # a page without cells, as those of empty tables: nothing in it is read
            continue
        ledger.write_bytes(whole[:at] + b"\xff" * 64 + whole[at + 64 :])
        tried += 1
        fired += bool(await refusal(setup))
    ledger.write_bytes(whole)
    assert not await refusal(setup)
    assert fired >= 0.7 * tried, f"{fired} of {tried} damaged pages were noticed"
    return True


@case("disk", "the ledger is gone, empty or another one", "the run stops and says so; nothing is planned anew")
async def _gone(setup: Setup) -> bool:
    async with setup.sandbox():
        await setup.run(setup.takes("one"))
    whole, ledger = setup.ledger.save(), setup.ledger
    ledger.remove()
    assert "it is gone" in await refusal(setup)
    if is_on_server():
        assert ledger.url  # its schema is there again, and empty
    else:
        ledger.path.touch()
    assert "it is gone" in await refusal(setup)
    other = Place(setup.folder, "other")
    open_database(find_database(other.url)).engine.dispose()
    ledger.restore(other.save(), other)
    assert "another ledger" in await refusal(setup)
    ledger.restore(whole)
    return not await refusal(setup)


@case("disk", "a read-only folder", "the run stops before anything is sent", "sqlite")
async def _read_only(setup: Setup) -> bool:
    blocked = setup.folder / "file"
    blocked.touch()
    setup.ledger = Place(blocked)
    return "cannot be opened" in await refusal(setup) or "Not a directory" in await refusal(setup)
