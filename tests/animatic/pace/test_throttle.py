"""Waits for a slot, for a start and for time to pass, and stops during them."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from animatic.machine.waiting import Stopped, StopSignal
from animatic.pace.limits import SHORTEST_PENALTY_S, Limits
from animatic.pace.throttle import Throttle

WIDE = Limits(1_000, 1_000)


@pytest.fixture
def throttle_of(account_of: Any) -> Callable[..., tuple[Throttle, StopSignal]]:
    """Makes the throttle of one more run on one ledger, and its stop switch."""

    def make(limits: Limits = WIDE, queued_ahead: int = 0) -> tuple[Throttle, StopSignal]:
        stop_signal = StopSignal()
        return Throttle(account_of(limits), stop_signal, lambda: queued_ahead), stop_signal

    return make


def now() -> float:
    """Return the loop's time, which is virtual: waiting takes no time, and takes exactly as long as it should."""
    return asyncio.get_running_loop().time()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("ahead", [0, 2])
async def test_in_flight_stays_within_the_account_and_the_queue(throttle_of: Any, ahead: int) -> None:
    throttle, _ = throttle_of(Limits(1_000, 3), queued_ahead=ahead)
    inside, most = 0, 0

    async def fly() -> None:
        nonlocal inside, most
        async with throttle.slot():
            inside += 1
            most = max(most, inside)
            await turns()
            inside -= 1

    await asyncio.gather(*(fly() for _ in range(30)))
    assert (most, inside) == (3 + ahead, 0)


async def test_a_slot_freed_early_is_filled_at_once(throttle_of: Any) -> None:
    throttle, _ = throttle_of(Limits(1_000, 1))
    entered, done = asyncio.Event(), asyncio.Event()

    async def linger() -> None:
        async with throttle.slot() as leave:
            leave()
            await done.wait()

    async def follow() -> None:
        async with throttle.slot():
            entered.set()

    first = asyncio.ensure_future(linger())
    await asyncio.sleep(0.01)
    await asyncio.gather(follow(), asyncio.wait_for(entered.wait(), 0.5))
    done.set()
    await first
    async with throttle.slot():  # one slot still: leaving twice did not make two of it
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(follow(), 0.05)


async def test_slots_are_given_in_the_order_of_asking(throttle_of: Any) -> None:
    throttle, _ = throttle_of(Limits(1_000, 1))
    order: list[int] = []

    async def fly(number: int) -> None:
        async with throttle.slot():
            order.append(number)
            await turns(2)

    await asyncio.gather(*(fly(number) for number in range(10)))
    assert order == list(range(10))


async def test_resumed_takes_wait_for_no_slot_but_take_one(throttle_of: Any) -> None:
    throttle, _ = throttle_of(Limits(1_000, 1))
    async with throttle.resumed():
        newcomer = asyncio.create_task(throttle.slot().__aenter__())
        await turns()
        assert not newcomer.done()
        async with asyncio.timeout(1), throttle.resumed():
            pass
        assert not newcomer.done()
    await newcomer


async def test_a_start_beyond_the_minute_waits(throttle_of: Any) -> None:
    throttle, stop_signal = throttle_of(Limits(2, 10))
    first, second = await throttle.start(), await throttle.start()
    await throttle.replied(first)
    third = asyncio.create_task(throttle.start())
    await asyncio.sleep(0.05)
    assert not third.done()
    throttle.unsent(second)
    stop_signal.stop_buying("enough")
    with pytest.raises(Stopped):
        await third


async def test_a_start_that_was_never_sent_is_free_at_once(throttle_of: Any) -> None:
    throttle, _ = throttle_of(Limits(1, 10))
    async with asyncio.timeout(2):
        for _ in range(20):
            throttle.unsent(await throttle.start())


async def test_a_429_pauses_all_runs_of_a_ledger(throttle_of: Any) -> None:
    (throttle, _), (other, _) = throttle_of(), throttle_of()
    await throttle.refused(await throttle.start(), 0.3)
    assert throttle.refusals == 1
    began = now()
    await asyncio.gather(*(each.start() for each in (throttle, other) for _ in range(5)))
    assert now() - began == pytest.approx(0.3)


async def test_refusals_are_counted_until_a_start_is_not_refused(throttle_of: Any) -> None:
    throttle, _ = throttle_of()
    for _ in range(3):
        await throttle.refused(await throttle.start(), 0.01)
    assert throttle.refusals == 3
    await throttle.replied(await throttle.start())
    assert throttle.refusals == 0


async def test_a_burst_of_429s_is_one_refusal_and_one_pause(throttle_of: Any) -> None:
    throttle, _ = throttle_of(Limits(1_000, 100))
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(throttle.slot())
        burst = await asyncio.gather(*(throttle.start() for _ in range(10)))
        for block in burst:
            await throttle.refused(block, None)
        assert throttle.refusals == len({id(block) for block in burst})
        began = now()
        await throttle.replied(await throttle.start())
        assert now() - began == pytest.approx(SHORTEST_PENALTY_S, abs=0.2)


