"""Waiting for an event, until a time, unless the run stops; in virtual time."""

import asyncio
from collections.abc import Callable

import pytest
from torture.virtual import played

from animatic.machine.waiting import Event, PrioritySemaphore, Stopped, StopSignal, Together, new_event, next_tick, wake


def now() -> float:
    return asyncio.get_running_loop().time()


def test_an_event_that_comes_ends_the_wait_at_once() -> None:
    async def scene() -> tuple[bool, float]:
        event, began = new_event(), now()
        asyncio.get_running_loop().call_later(2.0, wake, event)
        return await StopSignal().wait(event, began + 60.0), now() - began

    has_come, waited_s = played(scene())
    assert (has_come, waited_s) == (True, pytest.approx(2.0, abs=0.01))


def test_an_event_that_does_not_come_is_waited_for_until_then() -> None:
    async def scene() -> tuple[bool, float]:
        event, began = new_event(), now()
        has_come = await StopSignal().wait(event, began + 60.0)
        wake(event)
        return has_come, now() - began

    has_come, waited_s = played(scene())
    assert (has_come, waited_s) == (False, pytest.approx(60.0, abs=0.01))


@pytest.mark.parametrize("to_buy", [False, True])
def test_the_stop_ends_the_wait_and_none_begins_after_it(*, to_buy: bool) -> None:
    async def scene() -> None:
        stop_signal, events = StopSignal(), [new_event() for _ in range(50)]
        waiting = [asyncio.create_task(stop_signal.wait(each, to_buy=to_buy)) for each in events]
        await asyncio.sleep(0)
        stop_signal.stop_all("interrupted")
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(each) for each in ends} == {Stopped}
        for forbidden in (stop_signal.wait(new_event(), to_buy=to_buy), stop_signal.sleep(0, to_buy=to_buy)):
            with pytest.raises(Stopped):
                await forbidden

    played(scene())


@pytest.mark.parametrize("before", [wake, Event.cancel])
def test_what_came_before_the_stop_counts(before: Callable[[Event], object]) -> None:
    async def scene() -> None:
        stop_signal, event = StopSignal(), new_event()
        waiting = asyncio.create_task(stop_signal.wait(event))
        await asyncio.sleep(0)
        before(event)
        stop_signal.stop_all("interrupted")
        if before is wake:
            assert await waiting
        else:
            with pytest.raises(asyncio.CancelledError):
                await waiting

    played(scene())


def test_stopping_to_buy_wakes_buyers_and_lets_watchers_wait_on() -> None:
    async def scene() -> None:
        stop_signal, began = StopSignal(), now()
        watcher = asyncio.create_task(stop_signal.sleep(30.0))
        buyer = asyncio.create_task(stop_signal.sleep(3_600.0, to_buy=True))
        await asyncio.sleep(1.0)
        stop_signal.stop_buying("the budget")
        with pytest.raises(Stopped):
            await buyer
        assert now() - began < 2.0
        await watcher
        assert now() - began == pytest.approx(30.0, abs=0.01)
        assert (stop_signal.is_buying, stop_signal.is_watching) == (False, True)

    played(scene())


def test_the_first_reason_is_the_one_that_is_told() -> None:
    stop_signal = StopSignal()
    stop_signal.stop_buying("the budget is used up")
    stop_signal.stop_all("interrupted")
    assert stop_signal.reason == "the budget is used up"


def test_a_tick_is_the_next_multiple_or_the_moment_itself() -> None:
    assert next_tick(10.01, 0.25) == 10.25
    assert next_tick(10.25, 0.25) == 10.25
    assert next_tick(10.01, 0.0) == 10.01


async def test_what_is_asked_for_together_is_done_once() -> None:
    done: list[str] = []

    async def do() -> None:
        done.append("once")

    together = Together(do, 0.0)
    first = asyncio.gather(together(), together())
    await first
    assert done == ["once"]
    await together()
    assert done == ["once", "once"]


async def test_an_error_reaches_all_who_asked_and_no_one_later() -> None:
    problems = [OSError(28, "full")]

    async def do() -> None:
        if problems:
            raise problems.pop()

    together = Together(do, 0.0)
    found = await asyncio.gather(together(), together(), return_exceptions=True)
    assert [type(each) for each in found] == [OSError, OSError]
    await together()


def test_a_slot_goes_to_the_lowest_rank_and_then_to_the_first() -> None:
    async def scene() -> list[str]:
        semaphore, had = PrioritySemaphore(2), list[str]()

        async def work(name: str, rank: int) -> None:
            async with semaphore.slot(rank):
                had.append(name)
                await asyncio.sleep(1.0)

        names = [("a", 1), ("b", 1), ("c", 2), ("d", 1), ("e", 0), ("f", 1)]
        await asyncio.gather(*(work(*each) for each in names))
        return had

    assert played(scene()) == ["a", "b", "e", "d", "f", "c"]


def test_a_slot_that_is_given_up_is_anothers() -> None:
    async def scene() -> tuple[list[str], float]:
        semaphore, had, began = PrioritySemaphore(1), list[str](), now()

        async def work(name: str) -> None:
            async with semaphore.slot(0):
                had.append(name)
                await asyncio.sleep(10.0)

        tasks = [asyncio.create_task(work(name)) for name in "abcd"]
        await asyncio.sleep(1.0)
        tasks[1].cancel()
        await asyncio.sleep(0.0)
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return had, now() - began

    had, waited_s = played(scene())
    assert (had, waited_s) == (["a", "d"], pytest.approx(11.0, abs=0.1))
