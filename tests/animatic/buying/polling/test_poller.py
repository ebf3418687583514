"""The first poll of a take moves as other takes end."""

import asyncio
from typing import Any, cast

import pytest

from animatic.buying.polling.in_flight import ActiveTake
from animatic.buying.polling.poll_history import PollHistory
from animatic.buying.polling.poller import JITTER_FLOORS, LONGEST_TICK_S, Poller
from animatic.buying.polling.schedule import REMEMBERED
from animatic.machine.waiting import StopSignal
from animatic.pace.limits import Limits
from animatic.planning.config import RunConfig
from animatic.progress import Progress

KIND = ("model", "5s")
FLOOR_S, DEADLINE_S = 5.0, 600.0
SLACK_S = JITTER_FLOORS * FLOOR_S + LONGEST_TICK_S + 0.001


class Lookout:
    """A poller that knows takes of 30 s; it needs no API before the first poll."""

    def __init__(self) -> None:
        nobody = cast("Any", None)
        config = RunConfig("run", "sandbox", Limits(600, 100), FLOOR_S, DEADLINE_S)
        self.watch = Poller(config, nobody, nobody, StopSignal(), Progress(total=1_000), print)
        self.learn(30.0)

    def learn(self, median_s: float) -> None:
        self.watch._experience.learn(KIND, [median_s * (0.9 + 0.2 * n / REMEMBERED) for n in range(REMEMBERED)])

    def likely_s(self) -> float:
        """The age at which a take should be polled first, after all that is known."""
        return self.watch._experience.schedule(KIND).next_age_s(0.0)

    async def first_poll_s(self) -> float:
        """The age at which a take that is submitted now is polled first."""
        now = asyncio.get_running_loop().time
        active, began = ActiveTake(KIND, now(), PollHistory()), now()
        await self.watch._await_first_poll(active, began + DEADLINE_S)
        return now() - began


async def test_the_first_poll_comes_when_takes_of_its_kind_are_likely_done() -> None:
    lookout = Lookout()
    assert await lookout.first_poll_s() == pytest.approx(lookout.likely_s(), abs=SLACK_S)
    assert 27.0 < lookout.likely_s() < 33.0


async def test_it_is_put_off_where_takes_turn_out_to_last_longer() -> None:
    lookout = Lookout()
    asyncio.get_running_loop().call_later(20.0, lookout.learn, 60.0)
    assert await lookout.first_poll_s() == pytest.approx(lookout.likely_s(), abs=SLACK_S)
    assert 54.0 < lookout.likely_s() < 66.0


async def test_it_comes_at_the_deadline_however_long_takes_last() -> None:
    lookout = Lookout()
    asyncio.get_running_loop().call_later(20.0, lookout.learn, 10 * DEADLINE_S)
    assert DEADLINE_S <= await lookout.first_poll_s() < DEADLINE_S + LONGEST_TICK_S
