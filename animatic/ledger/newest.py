"""The newest attempt of each take, with what all its attempts cost: selects from the view `newest_attempt`.

No transaction fetches more than a few thousand rows, so that none keeps others from writing for long. A live attempt
that stayed under an alias stands in for its take's own where it ranks lower (`aliases.RANK`).
"""

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from animatic.ledger import aliases
from animatic.ledger.moments import aware
from animatic.ledger.prepared import Prepared
from animatic.ledger.records import Record
from animatic.ledger.schema import ATTEMPT, NEWEST, RUN, TAKE, bought_nothing_again, is_paid
from animatic.ledger.statements import MOST_VALUES, among, in_chunks
from animatic.takes.states import State, TakeStatus

SCAN_ATTEMPTS = 5_000
SCAN_UP_TO = 3
"""The whole ledger is read where it has no more than this many attempts for each take that is wanted."""

Rows = Sequence[Sequence[Any]]
IsDead = Callable[[str], bool]
"""Tell by a run's id if it is dead. What a dead run was submitting is unknown, even before the ledger says so."""


LISTS = ("outputs", "has_nsfw_contents")
"""Columns that hold a list as JSON."""

_NAIVE = pa.timestamp("us")
_STATE_OF = {state.value: state for state in State}


def no_run_is_dead(_run_id: str) -> bool:
    """Call no run dead: for callers that have recovered the dead runs already."""
    return False


_OF_RUN = sa.bindparam("of_run", type_=sa.Text)
_BOUGHT = ATTEMPT.alias("bought")
_BOUGHT_HERE = (
    sa.select(sa.func.count())
    .where(_BOUGHT.c.fingerprint == NEWEST.c.fingerprint, _BOUGHT.c.run_id == _OF_RUN, is_paid(_BOUGHT))
    .scalar_subquery()
)
_RUN_NO = sa.select(RUN.c.run_no).where(RUN.c.run_id == _OF_RUN).scalar_subquery()


def _seen_by_run(attempts: sa.FromClause, bought_here: sa.ColumnElement[Any]) -> Sequence[sa.ColumnElement[Any]]:
    return (
        sa.func.coalesce(attempts.c.run_id == _OF_RUN, sa.false()).label("tried_here"),
        bought_here.label("bought_here"),
        sa.func.coalesce(sa.func.coalesce(attempts.c.ended_run_no, 0) < _RUN_NO, sa.true()).label("is_left"),
    )


def _status(attempts: sa.FromClause, bought_here: sa.ColumnElement[Any]) -> sa.Select[*tuple[Any, ...]]:
    of = attempts.c
    is_flagged = sa.func.coalesce(of.has_nsfw_contents.contains("true"), sa.false()).label("is_flagged")
    columns = (of.fingerprint, of.state, of.attempt_id, of.attempt_no, of.run_id, of.error_code, is_flagged)
    return sa.select(*columns, *_seen_by_run(attempts, bought_here))


