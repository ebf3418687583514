"""While no latency is known a few takes poll; the others learn from them, replace them, or reach their deadline."""

import asyncio
from typing import Any

import pytest

from animatic.buying.polling.pilots import PilotPolls
from animatic.buying.polling.schedule import PILOTS, PILOTS_DONE, Experience
from animatic.machine.waiting import Stopped, StopSignal

KIND = ("model", "5s")


class Company:
    """Takes that join one after the other; `polling` holds those that have gone on to poll, in order."""

    def __init__(self, count: int, seconds: float = 30.0) -> None:
        self.experience, self.stop_signal, self.polling = Experience(5.0), StopSignal(), list[int]()
        self.pilots = PilotPolls(self.experience, self.stop_signal)
        until = asyncio.get_running_loop().time() + seconds
        self.tasks = [asyncio.ensure_future(self._join(number, until)) for number in range(count)]

    async def _join(self, number: int, until: float) -> None:
        await self.pilots.join(KIND, until)
        self.polling.append(number)

    async def end(self, count: int, *, latency_s: float | None = 60.0) -> None:
        """End this many takes, each with this latency, or with none."""
        for _ in range(count):
            if latency_s is not None:
                self.experience.learn(KIND, [latency_s])
            self.pilots.wake_next(KIND)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_few_takes_are_all_pilots() -> None:
    company = Company(PILOTS)
    await asyncio.gather(*company.tasks)
    assert company.polling == list(range(PILOTS))


async def test_the_others_wait_and_each_pilot_that_ends_is_replaced() -> None:
    company = Company(PILOTS + 20)
    await asyncio.sleep(0)
    assert len(company.polling) == PILOTS
    await company.end(PILOTS_DONE - 1)
    assert len(company.polling) == PILOTS + PILOTS_DONE - 1
    await company.end(1)
    assert company.polling == list(range(PILOTS + 20))
    await company.end(3)  # none waits any more


async def test_pilots_that_end_without_a_latency_are_replaced() -> None:
    company = Company(PILOTS + 3)
    await asyncio.sleep(0)
    await company.end(2, latency_s=None)
    assert company.polling == list(range(PILOTS + 2))
    await company.end(2, latency_s=None)
    assert len(company.polling) == PILOTS + 3


async def test_a_take_without_news_polls_when_its_time_is_up() -> None:
    company = Company(PILOTS + 5, seconds=0.05)
    await asyncio.wait_for(asyncio.gather(*company.tasks), 5)
    assert len(company.polling) == PILOTS + 5


async def test_known_latencies_need_no_pilots() -> None:
    experience = Experience(5.0)
    experience.learn(KIND, [60.0] * PILOTS_DONE)
    pilots = PilotPolls(experience, StopSignal())
    for _ in range(100):
        await asyncio.wait_for(pilots.join(KIND, 0.0), 1)
    assert not pilots._out


async def test_each_latency_class_has_its_own_pilots() -> None:
    company = Company(PILOTS)
    await asyncio.wait_for(company.pilots.join(("another model", "8s"), 0.0), 1)
    await asyncio.sleep(0)
    assert company.polling == list(range(PILOTS))


async def test_stopping_to_poll_wakes_all_and_stopping_to_buy_wakes_none() -> None:
    company = Company(PILOTS + 4)
    await asyncio.sleep(0)
    company.stop_signal.stop_buying("the budget")
    await asyncio.sleep(0.01)
    assert len(company.polling) == PILOTS
    company.stop_signal.stop_all("interrupted")
    ends: list[Any] = await asyncio.gather(*company.tasks, return_exceptions=True)
    assert [type(end) for end in ends[PILOTS:]] == [Stopped] * 4
    with pytest.raises(Stopped):
        await company.pilots.join(KIND, asyncio.get_running_loop().time() + 9)
