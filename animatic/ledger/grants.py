"""The account's limits, kept for every run on the ledger together: starts in blocks, and slots in flight.

Each function runs inside a transaction that its caller commits; what may be granted is decided by `pace.limits`.
Moments are seconds of a clock that all processes of one machine share and that only grows (the monotonic clock). After
a restart of the machine it begins again: what lies further in the future than it ever may is from before, and dropped.
"""

from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa

from animatic.ledger.schema import PACE, SLOTS, STARTS
from animatic.pace.limits import (
    HOLD_S,
    LONGEST_PENALTY_S,
    MINUTE_S,
    Granted,
    Limits,
    SpentBlock,
    grant_starts,
    penalty_s,
    share_of_slots,
)

SILENT_S = 300.0
"""Longest time for which a run may hold slots in flight without asking again."""

LiveAmong = Callable[[Sequence[str]], Collection[str]]
"""From runs to those of them that may be alive. Asked once: every other run waits for the transaction."""

Clock = Callable[[], float]
"""Asked inside the transaction: what was read before the wait for the ledger would be older than what others wrote."""


def acquire_starts(  # noqa: PLR0913, PLR0917 - whose starts, how many, and what becomes of earlier ones
    db: sa.Connection, provider: str, limits: Limits, wanted: int, clock: Clock, settled: Sequence[SpentBlock] = ()
) -> tuple[int, Granted]:
    """Ask for a block of starts and settle earlier blocks; return the block's id and its starts."""
    now = clock()
    settle_starts(db, settled)
    db.execute(STARTS.delete().where(STARTS.c.provider == provider, _is_over(now)))
    paused = db.execute(sa.select(PACE.c.not_before).where(PACE.c.provider == provider)).scalar()
    if paused is not None and now < paused <= now + LONGEST_PENALTY_S:
        return 0, Granted(0, paused - now)
    counted, next_free_at = db.execute(
        sa.select(sa.func.coalesce(sa.func.sum(STARTS.c.starts), 0), sa.func.min(STARTS.c.until)).where(
            STARTS.c.provider == provider
        )
    ).one()
    granted = grant_starts(int(counted), next_free_at, limits, wanted, now)
    if not granted.starts:
        return 0, granted
    made = db.execute(STARTS.insert().values(provider=provider, starts=granted.starts, until=now + HOLD_S))
    return int((made.inserted_primary_key or (0,))[0]), granted


def settle_starts(db: sa.Connection, settled: Sequence[SpentBlock]) -> None:
    """Blocks that are used up count until a minute after their last reply, and only for what was sent of them."""
    for block_id, sent, replied_at in settled:
        values = {"starts": sent, "until": replied_at + MINUTE_S}
        db.execute(STARTS.update().where(STARTS.c.block_id == block_id).values(values))


def pause(db: sa.Connection, provider: str, clock: Clock, retry_after_s: float | None) -> int:
    """Pause all starts after a 429; return how many there were in a row, on the whole ledger."""
    now = clock()
    found = db.execute(sa.select(PACE.c.not_before, PACE.c.refusals).where(PACE.c.provider == provider)).first()
    refusals, until = (found.refusals, found.not_before) if found else (0, 0.0)
    if now < until <= now + LONGEST_PENALTY_S:
        refusals = max(refusals - 1, 0)  # of the same burst: it was sent before this pause began
    until = max(until if until <= now + LONGEST_PENALTY_S else 0.0, now + penalty_s(refusals, retry_after_s))
    values = {"not_before": until, "refusals": refusals + 1}
    if found is None:
        db.execute(PACE.insert().values(provider=provider, **values))
    else:
        db.execute(PACE.update().where(PACE.c.provider == provider).values(values))
    return refusals + 1


def go_on(db: sa.Connection, provider: str) -> None:
    """Record a start that was not refused, so that the next 429 is the first in its row."""
    db.execute(PACE.update().where(PACE.c.provider == provider, PACE.c.refusals > 0).values(refusals=0))


def acquire_slots(  # noqa: PLR0913, PLR0917 - whose slots, how many, and who else is there
    db: sa.Connection,
    provider: str,
    limits: Limits,
    run_id: str,
    in_use: int,
    wanted: int,
    clock: Clock,
    live_among: LiveAmong,
) -> int:
    """Return how many takes the run may have in flight, the current ones included; `wanted` 0 gives all back.

    Where more are in use than that, they stay in use, and count, until their takes end. A run that has not asked for
    long is not counted any more: it may be stopped, and no other run should wait for it.
    """
    now = clock()
    rows = db.execute(sa.select(SLOTS).where(SLOTS.c.provider == provider, SLOTS.c.run_id != run_id)).all()
    heard = [row.run_id for row in rows if abs(now - row.asked_at) < SILENT_S]
    live = live_among(heard) if heard else ()
    dead = [row.run_id for row in rows if row.run_id not in live]
    if dead:
        db.execute(SLOTS.delete().where(SLOTS.c.provider == provider, SLOTS.c.run_id.in_(dead)))
    others = [(row.held, row.wanted) for row in rows if row.run_id not in dead]
    db.execute(SLOTS.delete().where(SLOTS.c.provider == provider, SLOTS.c.run_id == run_id))
    if not wanted:
        return 0
    share = share_of_slots(limits, others, wanted)
    held = max(share, in_use)
    db.execute(SLOTS.insert().values(provider=provider, run_id=run_id, held=held, wanted=wanted, asked_at=now))
    return share


def _is_over(now: float) -> sa.ColumnElement[bool]:
    return sa.or_(STARTS.c.until <= now, STARTS.c.until > now + HOLD_S)
