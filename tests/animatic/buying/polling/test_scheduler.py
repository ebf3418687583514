"""Polls are released each at its time, the longest overdue first, at most so many a second, none after the stop."""

import asyncio

import pytest

from animatic.buying.polling.scheduler import PollScheduler
from animatic.machine.waiting import Stopped, StopSignal


async def test_a_turn_comes_when_it_is_due_and_not_before() -> None:
    loop = asyncio.get_running_loop()
    scheduler, began = PollScheduler(1_000.0, StopSignal()), loop.time()
    await scheduler.at(began - 5.0)
    assert loop.time() == began
    await scheduler.at(began + 0.1)
    assert loop.time() - began == pytest.approx(0.1)


async def test_an_earlier_turn_that_is_asked_for_later_comes_first() -> None:
    loop = asyncio.get_running_loop()
    scheduler, order = PollScheduler(1_000.0, StopSignal()), list[str]()

    async def take(name: str, due: float) -> None:
        await scheduler.at(loop.time() + due)
        order.append(name)

    await asyncio.gather(take("late", 0.15), take("soon", 0.05), take("middle", 0.1))
    assert order == ["soon", "middle", "late"]


async def test_thousands_due_at_once_are_released_longest_overdue_first() -> None:
    loop = asyncio.get_running_loop()
    scheduler, began, order = PollScheduler(1_000.0, StopSignal()), loop.time(), list[int]()

    async def take(number: int) -> None:
        await scheduler.at(began - number)
        order.append(number)

    await asyncio.gather(*(take(number) for number in range(500)))
    assert order == sorted(order, reverse=True)
    assert loop.time() - began == pytest.approx(0.4, abs=0.002), "at 1,000 a second, the first 100 at once"


async def test_a_cancelled_wait_holds_up_no_other() -> None:
    loop = asyncio.get_running_loop()
    scheduler = PollScheduler(10.0, StopSignal())
    waiting = [asyncio.create_task(scheduler.at(loop.time() + 0.05)) for _ in range(50)]
    await asyncio.sleep(0)
    for each in waiting[:-1]:
        each.cancel()
    await asyncio.wait_for(waiting[-1], 1)


async def test_the_stop_ends_all_waiting_at_once_and_none_begins_after_it() -> None:
    stop_signal = StopSignal()
    scheduler = PollScheduler(10.0, stop_signal)
    waiting = [asyncio.create_task(scheduler.at(asyncio.get_running_loop().time() + 60.0)) for _ in range(100)]
    await asyncio.sleep(0.01)
    stop_signal.stop_buying("no money")
    await asyncio.sleep(0.01)
    stop_signal.stop_all("interrupted")
    ended = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
    assert all(isinstance(each, Stopped) for each in ended)
    with pytest.raises(Stopped):
        await scheduler.at(0.0)


async def test_polls_are_released_at_ticks_at_most_one_late() -> None:
    loop, moments = asyncio.get_running_loop(), list[tuple[float, float]]()
    scheduler, began = PollScheduler(1_000.0, StopSignal(), tick_s=0.1), loop.time()

    async def take(due: float) -> None:
        await scheduler.at(due)
        moments.append((due, loop.time()))

    await asyncio.gather(*(take(began + number / 100) for number in range(30)))
    assert all(due <= moment < due + 0.1 + 0.001 for due, moment in moments)
    assert len({round(moment, 1) for _, moment in moments}) <= 5