async def test_a_run_whose_takes_have_all_ended_gives_its_slots_back(throttle_of: Any) -> None:
    (throttle, _), (other, _) = throttle_of(Limits(100, 4)), throttle_of(Limits(100, 4))
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(throttle.slot())
    began = now()
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(60):
        for _ in range(4):
            await stack.enter_async_context(other.slot())
    assert now() - began < 30


async def test_when_buying_stops_no_slot_and_no_start_is_given(throttle_of: Any) -> None:
    throttle, stop_signal = throttle_of(Limits(1_000, 1))
    holder = throttle.slot()
    await holder.__aenter__()
    waiting = asyncio.create_task(throttle.slot().__aenter__())
    await turns()
    stop_signal.stop_buying("the account refused")
    await holder.__aexit__(None, None, None)
    for attempt in (waiting, throttle.slot().__aenter__(), throttle.start()):
        with pytest.raises(Stopped):
            await attempt
    async with asyncio.timeout(1), throttle.resumed():  # what is bought is still watched
        await stop_signal.sleep(0.01)


async def test_a_slot_is_given_back_after_an_error(throttle_of: Any) -> None:
    throttle, _ = throttle_of(Limits(1_000, 1))
    for _ in range(3):
        with pytest.raises(ValueError, match="boom"):
            async with throttle.slot():
                raise ValueError("boom")
    async with asyncio.timeout(1), throttle.slot():
        pass


async def test_a_cancelled_wait_leaves_the_queue(throttle_of: Any) -> None:
    throttle, _ = throttle_of(Limits(1_000, 1))
    async with throttle.slot():
        impatient = asyncio.create_task(throttle.slot().__aenter__())
        await turns()
        impatient.cancel()
        await asyncio.wait([impatient])
    async with asyncio.timeout(1), throttle.slot():
        pass


async def test_runs_on_one_ledger_share_the_slots(throttle_of: Any) -> None:
    limits, inside, most = Limits(100_000, 6), [0, 0, 0], 0

    async def fly(number: int, throttle: Throttle) -> None:
        nonlocal most
        async with throttle.slot():
            inside[number] += 1
            most = max(most, sum(inside))
            await asyncio.sleep(0.05)
            inside[number] -= 1

    async def run(number: int, takes: int, delay_s: float) -> float:
        await asyncio.sleep(delay_s)
        throttle, _ = throttle_of(limits)
        began = now()
        await asyncio.gather(*(fly(number, throttle) for _ in range(takes)))
        await throttle.close()
        return now() - began

    *_, late_s = times = await asyncio.gather(run(0, 350, 0.0), run(1, 350, 0.0), run(2, 4, 0.4))
    assert most == 6
    assert late_s < 0.7 * min(times[:2]), "it was left to wait until the others were through"


async def test_the_slots_of_a_dead_run_are_free(account_of: Any) -> None:
    limits = Limits(1_000, 5)
    dead, live = account_of(limits, is_alive=False), account_of(limits)
    assert await dead.acquire_slots(0, 5) == 5
    assert await live.acquire_slots(0, 5) == 5


async def test_takes_in_flight_keep_their_slots(account_of: Any) -> None:
    limits = Limits(1_000, 10)
    first, second = account_of(limits), account_of(limits)
    assert await first.acquire_slots(10, 20) == 10
    assert await second.acquire_slots(0, 10) == 0
    assert await first.acquire_slots(7, 20) == 5, "an even share, though more are in use"
    assert await second.acquire_slots(0, 10) == 3
    assert await first.acquire_slots(0, 0) == 0
    assert await second.acquire_slots(3, 10) == 10


async def _fly(throttle: Throttle, left: asyncio.Event, *, is_resumed: bool = False) -> None:
    async with throttle.resumed() if is_resumed else throttle.slot():
        await left.wait()


async def _gets_a_slot(throttle: Throttle, within_s: float) -> bool:
    async def enter() -> None:
        async with throttle.slot():
            pass

    try:
        await asyncio.wait_for(enter(), within_s)
    except TimeoutError:
        return False
    return True


async def test_slots_of_ended_takes_go_to_another_run_before_the_rest_ends(throttle_of: Any) -> None:
    limits = Limits(1_000, 4)
    (first, _), (second, _) = throttle_of(limits), throttle_of(limits)
    ends = [asyncio.Event() for _ in range(4)]
    async with asyncio.TaskGroup() as flying:
        for end in ends:
            flying.create_task(_fly(first, end))
        await asyncio.sleep(1)
        assert not await _gets_a_slot(second, 30)
        for end in ends[:3]:
            end.set()
        assert await _gets_a_slot(second, 10), "the first run waits for its last take, and needs one slot only"
        ends[3].set()
    await first.close()


@pytest.mark.parametrize("is_resumed", [False, True])
async def test_takes_in_flight_count_however_long_and_however_they_came(throttle_of: Any, is_resumed: bool) -> None:
    limits = Limits(1_000, 1)
    (first, _), (second, _) = throttle_of(limits), throttle_of(limits)
    end = asyncio.Event()
    async with asyncio.TaskGroup() as flying:
        flying.create_task(_fly(first, end, is_resumed=is_resumed))
        await asyncio.sleep(400)
        assert not await _gets_a_slot(second, 3)
        end.set()
    await first.close()
    assert await _gets_a_slot(second, 10)
