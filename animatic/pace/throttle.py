"""Throttle of a run: takes wait for a slot in flight and for a start, unless the run stops. Asyncio only."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from animatic.machine.waiting import Event, StopSignal, new_event, wake
from animatic.pace.limits import MINUTE_S, Granted, Limits, SpentBlock, block_of
from animatic.pace.meters import Meters

ASK_AGAIN_S = 5.0
ASK_SLOTS_S = 1.0
"""Interval at which the ledger is asked for slots, and the wait before asking again where it gave none."""
TELL_SLOTS_S = 5.0
KNOWN_FOR_S = 60.0
"""While no take waits for a slot, the ledger is told so often of slots that came free, and so often of those in use."""


class Account(Protocol):
    """The account's limits, as one run is granted them."""

    limits: Limits

    async def acquire_starts(self, wanted: int, settled: Sequence[SpentBlock]) -> tuple[int, Granted]:
        """Ask for at most `wanted` starts and settle earlier blocks; return the block's id and its starts."""
        ...

    async def settle_starts(self, settled: Sequence[SpentBlock]) -> None:
        """Settle blocks that are used up."""
        ...

    async def pause(self, retry_after_s: float | None) -> int:
        """Make every run wait after a 429; return how many there were in a row."""
        ...

    async def go_on(self) -> None:
        """Record a start that was not refused."""
        ...

    async def acquire_slots(self, in_use: int, wanted: int, queued_ahead: int = 0) -> int:
        """Return how many takes this run may have in flight, the current ones included; `wanted` 0 gives all back."""
        ...

    async def tell_slots(self, in_use: int, queued_ahead: int = 0) -> int | None:
        """Tell how many are in use while none is wanted; return how many it may have, None where that is not known."""
        ...


@dataclass(slots=True)
class Block:
    """Starts that were granted together.

    Attributes:
        left: not made yet.
        on_their_way: made, without a reply so far.
        sent: those that the server has counted, or may have.
        replied_at: when the last of their replies came, by the loop's clock.
        is_refused: WaveSpeed refused one of them for the account's limits.
    """

    block_id: int
    left: int
    on_their_way: int = 0
    sent: int = 0
    replied_at: float = 0.0
    is_refused: bool = False


