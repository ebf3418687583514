"""Settling: what dead runs left behind is read back, and what is unknown or stuck is settled, as far as that goes."""

import asyncio
from dataclasses import dataclass

from animatic.buying.reconcile import Reconciled, open_claims, poll_stuck, reconcile, stuck_takes
from animatic.buying.recovery import recover
from flows.run import Run
from tasks.begun import begin
from tasks.reconcile import reconcile_takes


@dataclass(slots=True)
class Settling:
    """Settles takes before a run buys, and again after it has bought."""

    run: Run
    _is_sound: bool = False
    _has_polled_stuck: bool = False

    async def settle(self) -> Reconciled:
        """Read back what dead runs left behind, then settle what is unknown or stuck."""
        run, settings, ledger, client = self.run, self.run.session.settings, self.run.ledger, self.run.client
        stuck = await stuck_takes(ledger, settings.origin, settings.give_up_s)
        if stuck or await self._is_to_settle():
            await self.require_sound()
        found = await recover(ledger, client.latest_time)
        if found.read_back:
            run.warn(f"{found.read_back} replies that a dead run had not written into the ledger were read back")
        if found.unknown:
            run.warn(f"{found.unknown} takes may or may not have been bought by a run that died")
        settled = Reconciled()
        if await open_claims(ledger, settings.origin):
            settled = await begin(
                reconcile_takes(
                    lambda: reconcile(
                        ledger, client, settings.origin, settings.settle_s, adopts_by_window=settings.adopts_by_window
                    )
                )
            )
            if settled.problem:
                run.warn(f"WaveSpeed's list of predictions: {settled.problem}")
        if stuck and not self._has_polled_stuck:
            self._has_polled_stuck = True
            settled.ended = await poll_stuck(ledger, client, stuck, settings.give_up_s, run.session.run_id)
        run.session.progress.reserved = await ledger.reserved_by(run.session.run_id)
        return settled

    async def _is_to_settle(self) -> bool:
        """Tell if a dead run left anything behind, or something is unknown."""
        ledger = self.run.ledger
        if await asyncio.to_thread(ledger.receipts_left_behind):
            return True
        if await ledger.runs_submitting():
            return True
        return bool(await open_claims(ledger, self.run.session.settings.origin))

    async def require_sound(self) -> None:
        """Read the whole ledger once before anything in it is changed; a run in which all is settled needs not.

        Raises:
            LedgerUnusableError: it is damaged.
        """
        if not self._is_sound:
            await self.run.ledger.require_sound()
            self._is_sound = True


async def settle(run: Run) -> Settling:
    """Settle, before anything is planned, what earlier runs left open."""
    settling = Settling(run)
    await settling.settle()
    return settling
