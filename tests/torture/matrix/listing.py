"""WaveSpeed's list, and the clocks that date its windows."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from animatic.buying.reconcile import Reconciled, reconcile
from animatic.ledger import open_ledger, operations, settling
from animatic.sandbox.witness import read_witness
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.transport import AiohttpTransport
from torture.canary import KEY
from torture.matrix.stage import PROVIDER, Setup, case, stats_of


@case(
    "list", "it echoes no inputs", "nothing is adopted before the window and the settling time are over; no second POST"
)
async def _no_echo(setup: Setup) -> bool:
    async with setup.sandbox(list_inputs=False):
        takes = setup.takes("[sandbox:lost-reply] one")
        await setup.run(takes)
        await setup.run(takes, settle_s=0.0)
        assert await setup.states(takes) == ["unknown"]
        assert len(setup.accepted) == 1
        return (await stats_of(setup))["lists"] >= 2


@case("list", "a page fails", "an incomplete scan proves nothing")
async def _page_fails(setup: Setup) -> bool:
    async with setup.sandbox(list_fails_on=frozenset({1})):
        takes = setup.takes("[sandbox:reset-before] one", "[sandbox:lost-reply] two")
        ran = await setup.run(takes)
        assert ran.settled.problem
        assert await setup.states(takes) == ["unknown"] * 2
        fired = (await stats_of(setup))["refused_list"]
    async with setup.sandbox():
        await setup.run(takes)
        assert await setup.states(takes) == ["unknown", "completed"]
        assert len(setup.accepted) == 1
    return fired > 0


@case("list", "a prediction shows up late", "it is not proven absent before; then it is adopted")
async def _list_late(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes("[sandbox:list-late=1.5] one")
        await setup.run(takes, settle_s=2.0)
        assert await setup.states(takes) == ["unknown"]
        await asyncio.sleep(1.6)
        await setup.run(takes, settle_s=2.0)
        assert await setup.states(takes) == ["completed"]
        assert len(setup.accepted) == 1
        return True


@case("list", "accepted after the connection was cut", "it is adopted when it appears")
async def _late_accept(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes("[sandbox:late-accept=1] one")
        await setup.run(takes)
        assert await setup.states(takes) == ["unknown"]
        assert not setup.accepted
        await asyncio.sleep(1.2)
        await setup.run(takes)
        assert await setup.states(takes) == ["completed"]
        return len(setup.accepted) == 1


@case("list", "two takes that ask for exactly the same", "each gets one prediction, none gets both")
async def _twins(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes("[sandbox:lost-reply] one", count=2)
        await setup.run(takes)
        records = await setup.records(takes)
        assert [record and record.state.value for record in records] == ["completed"] * 2
        assert len({record.prediction_id for record in records if record}) == 2
        return len(setup.accepted) == 2


@case("list", "predictions that are not ours", "they are reported as orphans and never adopted")
async def _orphans(setup: Setup) -> bool:
    async with setup.sandbox():
        foreign = await setup.buy_elsewhere("web")
        takes = setup.takes("[sandbox:lost-reply] one")
        await setup.run(takes)
        assert await setup.states(takes) == ["completed"]
        with open_ledger(setup.ledger.url) as opened:
            found = await opened.orphans(PROVIDER)
        assert [each.prediction_id for each in found] == [foreign]
        return True


@case("clock", "the API's clock is 30 days from ours", "windows are dated by the API: lost replies are still found")
async def _skew(setup: Setup) -> bool:
    for offset_s in (-86_400.0 * 30, 86_400.0 * 30):
        async with setup.sandbox(clock_offset_s=offset_s, folder=setup.folder / f"sandbox{offset_s}"):
            takes = setup.takes(f"[sandbox:lost-reply] {offset_s}")
            await setup.run(takes)
            assert await setup.states(takes) == ["completed"]
            (accepted,) = read_witness(setup.folder / f"sandbox{offset_s}")
            off_s = (datetime.fromisoformat(accepted.accepted_at) - datetime.now(UTC)).total_seconds() - offset_s
            assert abs(off_s) < 120
    return True


@case("clock", "ours jumps while a run goes on", "takes are timed by a clock that only grows")
async def _jump(setup: Setup) -> bool:
    true_now, jumps = operations.now, 0

    def jumping() -> datetime:
        nonlocal jumps
        jumps += 1
        return true_now() + timedelta(days=(-8, 8, 0, 400)[jumps % 4])

    operations.now = settling.now = jumping
    try:
        async with setup.sandbox(inference_s=0.3):
            takes = setup.takes("one", "[sandbox:lost-reply] two", "[sandbox:fails] three")
            ran = await setup.run(takes)
            assert ran.error is None
            assert await setup.states(takes) == ["completed", "completed", "failed"]
            assert (await setup.run(takes)).progress.submissions == 0
            assert set(setup.bought.values()) == {1}
    finally:
        operations.now = settling.now = true_now
    return jumps > 8


@case("clock", "a take older than the list reaches", "held, with the command that settles it")
async def _too_old(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes("[sandbox:reset-before] one")
        await setup.run(takes)
    setup.ledger.write("UPDATE attempt SET window_from = '2020-01-01 00:00:00', window_to = '2020-01-01 00:01:00'")
    async with setup.sandbox():
        await setup.run(takes)
    (record,) = await setup.records(takes)
    assert record is not None
    assert record.state == "held"
    assert "--absent" in (record.error or "")
    return not setup.accepted


@case("list", "not in the list", "absent only after two complete scans a settling time apart; then bought exactly once")
async def _absent(setup: Setup) -> bool:
    takes = setup.takes("known", "[sandbox:reset-before] one")
    async with setup.sandbox(clock_offset_s=-300.0):
        await setup.run(takes)
    async with setup.sandbox():
        for _ in range(3):
            await _only_reconcile(setup, 2.0)
            assert await setup.states(takes) == ["completed", "unknown"]
        await asyncio.sleep(3.2)  # `Date` has whole seconds
        settled = await _only_reconcile(setup, 2.0)
        assert settled.absent == [takes[1].fingerprint]
        assert await setup.states(takes) == ["completed", "absent"]
    return list(setup.bought) == ["known"]


async def _only_reconcile(setup: Setup, settle_s: float, **client: Any) -> Reconciled:
    with open_ledger(setup.ledger.url) as opened:
        async with WaveSpeedClient(setup.url, KEY, **client) as wavespeed:
            return await reconcile(opened, wavespeed, PROVIDER, settle_s)


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
async def _misunderstood(setup: Setup) -> bool:
    takes = setup.takes("one", "[sandbox:reset-before] two")
    async with setup.sandbox(clock_offset_s=-300.0):
        await setup.run(takes)
    async with setup.sandbox():
        liars = [Misunderstanding(), Misunderstanding()]
        for liar in liars:
            settled = await _only_reconcile(setup, 1.0, transport=liar)
            assert "it lacks 1 of 1 predictions that are known" in (settled.problem or "")
            await asyncio.sleep(2.2)  # `Date` has whole seconds
        assert await setup.states(takes) == ["completed", "held"]
        for _ in range(2):
            await _only_reconcile(setup, 1.0)
            await asyncio.sleep(2.2)  # `Date` has whole seconds
        assert await setup.states(takes) == ["completed", "absent"]
        return all(liar.asked for liar in liars)