_SEEN_BY_RUN = _seen_by_run(NEWEST, _BOUGHT_HERE)
_STATUS = _status(NEWEST, _BOUGHT_HERE)
_WANTED = NEWEST.c.fingerprint.in_(sa.bindparam("takes", expanding=True))
_SEEK_STATUS = _STATUS.where(_WANTED)
_TAKE = sa.bindparam("take", type_=sa.Text)
_SEEK_ONE = _STATUS.add_columns(NEWEST.c.renewal).where(
    sa.or_(NEWEST.c.fingerprint == _TAKE, NEWEST.c.fingerprint.in_(aliases.apart_from(_TAKE)))
)
_IS_BOUGHT_HERE = sa.case((sa.and_(ATTEMPT.c.run_id == _OF_RUN, is_paid(ATTEMPT)), 1), else_=0)
_SCAN_ATTEMPTS = (
    _status(ATTEMPT, _IS_BOUGHT_HERE)
    .where(ATTEMPT.c.attempt_id > sa.bindparam("after", type_=sa.Integer), ~bought_nothing_again(ATTEMPT))
    .order_by(ATTEMPT.c.attempt_id)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
FIRST = (
    *("fingerprint", "state", "attempts", "cost_microusd", "charged_microusd", "refunded_microusd"),
    *("attempt_id", "run_id", "quoted_microusd", "error"),
)
"""The columns of the view that every outcome begins with."""

_OF_RECORD = tuple(name for name in Record.__dataclass_fields__ if name in NEWEST.c and name not in FIRST)
_RECORD = sa.select(*(NEWEST.c[name] for name in (*FIRST, *_OF_RECORD)), *_SEEN_BY_RUN).where(_WANTED)


def died(run_id: str) -> str:
    """Return the reason for which a take that a dead run was submitting is unknown."""
    return f"run {run_id} died while it was submitting this take"


def attempts_made(db: sa.Connection) -> int:
    """Return about how many attempts the ledger holds: the newest one's id."""
    return int(db.execute(sa.select(sa.func.coalesce(sa.func.max(ATTEMPT.c.attempt_id), 0))).scalar_one())


def scan_attempts(db: sa.Connection, after: int, run_id: str | None = None) -> Rows:
    """Return the statuses of the next attempts after that attempt_id, in order; `run_id` is the run that asks.

    The order is the database's own, which is many times faster than take by take. A take with several attempts must be
    read by `seek_statuses`: a row does not tell whether a newer attempt follows it.
    """
    return db.execute(_SCAN_ATTEMPTS, {"after": after, "most": SCAN_ATTEMPTS, "of_run": run_id}).fetchall()


def seek_statuses(db: sa.Connection, fingerprints: Sequence[str], run_id: str | None = None) -> Rows:
    """Return the statuses of at most `MOST_VALUES` takes; `run_id` is the run that asks."""
    return _seek(db, _SEEK_STATUS, fingerprints, run_id)


class Holdings(NamedTuple):
    """Counts of what a ledger holds; `newest` are those of takes by the state of their newest attempt."""

    takes: int
    attempts: int
    runs: int
    newest: dict[str, int]


def holdings(db: sa.Connection) -> Holdings:
    """Count what the ledger holds."""
    takes, attempts, runs = (
        int(db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()) for table in (TAKE, ATTEMPT, RUN)
    )
    by_state = db.execute(sa.select(NEWEST.c.state, sa.func.count()).group_by(NEWEST.c.state))
    return Holdings(takes, attempts, runs, {state: int(count) for state, count in by_state.fetchall()})


class NewestStatus(NamedTuple):
    """The newest attempt of a take, as far as it decides what may follow.

    Attributes:
        renewal: how many changes of its stills the take was bought for before.
        is_only: whether no alias of the take has attempts of its own.
    """

    attempt_id: int
    attempt_no: int
    take_status: TakeStatus
    renewal: int = 0
    is_only: bool = True


def newest_status(db: sa.Connection, fingerprint: str, run_id: str) -> NewestStatus | None:
    """Return the status of one take as the run sees it, or None where it was never tried."""
    found = db.execute(_SEEK_ONE, {"take": fingerprint, "of_run": run_id}).fetchall()
    if not found:
        return None
    row = min(found, key=lambda each: (aliases.rank(each.state), each.fingerprint != fingerprint))
    take_status = TakeStatus(_STATE_OF[row.state], row.error_code, row.bought_here, row.tried_here, row.is_left)
    is_only = all(each.fingerprint == fingerprint for each in found)
    return NewestStatus(row.attempt_id, row.attempt_no, take_status, row.renewal, is_only)


def look_up(db: sa.Connection, fingerprints: Iterable[str], run_id: str | None = None) -> dict[str, Record]:
    """Return the newest attempt of each take that has one, by fingerprint; `run_id` is the run that asks."""
    wanted, found = list(dict.fromkeys(fingerprints)), dict[str, Record]()
    for some in in_chunks(wanted):
        rows = _newest(db, functools.partial(_seek, db, _RECORD, run_id=run_id), some)
        found.update({row[0]: _record(row) for row in rows})
    return found


def seek_outcomes(db: sa.Connection, fingerprints: Sequence[str], names: tuple[str, ...]) -> Rows:
    """Return the columns of `FIRST` and then those that are named, for at most `MOST_VALUES` takes, in no order."""
    statement = _outcome(_after_first(names), db.dialect.name)

    def seek(some: Sequence[str]) -> Rows:
        _require_few(some)
        return statement.rows(db, {"takes": some})

    return _newest(db, seek, fingerprints)


@functools.cache
def _outcome(names: tuple[str, ...], dialect: str) -> Prepared:
    return Prepared(sa.select(*(NEWEST.c[name] for name in names)).where(among(NEWEST.c.fingerprint, dialect)))


def _after_first(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*FIRST, *names)))


def _seek(
    db: sa.Connection, statement: sa.Select[*tuple[Any, ...]], fingerprints: Sequence[str], run_id: str | None
) -> Rows:
    _require_few(fingerprints)
    return db.execute(statement, {"takes": fingerprints, "of_run": run_id}).fetchall()


