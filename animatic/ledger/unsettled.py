"""Takes that are not settled: unknown, held, or submitted so long ago that they seem stuck."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from animatic.ledger import aliases, planned
from animatic.ledger.moments import aware, aware_always, naive
from animatic.ledger.records import POLLED
from animatic.ledger.schema import ATTEMPT, RUN, TAKE
from animatic.takes.states import State

_ERROR_OF = {State.SUBMITTING.value: "its run died while it was being submitted"}


@dataclass(frozen=True, slots=True)
class Open:
    """A take that is unknown or held: since when, by our clock, why, and which manifest asked for it.

    Attributes:
        fingerprint: the one that its attempt has; an older one where it stays under an alias.
        take: the fingerprint of the take that it is now.
        name: shot and number as its manifest planned it, `harbour take 1`; empty where none has.
        listed_by: by when it was accepted, if it was: from then on WaveSpeed's list may show it.
        absent_since: end of the first reading of the list that did not show it.
    """

    fingerprint: str
    state: str
    since: datetime
    error: str
    run_id: str = ""
    manifest: str = ""
    take: str = ""
    name: str = ""
    listed_by: datetime | None = None
    absent_since: datetime | None = None

    def settled_at(self, settle_s: float) -> datetime | None:
        """Return when a second reading of the list can prove that it was not bought; None before the first.

        Both must lack it, and the second one must come at least `settle_s` after the end of the first.
        """
        if self.absent_since is None:
            return None
        since = max(self.absent_since, self.listed_by or self.absent_since)
        return since + timedelta(seconds=settle_s)


def open_takes(db: sa.Connection, provider: str, *, also: Collection[State] = ()) -> list[Open]:
    """Return takes that are unknown or held, or in one of the other states, oldest first."""
    states = [state.value for state in {State.UNKNOWN, State.HELD, *also}]
    rows = db.execute(
        sa.select(
            *(ATTEMPT.c.fingerprint, ATTEMPT.c.state, ATTEMPT.c.intent_at, ATTEMPT.c.error),
            *(ATTEMPT.c.run_id, RUN.c.manifest, ATTEMPT.c.window_to, ATTEMPT.c.absent_since),
        )
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .join(RUN, RUN.c.run_id == ATTEMPT.c.run_id)
        .where(ATTEMPT.c.state.in_(states), TAKE.c.provider == provider)
        .order_by(ATTEMPT.c.intent_at, ATTEMPT.c.attempt_id)
    ).all()
    now_called = aliases.takes_of(db, [row.fingerprint for row in rows])
    takes = [now_called.get(row.fingerprint) or str(row.fingerprint) for row in rows]
    names = planned.names_of(db, takes)
    return [
        Open(
            row.fingerprint,
            row.state,
            aware_always(row.intent_at),
            row.error or _ERROR_OF.get(row.state, ""),
            row.run_id,
            row.manifest,
            take,
            names.get((take, row.manifest)) or names.get((take, ""), ""),
            aware(row.window_to),
            aware(row.absent_since),
        )
        for row, take in zip(rows, takes, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Stuck:
    """A take that was submitted long ago, or is held for that, and is polled once by every run."""

    attempt_id: int
    fingerprint: str
    prediction_id: str
    is_held: bool
    submitted_at: datetime


def stuck(db: sa.Connection, provider: str, submitted_before: datetime, most: int) -> list[Stuck]:
    """Return takes to poll once, those that were polled least often first."""
    is_held = sa.and_(ATTEMPT.c.state == State.HELD.value, ATTEMPT.c.held_for.in_(POLLED))
    # SQLite then reads attempts as they lie in the file, and not take by take, which takes eight times as long.
    is_any = ATTEMPT.c.attempt_id > 0
    is_old = sa.and_(ATTEMPT.c.state == State.SUBMITTED.value, ATTEMPT.c.submitted_at < naive(submitted_before))
    rows = db.execute(
        sa.select(
            *(ATTEMPT.c.attempt_id, ATTEMPT.c.fingerprint, ATTEMPT.c.prediction_id, ATTEMPT.c.state),
            *(ATTEMPT.c.submitted_at, ATTEMPT.c.intent_at),
        )
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .where(is_any, TAKE.c.provider == provider, ATTEMPT.c.prediction_id.is_not(None), sa.or_(is_held, is_old))
        .order_by(ATTEMPT.c.polls, ATTEMPT.c.attempt_id)
        .limit(most)
    )
    return [
        Stuck(
            row.attempt_id,
            row.fingerprint,
            row.prediction_id,
            row.state == State.HELD.value,
            aware_always(row.submitted_at or row.intent_at),
        )
        for row in rows
    ]


def count_poll(db: sa.Connection, attempt_id: int) -> None:
    """Count a poll of a held take that changed nothing."""
    db.execute(ATTEMPT.update().where(ATTEMPT.c.attempt_id == attempt_id).values(polls=ATTEMPT.c.polls + 1))
