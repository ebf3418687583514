"""Older fingerprints, and the takes that they lead to now.

Two rows that an older ledger took for two takes can be one take in canonical form. Their attempts are then joined, but
a take may have only one live attempt. A second live one stays under its old fingerprint, as an alias with an attempt of
its own, until it is settled; until then nothing is bought for either.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from animatic.ledger.schema import ALIAS, ATTEMPT, TAKE
from animatic.ledger.statements import in_chunks, insert_missing
from animatic.takes.canonical import canonical_provider
from animatic.takes.states import LIVE, State

RANK = {"completed": 0, "submitted": 1, "submitting": 2, "unknown": 3, "held": 4}
"""Of two live attempts at one take, the one with the lower rank is the take's own, and says how the take stands."""


def rank(state: str) -> int:
    """Return the rank of an attempt's state; one that is not live ranks last."""
    return RANK.get(state, len(RANK))


_BOUGHT_NOTHING = frozenset({State.UNSENT.value, State.ABSENT.value})
_LIVE = frozenset(state.value for state in LIVE)


def know(db: sa.Connection, names: Mapping[str, Sequence[str]]) -> None:
    """Make aliases of those old fingerprints, by take, that the ledger holds takes of, and join what can be joined."""
    take_of = {old: take for take, olds in names.items() for old in olds if old != take}
    for some in in_chunks(list(take_of)):
        for old in db.execute(sa.select(TAKE.c.fingerprint).where(TAKE.c.fingerprint.in_(some))).scalars().all():
            add(db, old, take_of[old])
    join(db)


def add(db: sa.Connection, old: str, take: str) -> None:
    """Record that an older fingerprint is that take now."""
    is_apart = db.execute(sa.select(sa.exists().where(ATTEMPT.c.fingerprint == old))).scalar_one()
    db.execute(ALIAS.delete().where(ALIAS.c.fingerprint == old))
    db.execute(ALIAS.insert().values(fingerprint=old, take=take, is_apart=int(is_apart)))


def join(db: sa.Connection) -> int:
    """Move attempts from aliases to their takes, as far as that may be; returns how many moved."""
    moved = sum(_join_one(db, take, olds) for take, olds in apart(db).items())
    if moved:
        own = sa.exists().where(ATTEMPT.c.fingerprint == ALIAS.c.fingerprint)
        db.execute(ALIAS.update().where(_IS_APART, ~own).values(is_apart=0))
    return moved


_IS_APART = sa.and_(ALIAS.c.is_apart == sa.literal_column("1"), ALIAS.c.take > sa.literal_column("''"))
"""Spelled out, so that a database sees that the partial index `apart_now` fits."""

_APART = sa.select(ALIAS.c.take, ALIAS.c.fingerprint).where(_IS_APART).order_by(ALIAS.c.take, ALIAS.c.fingerprint)


def apart(db: sa.Connection) -> dict[str, list[str]]:
    """Return the aliases that still have attempts of their own, by take; empty but for a ledger from before."""
    found: dict[str, list[str]] = defaultdict(list)
    for take, old in db.execute(_APART).all():
        found[take].append(old)
    return dict(found)


def apart_from(take: sa.ColumnElement[str]) -> sa.Select[str]:
    """Return the statement that selects the aliases of one take that still have attempts of their own."""
    return sa.select(ALIAS.c.fingerprint).where(_IS_APART, ALIAS.c.take == take)


def take_of(db: sa.Connection, fingerprint: str) -> str:
    """Return the fingerprint that a take has now."""
    return takes_of(db, [fingerprint]).get(fingerprint, fingerprint)


def beginning_with(db: sa.Connection, start: str) -> list[str]:
    """Return the takes of the aliases whose fingerprint starts with `start`; at most ten."""
    if len(start) < 8 or not start.isalnum():
        return []
    named = sa.select(ALIAS.c.take).where(ALIAS.c.fingerprint.startswith(start)).distinct().limit(10)
    return list(db.execute(named).scalars())


def takes_of(db: sa.Connection, fingerprints: Iterable[str]) -> dict[str, str]:
    """Return the takes behind those fingerprints that are aliases."""
    found: dict[str, str] = {}
    for some in in_chunks(list(fingerprints)):
        rows = db.execute(sa.select(ALIAS.c.fingerprint, ALIAS.c.take).where(ALIAS.c.fingerprint.in_(some)))
        found.update((row.fingerprint, row.take) for row in rows)
    return found


class _Try(NamedTuple):
    attempt_id: int
    fingerprint: str
    state: str


def _join_one(db: sa.Connection, take: str, olds: list[str]) -> int:
    """Join the attempts of one take and of its aliases."""
    found = db.execute(
        sa.select(ATTEMPT.c.attempt_id, ATTEMPT.c.fingerprint, ATTEMPT.c.state)
        .where(ATTEMPT.c.fingerprint.in_([take, *olds]))
        .order_by(ATTEMPT.c.attempt_id)
    )
    tries = [_Try(*row) for row in found]
    live = sorted((each for each in tries if each.state in _LIVE), key=lambda each: (rank(each.state), each.attempt_id))
    staying = live[1:]
    moving = [each for each in tries if each not in staying]
    # The newest decides: a live one, else one that only a policy buys again, else one that bought nothing.
    moving.sort(key=lambda each: (each.state in _LIVE, each.state not in _BOUGHT_NOTHING, each.attempt_id))
    if all(each.fingerprint == take for each in moving):
        return 0
    _make_take(db, take, olds)
    if any(each.fingerprint == take for each in staying):
        return 0  # the take's own attempt is live and ranks lower: nothing can move before one of them is settled
    for number, each in enumerate(moving, 1):  # out of the way first: numbers are unique
        _renumber(db, each, each.fingerprint, -number)
    for number, each in enumerate(moving, 1):
        _renumber(db, each, take, number)
    return len(moving)


def _renumber(db: sa.Connection, attempt: _Try, fingerprint: str, number: int) -> None:
    changing = ATTEMPT.update().where(ATTEMPT.c.attempt_id == attempt.attempt_id)
    db.execute(changing.values(fingerprint=fingerprint, attempt_no=number))


def _make_take(db: sa.Connection, take: str, olds: list[str]) -> None:
    """Make the take's own row, from the first of its aliases, under the provider's canonical name."""
    old = (
        db.execute(sa.select(TAKE).where(TAKE.c.fingerprint.in_(olds)).order_by(TAKE.c.fingerprint).limit(1))
        .mappings()
        .one()
    )  # an attempt belongs to one of them
    values = {**old, "fingerprint": take, "provider": canonical_provider(old["provider"])}
    db.execute(insert_missing(TAKE, db.dialect.name), values)