def _require_few(fingerprints: Sequence[str]) -> None:
    if len(fingerprints) > MOST_VALUES:
        raise ValueError(f"found {len(fingerprints)} takes to look up at once; allowed: {MOST_VALUES}")


def _newest(db: sa.Connection, seek: Callable[[Sequence[str]], Rows], fingerprints: Sequence[str]) -> Rows:
    """Return newest attempts; those that stayed under an alias stand in for their takes' own, if they rank lower."""
    rows, wanted = seek(fingerprints), set(fingerprints)
    take_of = {old: take for take, olds in aliases.apart(db).items() if take in wanted for old in olds}
    if not take_of:
        return rows
    newest = {row[0]: row for row in rows}
    for some in in_chunks(list(take_of)):
        for row in seek(some):
            take = take_of[row[0]]
            newest[take] = _ahead_of(newest.get(take), (take, *row[1:]))
    return list(newest.values())


def _ahead_of(own: Sequence[Any] | None, other: Sequence[Any]) -> Sequence[Any]:
    """Return the one of two attempts that decides, with what both cost; both begin with the columns of `FIRST`."""
    if own is None:
        return other
    first, second = (other, own) if aliases.rank(other[1]) < aliases.rank(own[1]) else (own, other)
    cost = None if None in {first[3], second[3]} else first[3] + second[3]
    on_bill = (_known_sum(first[at], second[at]) for at in (4, 5))
    return (*first[:2], first[2] + second[2], cost, *on_bill, *first[6:])


def _known_sum(first: int | None, second: int | None) -> int | None:
    """Add up what the bill has shown; None where it has shown neither."""
    return None if first is None and second is None else (first or 0) + (second or 0)


def outcomes_from(rows: Rows, names: tuple[str, ...], is_dead: IsDead = no_run_is_dead) -> dict[str, Any]:
    """Return the rows of `seek_outcomes` in columns by name: moments as Arrow arrays in UTC, lists as lists.

    What a dead run was submitting is unknown and counts as paid for.
    """
    every = _after_first(names)
    columns: dict[str, Any] = dict(zip(every, zip(*rows, strict=True) if rows else [()] * len(every), strict=True))
    for name in every:
        if name in LISTS:
            columns[name] = _lists(columns[name])
        elif isinstance(NEWEST.c[name].type, sa.DateTime):
            columns[name] = _moments(columns[name])
    columns["state"] = [_STATE_OF[state] for state in columns["state"]]
    for at, state in enumerate(columns["state"]):
        if as_it_is(state, columns["run_id"][at], is_dead) is not state:
            columns |= {name: list(columns[name]) for name in ("attempts", "cost_microusd", "error")}
            _become_unknown(columns, at)
    return columns


def as_it_is(state: State, run_id: str, is_dead: IsDead) -> State:
    """Read a submission of a dead run as unknown, even before the ledger says so."""
    return State.UNKNOWN if state is State.SUBMITTING and is_dead(run_id) else state


def _become_unknown(columns: dict[str, Any], at: int) -> None:
    cost, price = columns["cost_microusd"][at], columns["quoted_microusd"][at]
    columns["state"][at] = State.UNKNOWN
    columns["error"][at] = died(columns["run_id"][at])
    columns["attempts"][at] += 1
    columns["cost_microusd"][at] = None if cost is None or price is None else cost + price


def _moments(stored: Sequence[Any]) -> pa.Array:
    """Read moments as a driver gives them: as text by SQLite's, as naive datetimes by PostgreSQL's."""
    is_text = any(isinstance(each, str) for each in stored)
    return pa.array(stored, pa.string() if is_text else _NAIVE).cast(_NAIVE).cast(pa.timestamp("us", tz="UTC"))


def _lists(texts: Sequence[str | None]) -> list[Any]:
    """Parse JSON lists all in one go, those that are the same once."""
    different = dict.fromkeys(text or "null" for text in texts)
    parsed = dict(zip(different, json.loads(f"[{','.join(different)}]"), strict=True))
    return [parsed[text or "null"] for text in texts]


def _record(row: Any) -> Record:
    """Return a row of `_RECORD` as a value."""
    values: dict[str, Any] = dict(zip((*FIRST, *_OF_RECORD, "tried_here", "bought_here", "is_left"), row, strict=True))
    for name in LISTS:
        values[name] = None if values[name] is None else tuple(json.loads(values[name]))
    for name in ("submitted_at", "completed_at", "created_at"):
        values[name] = aware(values[name])
    values["state"] = _STATE_OF[values["state"]]
    return Record(**values)