class Throttle:
    """Lets takes start as the account allows: `slot()` for the time in flight, `start()` before each submission.

    What there is for all runs together is in the ledger; from there it comes in blocks. `queued_ahead` says how many
    more than the account works on at once may be there; `meters` count the starts. Make it inside the event loop.
    """

    def __init__(
        self,
        account: Account,
        stop_signal: StopSignal,
        queued_ahead: Callable[[], int] = lambda: 0,
        meters: Meters | None = None,
    ) -> None:
        self.refusals = 0
        """Bursts of 429s since the last start that was not refused."""

        self._account, self._stop_signal, self._queued_ahead = account, stop_signal, queued_ahead
        self._meters = meters or Meters()
        self._now = asyncio.get_running_loop().time
        self._turn, self._queue = asyncio.Lock(), asyncio.Lock()
        self._block = Block(0, 0)
        self._settled: list[SpentBlock] = []
        self._starting = self._waiting = self._in_use = self._held = 0
        self._asked_at = -math.inf
        self._left: Event | None = None
        self._telling: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[Callable[[], None]]:
        """Hold a slot in flight, in the order of asking; yield a function that frees it before the end of the block.

        Raises:
            Stopped: the run stopped buying.
        """
        self._waiting += 1
        try:
            async with self._queue:
                await self._find_slot()
                self._enter()
        finally:
            self._waiting -= 1
        with self._place_left_once() as leave:
            yield leave

    @asynccontextmanager
    async def resumed(self) -> AsyncGenerator[Callable[[], None]]:
        """Count what an earlier run submitted. It is in flight already, so it waits for nothing."""
        self._enter()
        with self._place_left_once() as leave:
            yield leave

    @contextmanager
    def _place_left_once(self) -> Generator[Callable[[], None]]:
        """Yield a slot that is freed on request, and at the latest at the end of the block."""
        is_left = False

        def leave() -> None:
            nonlocal is_left
            if not is_left:
                is_left = True
                self._leave()

        try:
            yield leave
        finally:
            leave()

    async def start(self) -> Block:
        """Wait for a start and take it; then tell exactly one of `replied`, `unsent`, `refused` of its block.

        Raises:
            Stopped: the run stopped buying.
        """
        self._starting += 1
        try:
            async with self._turn:
                self._stop_signal.check(to_buy=True)
                while not self._block.left:
                    wait_s = await self._take_block()
                    if wait_s > 0:
                        await self._stop_signal.sleep(min(wait_s, ASK_AGAIN_S), to_buy=True)
                    self._stop_signal.check(to_buy=True)
                block = self._block
                block.left -= 1
                block.on_their_way += 1
                return block
        finally:
            self._starting -= 1

    async def replied(self, block: Block) -> None:
        """Record an answer of the server, or a start that it may have counted."""
        block.sent += 1
        block.replied_at = self._now()
        self._over(block)
        if self.refusals:
            self.refusals = 0
            await self._account.go_on()

    def unsent(self, block: Block) -> None:
        """Record a start that was never sent, so that it may be made again."""
        block.left += 1
        self._over(block)

    async def refused(self, block: Block, retry_after_s: float | None) -> None:
        """Record a 429: the takes of all runs wait."""
        block.left += 1  # a start that is refused does not count
        self._over(block)
        self._retire_block()
        self.refusals += not block.is_refused  # those of one burst are one
        block.is_refused = True
        await self._account.pause(retry_after_s)

    async def flush(self) -> None:
        """Tell the ledger of blocks that are used up, so that they do not count for longer than they must."""
        if self._settled:
            settled, self._settled = self._settled, []
            await self._account.settle_starts(settled)

    async def close(self) -> None:
        """Give everything back that is not in use."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        self._retire_block()
        await self.flush()
        await self._account.acquire_slots(0, 0)

    async def _take_block(self) -> float:
        """Ask for more starts; return the seconds to wait if there are none."""
        self._retire_block()
        settled, self._settled = self._settled, []
        wanted = block_of(self._account.limits, self._starting, self._waiting)
        block_id, granted = await self._account.acquire_starts(wanted, settled)
        self._block = Block(block_id, granted.starts)
        self._meters.starts_granted += granted.starts
        return granted.wait_s

    def _retire_block(self) -> None:
        """Use the block no more; it is settled when its last reply is there."""
        block, self._block = self._block, Block(0, 0)
        block.on_their_way += 1
        self._over(block)

    def _over(self, block: Block) -> None:
        """Record that a start of the block is no longer on its way."""
        block.on_their_way -= 1
        if block is not self._block and not block.on_their_way and block.block_id:
            self._settled.append((block.block_id, block.sent, block.replied_at or self._now() - MINUTE_S))

    async def _find_slot(self) -> None:
        """Wait for a free slot; the ledger is asked now and then how many this run may hold."""
        while True:
            self._stop_signal.check(to_buy=True)
            ahead = self._queued_ahead()
            wanted = min(self._in_use + self._waiting, self._account.limits.max_in_flight + ahead)
            is_due = self._now() - self._asked_at > ASK_SLOTS_S
            if is_due or (self._held <= self._in_use and self._held < wanted):
                self._asked_at = self._now()
                self._held = await self._account.acquire_slots(self._in_use, wanted, ahead)
            if self._in_use < self._held:
                return
            self._left = new_event()
            await self._stop_signal.wait(self._left, self._now() + ASK_SLOTS_S, to_buy=True)

    async def _tell_slots(self) -> None:
        """Tell the ledger, while no take waits, how many are in flight: others may use the rest, at the end all.

        A run that only waits for its takes asks for no slots, and would keep all that it ever had.
        """
        while self._in_use or self._held:
            await asyncio.sleep(TELL_SLOTS_S)
            async with self._queue:
                quiet_s = self._now() - self._asked_at
                is_news = self._held != self._in_use and quiet_s >= TELL_SLOTS_S
                if self._waiting or not (is_news or quiet_s >= KNOWN_FOR_S):
                    continue
                self._asked_at = self._now()
                held = await self._account.tell_slots(self._in_use, self._queued_ahead())
                self._held = self._held if held is None else held

    def _enter(self) -> None:
        self._in_use += 1
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_slots())

    def _leave(self) -> None:
        self._in_use -= 1
        if self._left is not None:
            wake(self._left)
