"""Predictions that the account's list shows: those that takes have, and those that no take has."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from animatic.ledger.moments import aware, aware_always, naive, now
from animatic.ledger.schema import ATTEMPT, ORPHAN, TAKE
from animatic.ledger.statements import in_chunks
from animatic.takes.evidence import Candidate
from animatic.takes.states import State

_GONE = ("deleted",)
"""Statuses of predictions that the API may not list any more."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A prediction of the account that belongs to no take of the ledger."""

    prediction_id: str
    model: str
    created_at: datetime | None


def orphans(db: sa.Connection, provider: str) -> list[Orphan]:
    """Return the predictions that belonged to no take when they were seen, and still do, oldest first."""
    bound = sa.select(ATTEMPT.c.prediction_id).where(ATTEMPT.c.prediction_id.is_not(None))
    rows = db.execute(
        sa.select(ORPHAN)
        .where(ORPHAN.c.provider == provider, ORPHAN.c.prediction_id.not_in(bound))
        .order_by(ORPHAN.c.created_at, ORPHAN.c.prediction_id)
    )
    return [Orphan(row.prediction_id, row.model, aware(row.created_at)) for row in rows]


def remember_orphans(db: sa.Connection, provider: str, found: Sequence[Orphan]) -> None:
    """Record those orphans that the ledger does not have yet."""
    known = set(db.execute(sa.select(ORPHAN.c.prediction_id)).scalars())
    rows = [
        {
            "prediction_id": each.prediction_id,
            "provider": provider,
            "model": each.model,
            "created_at": naive(each.created_at),
            "found_at": now(),
        }
        for each in found
        if each.prediction_id not in known
    ]
    if rows:
        db.execute(ORPHAN.insert(), rows)


def note_unbound(db: sa.Connection, provider: str, listed: Sequence[Candidate]) -> None:
    """Record those listed predictions that belong to no take as orphans."""
    free = [Orphan(each.prediction_id, each.model, each.created_at) for each in unbound(db, listed)]
    remember_orphans(db, provider, free)


def unbound(db: sa.Connection, listed: Sequence[Candidate]) -> list[Candidate]:
    """Return those that no attempt has."""
    bound: set[str] = set()
    for some in in_chunks([each.prediction_id for each in listed]):
        bound.update(db.execute(sa.select(ATTEMPT.c.prediction_id).where(ATTEMPT.c.prediction_id.in_(some))).scalars())
    return [each for each in listed if each.prediction_id not in bound]


def known_between(db: sa.Connection, provider: str, model: str, after: datetime, before: datetime) -> list[str]:
    """Return the known predictions that the list of this window, by the API's clock, must show."""
    rows = db.execute(_known(provider, model).where(ATTEMPT.c.created_at.between(naive(after), naive(before))))
    return [row.prediction_id for row in rows]


def newest_known(
    db: sa.Connection, provider: str, model: str, since: datetime, until: datetime
) -> tuple[str, datetime] | None:
    """Return the newest prediction that a list must show, and when it was created by the API's clock."""
    row = db.execute(
        _known(provider, model)
        .where(ATTEMPT.c.created_at.between(naive(since), naive(until)))
        .order_by(ATTEMPT.c.created_at.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.prediction_id, aware_always(row.created_at))


def _known(provider: str, model: str) -> sa.Select[*tuple[Any, ...]]:
    """Select the predictions of the ledger that the account's list must show."""
    return (
        sa.select(ATTEMPT.c.prediction_id, ATTEMPT.c.created_at)
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .where(
            TAKE.c.provider == provider,
            TAKE.c.model == model,
            ATTEMPT.c.prediction_id.is_not(None),
            ATTEMPT.c.created_at.is_not(None),
            ATTEMPT.c.state.in_([State.SUBMITTED.value, State.COMPLETED.value, State.FAILED.value]),
            sa.func.coalesce(ATTEMPT.c.prediction_status, "").not_in(_GONE),
            sa.func.coalesce(ATTEMPT.c.settled_by, "") != "abandoned",
        )
    )
