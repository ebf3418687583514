"""WaveSpeed's list, and the clocks that date its windows."""

import asyncio
import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from animatic.buying.reconcile import Reconciled, reconcile
from animatic.ledger import open_ledger, operations, settling
from animatic.sandbox.witness import read_witness
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.transport import AiohttpTransport
from torture.canary import KEY
from torture.matrix.stage import PROVIDER, Set, case, stats_of


@case(
    "list", "it echoes no inputs", "nothing is adopted before the window and the settling time are over; no second POST"
)
async def _no_echo(place: Set) -> bool:
    async with place.sandbox(list_inputs=False):
        takes = place.takes("[sandbox:lost-reply] one")
        await place.run(takes)
        await place.run(takes, settle_s=0.0)
        assert await place.states(takes) == ["unknown"]
        assert len(place.accepted) == 1
        return (await stats_of(place))["lists"] >= 2


@case("list", "a page fails", "an incomplete scan proves nothing")
async def _page_fails(place: Set) -> bool:
    async with place.sandbox(list_fails_on=frozenset({1})):
        takes = place.takes("[sandbox:reset-before] one", "[sandbox:lost-reply] two")
        ran = await place.run(takes)
        assert ran.settled.problem
        assert await place.states(takes) == ["unknown"] * 2
        fired = (await stats_of(place))["refused_list"]
    async with place.sandbox():
        await place.run(takes)
        assert await place.states(takes) == ["unknown", "completed"]
        assert len(place.accepted) == 1
    return fired > 0


