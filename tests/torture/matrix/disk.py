"""Disks that are full, broken or empty."""

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from animatic.buying.shoot import Shoot
from animatic.errors import AnimaticError, LedgerUnusableError
from animatic.ledger import Ledger, LedgerRun, liveness, open_ledger
from animatic.ledger.opening import open_engine
from animatic.ledger.transactions import Transactions
from animatic.pace.limits import Limits
from animatic.planning.config import RunConfig
from animatic.progress import Progress
from animatic.takes.shots import Take
from animatic.wavespeed.client import WaveSpeedClient
from torture.canary import KEY
from torture.matrix.stage import PROVIDER, Set, case
from torture.steps import quotes


class FullDisk(Transactions):
    """Transactions on a file that may not grow any more from the first operation of this name on."""

    def __init__(self, path: Path, broken: str) -> None:
        super().__init__(open_engine(f"sqlite:///{path}"))
        self._broken = broken
        self.refused = 0

    async def do(self, within_s: float, operation: Any, *args: Any, **kwargs: Any) -> Any:
        if operation.__name__ == self._broken:
            self.refused += 1
            return await super().do(within_s, _out_of_room)
        return await super().do(within_s, operation, *args, **kwargs)


def _out_of_room(db: Any) -> None:
    db.exec_driver_sql("PRAGMA max_page_count = 1")
    db.exec_driver_sql("CREATE TABLE too_much AS SELECT zeroblob(1000000)")


async def _with_full_disk(place: Set, takes: Sequence[Take], broken: str) -> tuple[int, Exception | None]:
    with contextlib.ExitStack() as stack:
        disk = FullDisk(place.ledger, broken)
        desk = stack.enter_context(Ledger(place.ledger, disk))
        receipts = stack.enter_context(liveness.alive(place.ledger, "full"))
        await desk.begin_run("full", "shots.csv", "here", 1)
        async with WaveSpeedClient(place.url, KEY) as client:
            config = RunConfig(
                "full", PROVIDER, Limits(1_000, 5), poll_floor_s=0.05, take_deadline_s=4.0, quotes=quotes()
            )
            shoot = Shoot(config, client, LedgerRun(desk, "full", receipts), Progress())
            try:
                await shoot.shoot(takes)
            except LedgerUnusableError as error:
                return disk.refused, error
    return disk.refused, None


@case("disk", "full when the intent is to be written", "no POST, and the run stops")
async def _full_before(place: Set) -> bool:
    async with place.sandbox():
        refused, error = await _with_full_disk(place, place.takes(*(f"take {number}" for number in range(8))), "intend")
        assert isinstance(error, LedgerUnusableError)
        assert not place.accepted
        return refused > 0


@case(
    "disk",
    "full when the reply is to be written",
    "the reply is in the receipts and read back; nothing is bought again",
)
async def _full_after(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("one", "two", "three")
        refused, error = await _with_full_disk(place, takes, "accept")
        assert isinstance(error, LedgerUnusableError)
        bought = len(place.accepted)
        assert bought >= 1
        left = list(liveness.receipts_left_behind(place.ledger))
        assert left == ["full"]
        await place.run(takes)
        assert await place.states(takes) == ["completed"] * 3
        assert set(place.bought.values()) == {1}
        with contextlib.closing(sqlite3.connect(place.ledger)) as ledger:
            redeemed = ledger.execute("SELECT count(*) FROM attempt WHERE settled_by = 'receipt'").fetchone()[0]
        assert redeemed == bought
        return refused > 0


@case("disk", "the receipts cannot be written", "the ledger gets the reply, and nothing more is bought")
async def _no_receipts(place: Set) -> bool:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with place.sandbox():
        takes = place.takes(*(f"take {number}" for number in range(6)))
        ran = await place.run(takes, limits=Limits(1_000, 1), break_receipts=refuse)
        assert "receipts" in (ran.shoot.stop_signal.reason or "")
        assert (await place.states(takes)).count("completed") == len(place.accepted) == 1
        await place.run(takes)
        assert await place.states(takes) == ["completed"] * 6
        return set(place.bought.values()) == {1}


@case("disk", "full, for the whole process", "no POST without an intent; a later run with room completes it")
async def _full_process(place: Set) -> bool:
    from torture.studio import in_child

    async with place.sandbox():
        takes = place.takes(*(f"take {number}" for number in range(6)))
        await place.run(takes[:1])
        size = place.ledger.stat().st_size

        def work() -> None:
            place._runs = 100
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            asyncio.run(place.run(takes))

        code = await asyncio.to_thread(in_child, work)
        assert code != 0
        assert len(place.accepted) == 1
        await place.run(takes)
        assert await place.states(takes) == ["completed"] * 6
        return set(place.bought.values()) == {1}


async def refusal(place: Set) -> str:
    """Why the ledger is not opened now."""
    try:
        with open_ledger(f"sqlite:///{place.ledger}") as desk:
            await desk.require_sound()
    except AnimaticError as error:
        return str(error)
    return ""


@case("disk", "the ledger is damaged", "the run stops and says so; nothing is planned anew")
async def _damaged(place: Set) -> bool:
    async with place.sandbox():
        await place.run(place.takes(*(f"take {number}" for number in range(30))))
    whole = place.ledger.read_bytes()
    fired = tried = 0
    for at in range(4_096 + 8, len(whole), 4_096):
        place.ledger.write_bytes(whole[:at] + b"\xff" * 64 + whole[at + 64 :])
        tried += 1
        fired += bool(await refusal(place))
    place.ledger.write_bytes(whole)
    assert not await refusal(place)
    assert fired >= 0.7 * tried, f"{fired} of {tried} damaged pages were noticed"
    return True


@case("disk", "the ledger is gone, empty or another one", "the run stops and says so; nothing is planned anew")
async def _gone(place: Set) -> bool:
    async with place.sandbox():
        await place.run(place.takes("one"))
    whole = place.ledger.read_bytes()
    place.ledger.unlink()
    assert "it is gone" in await refusal(place)
    place.ledger.touch()
    assert "it is gone" in await refusal(place)
    open_engine(f"sqlite:///{place.folder / 'other.sqlite'}").dispose()
    shutil.copy(place.folder / "other.sqlite", place.ledger)
    assert "another ledger" in await refusal(place)
    place.ledger.write_bytes(whole)
    return not await refusal(place)


@case("disk", "a read-only folder", "the run stops before anything is sent")
async def _read_only(place: Set) -> bool:
    blocked = place.folder / "file"
    blocked.touch()
    place.ledger = blocked / "ledger.sqlite"
    return "cannot be opened" in await refusal(place) or "Not a directory" in await refusal(place)
