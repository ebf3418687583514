"""Where takes wait: for a place in flight, for a start, for time to pass, unless the run stops. Asyncio only."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from animatic.pacing import Limits, StartPace


class Halted(Exception):  # noqa: N818 - a signal between our own coroutines, not an error
    """The run is stopping; leave what you do in order."""


class Halt:
    """The stop switch of a run: first no more buying, then no more looking either."""

    def __init__(self) -> None:
        self.is_buying = True
        self.is_watching = True
        self.reason: str | None = None
        self._sleeping: set[asyncio.Future[None]] = set()

    def stop_buying(self, reason: str) -> None:
        """Submit nothing more; what is in flight is still watched. The first reason is the one that is told."""
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
            Halted: the run stopped (with `to_buy`: stopped buying), before or meanwhile.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.is_buying if to_buy else self.is_watching:
            remaining_s = until - loop.time()
            if remaining_s <= 0:
                return
            waking: asyncio.Future[None] = loop.create_future()
            timer = loop.call_later(remaining_s, _wake, waking)
            try:
                with self.waking(waking):
                    await waking
            finally:
                timer.cancel()
        raise Halted

    @contextmanager
    def waking(self, sleeper: asyncio.Future[None]) -> Generator[None]:
        """Set the result of a future should the run stop within the block."""
        self._sleeping.add(sleeper)
        try:
            yield
        finally:
            self._sleeping.discard(sleeper)

    def _wake_all(self) -> None:
        for waking in self._sleeping:
            _wake(waking)


class Gate:
    """Lets takes start as the account allows: `place()` for the time in flight, `start()` before each submission."""

    def __init__(self, limits: Limits, halt: Halt) -> None:
        self._pace = StartPace(limits.starts_per_minute)
        self._places = asyncio.Semaphore(limits.max_in_flight)
        self._turn = asyncio.Lock()
        self._halt = halt

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Hold a place in flight, in the order of asking.

        Raises:
            Halted: the run stopped buying.
        """
        async with self._places:
            if not self._halt.is_buying:
                raise Halted
            yield

    @asynccontextmanager
    async def resumed(self) -> AsyncGenerator[None]:
        """Count what an earlier run submitted. It is in flight already, so it waits for nothing."""
        holds = not self._places.locked()
        if holds:
            await self._places.acquire()
        try:
            yield
        finally:
            if holds:
                self._places.release()

    async def start(self) -> None:
        """Wait for a start and take it; then call exactly one of `replied`, `unsent`, `refused`.

        Raises:
            Halted: the run stopped buying.
        """
        async with self._turn:
            while (wait_s := self._pace.wait_s(asyncio.get_running_loop().time())) > 0:
                await self._halt.sleep(min(wait_s, 60.0), to_buy=True)
            if not self._halt.is_buying:
                raise Halted
            self._pace.started()

    def replied(self) -> None:
        """The server answered, or may have counted the start."""
        self._pace.replied(asyncio.get_running_loop().time())

    def unsent(self) -> None:
        """The start was never sent."""
        self._pace.unsent()

    def refused(self, retry_after_s: float | None) -> None:
        """429: everyone waits."""
        self._pace.refused(asyncio.get_running_loop().time(), retry_after_s)

    @property
    def refusals(self) -> int:
        """429s since the last accepted start."""
        return self._pace.refusals


def _wake(waking: asyncio.Future[None]) -> None:
    if not waking.done():
        waking.set_result(None)