@case("list", "a prediction shows up late", "it is not proven absent before; then it is adopted")
async def _list_late(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("[sandbox:list-late=1.5] one")
        await place.run(takes, settle_s=2.0)
        assert await place.states(takes) == ["unknown"]
        await asyncio.sleep(1.6)
        await place.run(takes, settle_s=2.0)
        assert await place.states(takes) == ["completed"]
        assert len(place.accepted) == 1
        return True


@case("list", "accepted after the connection was cut", "it is adopted when it appears")
async def _late_accept(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("[sandbox:late-accept=1] one")
        await place.run(takes)
        assert await place.states(takes) == ["unknown"]
        assert not place.accepted
        await asyncio.sleep(1.2)
        await place.run(takes)
        assert await place.states(takes) == ["completed"]
        return len(place.accepted) == 1


@case("list", "two takes that ask for exactly the same", "each gets one prediction, none gets both")
async def _twins(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("[sandbox:lost-reply] one", count=2)
        await place.run(takes)
        records = await place.records(takes)
        assert [record and record.state.value for record in records] == ["completed"] * 2
        assert len({record.prediction_id for record in records if record}) == 2
        return len(place.accepted) == 2


@case("list", "predictions that are not ours", "they are reported as orphans and never adopted")
async def _orphans(place: Set) -> bool:
    async with place.sandbox():
        foreign = await place.buy_elsewhere("web")
        takes = place.takes("[sandbox:lost-reply] one")
        await place.run(takes)
        assert await place.states(takes) == ["completed"]
        with open_ledger(f"sqlite:///{place.ledger}") as desk:
            found = await desk.orphans(PROVIDER)
        assert [each.prediction_id for each in found] == [foreign]
        return True


@case("clock", "the API's clock is 30 days from ours", "windows are dated by the API: lost replies are still found")
async def _skew(place: Set) -> bool:
    for offset_s in (-86_400.0 * 30, 86_400.0 * 30):
        async with place.sandbox(clock_offset_s=offset_s, folder=place.folder / f"sandbox{offset_s}"):
            takes = place.takes(f"[sandbox:lost-reply] {offset_s}")
            await place.run(takes)
            assert await place.states(takes) == ["completed"]
            (accepted,) = read_witness(place.folder / f"sandbox{offset_s}")
            off_s = (datetime.fromisoformat(accepted.accepted_at) - datetime.now(UTC)).total_seconds() - offset_s
            assert abs(off_s) < 120
    return True


@case("clock", "ours jumps while a run goes on", "takes are timed by a clock that only grows")
async def _jump(place: Set) -> bool:
    true_now, jumps = operations.now, 0

    def jumping() -> datetime:
        nonlocal jumps
        jumps += 1
        return true_now() + timedelta(days=(-8, 8, 0, 400)[jumps % 4])

    operations.now = settling.now = jumping
    try:
        async with place.sandbox(inference_s=0.3):
            takes = place.takes("one", "[sandbox:lost-reply] two", "[sandbox:fails] three")
            ran = await place.run(takes)
            assert ran.error is None
            assert await place.states(takes) == ["completed", "completed", "failed"]
            assert (await place.run(takes)).progress.submissions == 0
            assert set(place.bought.values()) == {1}
    finally:
        operations.now = settling.now = true_now
    return jumps > 8


@case("clock", "a take older than the list reaches", "held, with the command that settles it")
async def _too_old(place: Set) -> bool:
    async with place.sandbox():
        takes = place.takes("[sandbox:reset-before] one")
        await place.run(takes)
    with contextlib.closing(sqlite3.connect(place.ledger)) as ledger, ledger:
        ledger.execute("UPDATE attempt SET window_from = '2020-01-01 00:00:00', window_to = '2020-01-01 00:01:00'")
    async with place.sandbox():
        await place.run(takes)
    (record,) = await place.records(takes)
    assert record is not None
    assert record.state == "held"
    assert "--absent" in (record.error or "")
    return not place.accepted


@case("list", "not in the list", "absent only after two complete scans a settling time apart; then bought exactly once")
async def _absent(place: Set) -> bool:
    takes = place.takes("known", "[sandbox:reset-before] one")
    async with place.sandbox(clock_offset_s=-300.0):
        await place.run(takes)
    async with place.sandbox():
        for _ in range(3):
            await _only_reconcile(place, 2.0)
            assert await place.states(takes) == ["completed", "unknown"]
        await asyncio.sleep(3.2)  # `Date` has whole seconds
        settled = await _only_reconcile(place, 2.0)
        assert settled.absent == [takes[1].fingerprint]
        assert await place.states(takes) == ["completed", "absent"]
    return list(place.bought) == ["known"]


async def _only_reconcile(place: Set, settle_s: float, **client: Any) -> Reconciled:
    with open_ledger(f"sqlite:///{place.ledger}") as desk:
        async with WaveSpeedClient(place.url, KEY, **client) as wavespeed:
            return await reconcile(desk, wavespeed, PROVIDER, settle_s)


class Misunderstanding(httpx.AsyncBaseTransport):
    """The real transport, but the list knows our models by another name: it finds none."""

    def __init__(self) -> None:
        self._inner = AiohttpTransport(fresh_connections=False, most_connections=2)
        self.asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/v3/predictions":
            return await self._inner.handle_async_request(request)
        self.asked += 1
        body = b'{"code":200,"message":"","data":{"page":1,"items":[]}}'
        return httpx.Response(200, stream=httpx.ByteStream(body))

    async def aclose(self) -> None:
        await self._inner.aclose()


@case(
    "list",
    "a list that misunderstands the filter",
    "one that shows nothing of what is known to be there proves nothing",
)
async def _misunderstood(place: Set) -> bool:
    takes = place.takes("one", "[sandbox:reset-before] two")
    async with place.sandbox(clock_offset_s=-300.0):
        await place.run(takes)
    async with place.sandbox():
        liars = [Misunderstanding(), Misunderstanding()]
        for liar in liars:
            settled = await _only_reconcile(place, 1.0, transport=liar)
            assert "it lacks 1 of 1 predictions that are known" in (settled.problem or "")
            await asyncio.sleep(2.2)  # `Date` has whole seconds
        assert await place.states(takes) == ["completed", "held"]
        for _ in range(2):
            await _only_reconcile(place, 1.0)
            await asyncio.sleep(2.2)  # `Date` has whole seconds
        assert await place.states(takes) == ["completed", "absent"]
        return all(liar.asked for liar in liars)
