"""First step of a run, before anything is planned: read back what dead runs left behind. Buys nothing.

A run that died may have left replies that the ledger does not have; they are read from its receipts. What it was still
submitting without a reply becomes `unknown`: its POST may have gone out, so it is never sent again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from animatic.ledger import Ledger, Receipt, read_receipts
from animatic.takes.states import Accepted
from animatic.wavespeed.outcomes import classify
from animatic.wavespeed.replies import Reply


@dataclass(frozen=True, slots=True)
class Recovered:
    """Counts of takes that got their reply from a receipt, and of those that became unknown."""

    read_back: int = 0
    unknown: int = 0


async def recover(ledger: Ledger, latest_time: Callable[[], Awaitable[datetime]]) -> Recovered:
    """Read back the receipts of dead runs, and make `unknown` what they were submitting without one.

    Dead runs are found before receipts are read, so that no run is given up with a receipt unread.
    `latest_time` gives the latest that it can be for the API; it is called only if a run has died.
    """
    await ledger.join_aliases()
    await asyncio.to_thread(ledger.sweep)
    dead = [run_id for run_id in await ledger.runs_submitting() if not ledger.is_alive(run_id)]
    left_behind = await asyncio.to_thread(ledger.receipts_left_behind)
    if not dead and not left_behind:
        return Recovered()
    latest = await latest_time()
    read_back = unknown = 0
    for path in left_behind.values():
        for receipt in await asyncio.to_thread(read_receipts, path):
            read_back += await _apply(ledger, receipt, latest)
    for run_id in dead:
        unknown += await ledger.give_up_submitting(run_id, latest)
    for run_id in left_behind:
        ledger.remove_run(run_id)
    return Recovered(read_back, unknown)


async def _apply(ledger: Ledger, receipt: Receipt, latest: datetime) -> bool:
    """Bring one reply into the ledger; return true if it was not there yet."""
    outcome = classify(Reply(receipt.http, {}, receipt.body))
    intent = (receipt.attempt_id, receipt.nonce)
    if isinstance(outcome, Accepted):
        return await ledger.apply_acceptance(*intent, outcome)
    message = f"{outcome.message} (read back from the receipts)"
    return await ledger.apply_refusal(*intent, outcome.state, outcome.code, message, latest)
