"""Wait for an event, until a time, unless the run stops, or for a slot; and ticks for timers. Asyncio only."""

import asyncio
import heapq
import itertools
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from animatic.errors import AccountRefusedError, AnimaticError

Event = asyncio.Future[bool]
"""Something that one coroutine waits for."""


class Stopped(Exception):  # noqa: N818 - a signal between our own coroutines, not an error
    """The run is stopping; leave what you do in order."""


class StopSignal:
    """The stop switch of a run: first no more buying, then no more polling either."""

    def __init__(self) -> None:
        self.is_buying = True
        self.is_watching = True
        self.reason: str | None = None
        self.is_account_refused = False
        self.spent: str | None = None
        self._buyers: set[Event] = set()
        self._watchers: set[Event] = set()

    def stop_buying(self, reason: str) -> None:
        """Submit nothing more; takes in flight are still polled. The first reason is the one that is shown."""
        self.reason = self.reason or reason
        self.is_buying = False
        _end(self._buyers)

    def stop_spending(self, reason: str, limit: str) -> None:
        """Submit nothing more, since a limit is reached: `limit` is the option or variable that sets it."""
        self.spent = self.spent or limit
        self.stop_buying(reason)

    def stop_all(self, reason: str) -> None:
        """Submit nothing more and stop polling."""
        self.is_watching = False
        self.stop_buying(reason)
        _end(self._watchers)

    def stop_buying_for(self, error: AnimaticError) -> None:
        """Submit nothing more because of an error, which may be that WaveSpeed refuses the key or the account."""
        if isinstance(error, AccountRefusedError):
            self.refuse_account(str(error), polls=True)
        else:
            self.stop_buying(str(error))

    def refuse_account(self, reason: str, *, polls: bool) -> None:
        """Stop because WaveSpeed refuses the key or the account; `polls` lets polling go on."""
        self.is_account_refused = True
        (self.stop_buying if polls else self.stop_all)(reason)

    def check(self, *, to_buy: bool = False) -> None:
        """Raise `Stopped` if the run stopped (with `to_buy`: stopped buying)."""
        if not (self.is_buying if to_buy else self.is_watching):
            raise Stopped

    async def wait(self, event: Event, until: float | None = None, *, to_buy: bool = False) -> bool:
        """Wait for an event; False if it had not come at `until`, by the loop's clock.

        Raises:
            Stopped: the run stopped first (with `to_buy`: stopped buying).
        """
        self.check(to_buy=to_buy)
        waiting = self._buyers if to_buy else self._watchers
        timer = None if until is None else asyncio.get_running_loop().call_at(until, _set, event, False)
        waiting.add(event)
        try:
            has_come = await event
        finally:
            waiting.discard(event)
            if timer is not None:
                timer.cancel()
        if not has_come:
            self.check(to_buy=to_buy)
        return has_come

    async def sleep(self, seconds: float, *, to_buy: bool = False) -> None:
        """Let time pass. Raises as `wait` does."""
        await self.wait(new_event(), asyncio.get_running_loop().time() + seconds, to_buy=to_buy)


class Together:
    """Does one thing for all who ask for it within a while.

    Args:
        action: what is done; all of it after the last of them asked.
        within_s: how long the first waits for company.
    """

    def __init__(self, action: Callable[[], Awaitable[None]], within_s: float) -> None:
        self._action, self._within_s = action, within_s
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Wait until it is done. Raises what the action raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._do())
        await asyncio.shield(self._next)

    async def _do(self) -> None:
        await asyncio.sleep(self._within_s)
        self._next = None  # a request from now on needs another
        await self._action()


class PrioritySemaphore:
    """A number of slots, which go to the waiter of the lowest rank, and of those to the one who came first."""

    def __init__(self, slots: int) -> None:
        self._free, self._numbers = slots, itertools.count()
        self._waiting: list[tuple[int, int, Event]] = []

    @asynccontextmanager
    async def slot(self, rank: int) -> AsyncGenerator[None]:
        """Wait for a slot, and have it for the length of the block."""
        event = new_event()
        heapq.heappush(self._waiting, (rank, next(self._numbers), event))
        self._wake_next()
        try:
            await event
            yield
        finally:
            if event.done() and not event.cancelled():
                self._free += 1
            self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting and (self._free or self._waiting[0][-1].cancelled()):
            _, _, event = heapq.heappop(self._waiting)
            if not event.done():
                self._free -= 1
                wake(event)


def new_event() -> Event:
    """Return an event that has not come yet."""
    return asyncio.get_running_loop().create_future()


def wake(event: Event) -> None:
    """Let an event come; its coroutine goes on, unless it waits no more."""
    _set(event, True)


def _end(events: Iterable[Event]) -> None:
    for event in events:
        _set(event, False)


def _set(event: Event, has_come: bool) -> None:
    if not event.done():
        event.set_result(has_come)


def next_tick(moment: float, tick_s: float) -> float:
    """Return the next multiple of the tick from a moment on; the moment itself where there is no tick."""
    return math.ceil(moment / tick_s) * tick_s if tick_s else moment
