"""Attempts at a take and their numbers: an attempt for a changed still stands beside the one that it replaces.

Each is a function of a connection in a transaction of its caller, or pure.
"""

from dataclasses import replace
from typing import NamedTuple

import sqlalchemy as sa

from animatic.ledger.newest import NewestStatus
from animatic.ledger.schema import ATTEMPT
from animatic.takes.states import State

CHANGED_STILL = "changed-still"


class NextAttempt(NamedTuple):
    """Numbers of the next attempt at a take.

    Attributes:
        attempt_no, renewal: those of a new row.
        unsent_id: the row that it has already, of an attempt that was never sent; else None.
    """

    attempt_no: int
    renewal: int
    unsent_id: int | None = None


def seen_by(newest: NewestStatus | None, replaces: int | None) -> NewestStatus | None:
    """Return the newest attempt as seen by a run that wants to replace the attempt `replaces`, since a still changed.

    It is marked as changed only if it is that very attempt: a newer one has bought the change already. Nor is it if an
    alias of the take has attempts of its own, which could stand in for the new one.
    """
    if newest is None or replaces is None or newest.attempt_id != replaces or not newest.is_only:
        return newest
    return newest._replace(take_status=replace(newest.take_status, is_changed=True))


def next_attempt(db: sa.Connection, fingerprint: str, newest: NewestStatus | None, allowed_by: str) -> NextAttempt:
    """Return the numbers of the next attempt at a take, and its row where it has one already."""
    if newest is None:
        return NextAttempt(1, 0)
    if allowed_by != CHANGED_STILL and not newest.renewal:
        is_unsent = newest.take_status.state is State.UNSENT
        return NextAttempt(newest.attempt_no + 1, 0, newest.attempt_id if is_unsent else None)
    renewal = newest.renewal + (allowed_by == CHANGED_STILL)
    of_take = ATTEMPT.c.fingerprint == fingerprint
    unsent = sa.select(ATTEMPT.c.attempt_id).where(
        of_take, ATTEMPT.c.renewal == renewal, ATTEMPT.c.state == State.UNSENT.value
    )
    last = db.execute(sa.select(sa.func.max(ATTEMPT.c.attempt_no)).where(of_take)).scalar_one()
    return NextAttempt(last + 1, renewal, db.execute(unsent.limit(1)).scalar())
