"""Waiting, unless the run stops: its stop switch, and the ticks at which timers fire together. Asyncio only."""

import asyncio
import math


class Stopped(Exception):  # noqa: N818 - a signal between our own coroutines, not an error
    """The run is stopping; leave what you do in order."""


class StopSignal:
    """The stop switch of a run: first no more buying, then no more looking either."""

    def __init__(self) -> None:
        self.is_buying = True
        self.is_watching = True
        self.reason: str | None = None
        self._sleeping: set[asyncio.Future[None]] = set()

    def stop_buying(self, reason: str) -> None:
        """Submit nothing more; takes in flight are still polled. The first reason is the one that is shown."""
        self.reason = self.reason or reason
        self.is_buying = False
        self._wake_all()

    def stop_all(self, reason: str) -> None:
        """Submit nothing more and stop watching."""
        self.is_watching = False
        self.stop_buying(reason)

    async def sleep(self, seconds: float, *, to_buy: bool = False) -> None:
        """Let time pass.

        Raises:
            Stopped: the run stopped (with `to_buy`: stopped buying).
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.is_buying if to_buy else self.is_watching:
            if loop.time() >= until:
                return
            await self.wait(loop.create_future(), until)
        raise Stopped

    async def wait(self, sleeper: asyncio.Future[None], until: float | None = None) -> None:
        """Wait for a future. Its result is also set if the run stops, and at `until` by the loop's clock."""
        timer = None if until is None else asyncio.get_running_loop().call_at(until, wake, sleeper)
        self._sleeping.add(sleeper)
        try:
            await sleeper
        finally:
            self._sleeping.discard(sleeper)
            if timer is not None:
                timer.cancel()

    def _wake_all(self) -> None:
        for sleeper in self._sleeping:
            wake(sleeper)


def wake(sleeper: asyncio.Future[None]) -> None:
    """Set the result of a future, unless it has one."""
    if not sleeper.done():
        sleeper.set_result(None)


def next_tick(moment: float, tick_s: float) -> float:
    """Return the next multiple of the tick from a moment on; the moment itself where there is no tick."""
    return math.ceil(moment / tick_s) * tick_s if tick_s else moment
