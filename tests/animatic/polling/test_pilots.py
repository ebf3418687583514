"""While nothing is known a few poll; the others hear of it, take over, or run out of patience."""

import asyncio
from typing import Any

import pytest

from animatic.polling.pilots import PilotPolls
from animatic.polling.schedule import SCOUTS, SCOUTS_DONE, Experience
from animatic.waiting import Stopped, StopSignal

KIND = ("model", "5s")


class Company:
    """Takes that join one after the other; who has gone on to poll, in order."""

    def __init__(self, count: int, seconds: float = 30.0) -> None:
        self.experience, self.stop_signal, self.polling = Experience(5.0), StopSignal(), list[int]()
        self.scouts = PilotPolls(self.experience, self.stop_signal)
        until = asyncio.get_running_loop().time() + seconds
        self.tasks = [asyncio.ensure_future(self._join(number, until)) for number in range(count)]

    async def _join(self, number: int, until: float) -> None:
        await self.scouts.join(KIND, until)
        self.polling.append(number)

    async def end(self, count: int, *, latency_s: float | None = 60.0) -> None:
        """So many takes end, and tell how long they took, or nothing."""
        for _ in range(count):
            if latency_s is not None:
                self.experience.learn(KIND, [latency_s])
            self.scouts.pass_on(KIND)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_few_are_all_scouts() -> None:
    company = Company(SCOUTS)
    await asyncio.gather(*company.tasks)
    assert company.polling == list(range(SCOUTS))


async def test_the_others_wait_and_each_pilot_that_ends_is_replaced() -> None:
    company = Company(SCOUTS + 20)
    await asyncio.sleep(0)
    assert len(company.polling) == SCOUTS
    await company.end(SCOUTS_DONE - 1)
    assert len(company.polling) == SCOUTS + SCOUTS_DONE - 1
    await company.end(1)
    assert company.polling == list(range(SCOUTS + 20))
    await company.end(3)  # nobody waits any more


async def test_where_no_scout_has_anything_to_tell_others_take_their_places() -> None:
    company = Company(SCOUTS + 3)
    await asyncio.sleep(0)
    await company.end(2, latency_s=None)
    assert company.polling == list(range(SCOUTS + 2))
    await company.end(2, latency_s=None)
    assert len(company.polling) == SCOUTS + 3


async def test_who_hears_nothing_polls_when_its_time_is_up() -> None:
    company = Company(SCOUTS + 5, seconds=0.05)
    await asyncio.wait_for(asyncio.gather(*company.tasks), 5)
    assert len(company.polling) == SCOUTS + 5


async def test_what_is_known_needs_no_scouts() -> None:
    experience = Experience(5.0)
    experience.learn(KIND, [60.0] * SCOUTS_DONE)
    scouts = PilotPolls(experience, StopSignal())
    for _ in range(100):
        await asyncio.wait_for(scouts.join(KIND, 0.0), 1)
    assert not scouts._out


async def test_kinds_have_scouts_of_their_own() -> None:
    company = Company(SCOUTS)
    await asyncio.wait_for(company.scouts.join(("another model", "8s"), 0.0), 1)
    await asyncio.sleep(0)
    assert company.polling == list(range(SCOUTS))


async def test_stopping_to_watch_wakes_all_and_stopping_to_buy_nobody() -> None:
    company = Company(SCOUTS + 4)
    await asyncio.sleep(0)
    company.stop_signal.stop_buying("the budget")
    await asyncio.sleep(0.01)
    assert len(company.polling) == SCOUTS
    company.stop_signal.stop_all("interrupted")
    ends: list[Any] = await asyncio.gather(*company.tasks, return_exceptions=True)
    assert [type(end) for end in ends[SCOUTS:]] == [Stopped] * 4
    with pytest.raises(Stopped):
        await company.scouts.join(KIND, asyncio.get_running_loop().time() + 9)
