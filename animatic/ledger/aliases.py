"""Fingerprints of before, and the takes that they lead to now.

Two rows that a ledger of before took for two takes can be one in canonical form. Their attempts become those of one
take as far as a take may have them: at most one that is live. Another live one stays under its old fingerprint, as an
alias with its own attempt, until it is settled; while it is there, nothing is bought for either.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from animatic.takes.canonical import canonical_provider
from animatic.takes.states import LIVE, State

LOOKUP_CHUNK = 5_000

RANK = {"completed": 0, "submitted": 1, "submitting": 2, "unknown": 3, "held": 4}
"""Of two live attempts at one take, the one with the lower rank is the take's own, and says how the take stands."""

_BOUGHT_NOTHING = frozenset({State.UNSENT.value, State.ABSENT.value})
_LIVE = frozenset(state.value for state in LIVE)


def add(db: sa.Connection, old: str, take: str) -> None:
    """Write down that a fingerprint of before is that take now."""
    db.exec_driver_sql(
        "INSERT INTO alias (fingerprint, take, is_apart) "
        "VALUES (?, ?, EXISTS (SELECT 1 FROM attempt WHERE attempt.fingerprint = ?)) "
        "ON CONFLICT (fingerprint) DO UPDATE SET take = excluded.take, is_apart = excluded.is_apart",
        (old, take, old),
    )


def join(db: sa.Connection) -> int:
    """Move attempts from aliases to their takes, as far as that may be; returns how many moved."""
    found = apart(db)
    moved = sum(_join_one(db, take, olds) for take, olds in found.items())
    if moved:
        db.exec_driver_sql(
            "UPDATE alias SET is_apart = 0 WHERE is_apart = 1 AND take > '' "
            "AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.fingerprint = alias.fingerprint)"
        )
    return moved


def apart(db: sa.Connection) -> dict[str, list[str]]:
    """Return the aliases that still have attempts of their own, by take; empty but for a ledger from before."""
    found: dict[str, list[str]] = defaultdict(list)
    rows = db.exec_driver_sql(
        "SELECT take, fingerprint FROM alias WHERE is_apart = 1 AND take > '' ORDER BY take, fingerprint"
    ).fetchall()
    for take, old in rows:
        found[take].append(old)
    return dict(found)


def take_of(db: sa.Connection, fingerprint: str) -> str:
    """Return the fingerprint that a take has now."""
    found = db.exec_driver_sql("SELECT take FROM alias WHERE fingerprint = ?", (fingerprint,)).scalar()
    return fingerprint if found is None else str(found)


def beginning_with(db: sa.Connection, start: str) -> list[str]:
    """Return the takes of those aliases whose fingerprint begins so; at most a few."""
    if len(start) < 8 or not start.isalnum():
        return []
    rows = db.exec_driver_sql("SELECT DISTINCT take FROM alias WHERE fingerprint LIKE ? LIMIT 10", (f"{start}%",))
    return [row[0] for row in rows]


def takes_of(db: sa.Connection, fingerprints: Iterable[str]) -> dict[str, str]:
    """Return the takes behind those fingerprints that are aliases."""
    wanted, found = list(fingerprints), dict[str, str]()
    for start in range(0, len(wanted), LOOKUP_CHUNK):
        chunk = wanted[start : start + LOOKUP_CHUNK]
        marks = ",".join("?" * len(chunk))
        rows = db.exec_driver_sql(
            f"SELECT fingerprint, take FROM alias WHERE fingerprint IN ({marks})",  # noqa: S608 - our own text
            tuple(chunk),
        )
        found.update({row[0]: row[1] for row in rows})
    return found


def _join_one(db: sa.Connection, take: str, olds: list[str]) -> int:
    """Join the attempts of one take and of its aliases."""
    names = [take, *olds]
    marks = ",".join("?" * len(names))
    rows = db.exec_driver_sql(
        f"SELECT attempt_id, fingerprint, state FROM attempt WHERE fingerprint IN ({marks}) ORDER BY attempt_id",  # noqa: S608
        tuple(names),
    ).fetchall()
    live = sorted((row for row in rows if row[2] in _LIVE), key=lambda row: (RANK[row[2]], row[0]))
    staying = {row[0] for row in live[1:]}
    moving = [row for row in rows if row[0] not in staying]
    # The newest decides: a live one, else one that only a policy buys again, else one that bought nothing.
    moving.sort(key=lambda row: (row[2] in _LIVE, row[2] not in _BOUGHT_NOTHING, row[0]))
    if all(row[1] == take for row in moving):
        return 0
    _make_take(db, take, olds)
    return _renumber(db, take, moving, {row[0]: row[1] for row in rows if row[0] in staying})


def _renumber(db: sa.Connection, take: str, moving: list[Any], staying: Mapping[int, str]) -> int:
    own_but_staying = [attempt_id for attempt_id, name in staying.items() if name == take]
    if own_but_staying:
        return 0  # the take's own attempt is live and ranks lower: nothing can move before one of them is settled
    for number, (attempt_id, _, _) in enumerate(moving, 1):  # out of the way first: numbers are unique
        db.exec_driver_sql("UPDATE attempt SET attempt_no = ? WHERE attempt_id = ?", (-number, attempt_id))
    for number, (attempt_id, _, _) in enumerate(moving, 1):
        db.exec_driver_sql(
            "UPDATE attempt SET fingerprint = ?, attempt_no = ? WHERE attempt_id = ?", (take, number, attempt_id)
        )
    return len(moving)


def _make_take(db: sa.Connection, take: str, olds: list[str]) -> None:
    """Make the take's own row, from the first of its aliases, under the provider's canonical name."""
    marks = ",".join("?" * len(olds))
    row = db.exec_driver_sql(
        f"SELECT provider, model, duration, request FROM take WHERE fingerprint IN ({marks}) "  # noqa: S608 - our own text
        "ORDER BY fingerprint LIMIT 1",
        tuple(olds),
    ).one()  # an attempt belongs to one of them
    db.exec_driver_sql(
        "INSERT INTO take (fingerprint, provider, model, duration, request) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (fingerprint) DO NOTHING",
        (take, canonical_provider(row[0]), *row[1:]),
    )
