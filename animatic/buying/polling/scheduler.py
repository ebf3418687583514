"""Release of polls: each at its time, at most so many a second, the longest overdue first. Asyncio only."""

import asyncio
import heapq
import math
from itertools import count

from animatic.machine.waiting import Event, StopSignal, new_event, next_tick, wake
from animatic.pace.meters import Meters


class PollScheduler:
    """Releases the polls of all takes of a process, spaced out. Make it inside the event loop.

    Args:
        per_second: polls, on average; a tenth of a second's may come at once.
        stop_signal: ends all waiting.
        tick_s: polls are released at multiples of this, so that many share one wake-up; a poll may be this late.
        meters: count how much later than due polls are released.
    """

    def __init__(
        self, per_second: float, stop_signal: StopSignal, tick_s: float = 0.0, meters: Meters | None = None
    ) -> None:
        self._spacing_s = 1.0 / per_second
        self._slack_s = 0.1
        self._tick_s = tick_s
        self._stop_signal, self._meters = stop_signal, meters or Meters()
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[float, int, Event]] = []
        self._numbers = count()
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def at(self, due: float) -> None:
        """Wait until `due`, by the loop's clock, and then until the poll may be sent.

        Raises:
            Stopped: the run stopped polling.
        """
        due = next_tick(due, self._tick_s)
        event = new_event()
        heapq.heappush(self._waiting, (due, next(self._numbers), event))
        if self._waiting[0][2] is event:
            self._wake_at(due)
        await self._stop_signal.wait(event)

    def _give_out(self) -> None:
        """Release the polls that are due, as fast as they may follow each other."""
        self._timer, self._meters.next_poll_at = None, math.inf
        now = self._loop.time()
        while self._waiting:
            due, _, event = self._waiting[0]
            if event.done():  # cancelled
                heapq.heappop(self._waiting)
                continue
            soonest = max(due, self._free_at - self._slack_s)
            if soonest > now:
                self._wake_at(next_tick(soonest, self._tick_s))
                self._meters.next_poll_at = due  # by that moment it was promised, however fast polls may follow
                return
            heapq.heappop(self._waiting)
            self._free_at = max(self._free_at, now) + self._spacing_s
            self._meters.poll_released(due, now)
            wake(event)

    def _wake_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(moment, self._give_out)
        self._meters.next_poll_at = moment
