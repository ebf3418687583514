"""The account's limits as one run sees them: granted by the ledger, which all runs on it share. Decides nothing."""

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from animatic.errors import LedgerError
from animatic.ledger import grants
from animatic.ledger.transactions import Transactions
from animatic.pace.limits import Granted, Limits, SpentBlock


class Account:
    """One provider's account, asked by one run. Make it inside the event loop, whose clock counts."""

    def __init__(
        self,
        transactions: Transactions,
        live_among: grants.LiveAmong,
        provider: str,
        run_id: str,
        limits: Limits,
    ) -> None:
        self.limits = limits
        self._do, self._database = functools.partial(transactions.do, 0.0), transactions.database
        self._live_among, self._provider, self._run_id = live_among, provider, run_id
        self._clock = asyncio.get_running_loop().time

    async def acquire_starts(self, wanted: int, settled: Sequence[SpentBlock]) -> tuple[int, Granted]:
        """Ask for at most `wanted` starts and settle earlier blocks; return the block's id and its starts."""

        def acquire(db: sa.Connection) -> tuple[int, Granted]:
            clock = self._clock_in(db)
            return grants.acquire_starts(
                db, self._provider, self.limits, wanted, clock, self._in_ledgers_time(settled, clock)
            )

        return await self._do(acquire)

    async def settle_starts(self, settled: Sequence[SpentBlock]) -> None:
        """Settle blocks that are used up."""
        await self._do(lambda db: grants.settle_starts(db, self._in_ledgers_time(settled, self._clock_in(db))))

    async def pause(self, retry_after_s: float | None) -> int:
        """Make every run wait after a 429; return how many there were in a row."""
        return await self._do(lambda db: grants.pause(db, self._provider, self._clock_in(db), retry_after_s))

    async def go_on(self) -> None:
        """Record a start that was not refused."""
        await self._do(grants.go_on, self._provider)

    async def acquire_slots(self, in_use: int, wanted: int, queued_ahead: int = 0) -> int:
        """Return how many takes this run may have in flight, the current ones included; `wanted` 0 gives all back.

        There are `queued_ahead` more than the account works on at once.
        """
        limits = replace(self.limits, max_in_flight=self.limits.max_in_flight + queued_ahead)
        return await self._do(
            lambda db: grants.acquire_slots(
                db, self._provider, limits, self._run_id, in_use, wanted, self._clock_in(db), self._live_among
            )
        )

    async def tell_slots(self, in_use: int, queued_ahead: int = 0) -> int | None:
        """Tell how many takes are in flight while none waits; None where the ledger is away.

        The next operation that needs it says so.
        """
        try:
            return await self.acquire_slots(in_use, in_use, queued_ahead)
        except LedgerError:
            return None

    def _clock_in(self, db: sa.Connection) -> grants.Clock:
        """Return the clock that all who share the ledger share."""
        return functools.partial(self._database.now, db, self._clock)

    def _in_ledgers_time(self, settled: Sequence[SpentBlock], clock: grants.Clock) -> list[SpentBlock]:
        """Return blocks with the times of their last replies moved from this machine's clock to the ledger's."""
        if not settled:
            return []
        mine_s = self._clock()  # before the journey to the other clock: what is too late holds a start for longer
        shift_s = clock() - mine_s
        return [(block_id, sent, replied_at + shift_s) for block_id, sent, replied_at in settled]
