"""Details of a ledger that nothing depends on any more, handed to a keeper outside it and then taken out.

Each take keeps its fingerprint, its newest attempt with outputs, where its clips are, and all that was paid for it.
Older attempts that bought nothing go whole; those that may have been paid for keep a short row each, which the bill and
the take's cost are read from. Nothing that is still open goes, and nothing goes before the keeper has it: where pruning
is interrupted, rows are kept twice, never lost.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from animatic.errors import FixInputError
from animatic.ledger import liveness
from animatic.ledger.opening import Opened, find_database, open_database
from animatic.ledger.receipts import Receipt, read_receipts
from animatic.ledger.schema import ATTEMPT, ATTEMPT_LOOK, CLIP, LAST_COMMIT, LOOK, NEWEST, ORPHAN, QUALITY, REMARK
from animatic.ledger.statements import in_chunks
from animatic.takes.states import PAID, State

LEAST_AGE = timedelta(days=8)
"""WaveSpeed's list shows a prediction for 7 days: until then its details can settle a take."""

ROWS_AT_ONCE = 20_000
"""Rows that a keeper gets at a time, at most."""
REMOVED = "its details were moved by prune"
"""Error of an attempt whose own was moved."""

_SETTLED = (State.COMPLETED, State.FAILED, State.REJECTED, State.UNSENT, State.ABSENT)
_FAILED, _BOUGHT_NOTHING = (State.FAILED,), tuple(state for state in _SETTLED if state not in PAID)

Keep = Callable[[str, pa.Table], None]
"""Gets the name of a group of rows and the rows, and has them for good when it returns."""

_TYPES: dict[type[Any], pa.DataType] = {
    sa.Integer: pa.int64(),
    sa.BigInteger: pa.int64(),
    sa.Float: pa.float64(),
    sa.DateTime: pa.timestamp("us", tz="UTC"),
    sa.Date: pa.date32(),
    sa.Text: pa.string(),
}
_RECEIPT = pa.schema(
    {"run_id": pa.string(), "attempt_id": pa.int64(), "nonce": pa.string(), "http": pa.int64(), "body": pa.binary()}
)


class Pruned(NamedTuple):
    """Counts of what was moved.

    Attributes:
        attempts: older attempts; those that may have been paid for leave a short row.
        polls: newest attempts that gave up details of how they were submitted and settled.
        looks: looks at stills that no purchase stands on.
        receipts: replies in files of dead runs on this machine that the ledger has long been told.
        is_compacted: whether the file was made smaller; a server does that itself.
    """

    remarks: int = 0
    attempts: int = 0
    polls: int = 0
    orphans: int = 0
    looks: int = 0
    receipts: int = 0
    is_compacted: bool = True


@dataclass(frozen=True, slots=True)
class _PrunableRows:
    """Rows that may be pruned: their table, which of them are old, their columns, and how they are taken out."""

    name: str
    table: sa.Table
    is_old: sa.ColumnElement[bool]
    columns: tuple[sa.ColumnElement[Any], ...]
    take_out: Callable[[sa.Connection, sa.ColumnElement[bool]], None]

    @property
    def key(self) -> sa.ColumnElement[Any]:
        (key,) = self.table.primary_key.columns
        return key

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(str(each.key), _TYPES[type(each.type)]) for each in self.columns])


def prune_ledger(url: str, before: datetime, keep: Keep, most_rows: int = ROWS_AT_ONCE) -> Pruned:
    """Move old rows that nothing depends on to a keeper. Runs may go on at the same time.

    The keeper gets `most_rows` at a time at most.

    Raises:
        FixInputError: there is no ledger, or the moment is too near.
        LedgerError: it cannot be used.
    """
    if before > datetime.now(UTC) - LEAST_AGE:
        raise FixInputError(
            f"prune: found less than {LEAST_AGE.days} days; allowed: so many or more, since WaveSpeed's list shows the "
            "predictions of the last week, and open takes are settled by it"
        )
    database = find_database(url)
    if not database.may_hold_ledger():
        raise FixInputError(f"ledger {database.name}: there is none to prune; name one that exists")
    opened = open_database(database)
    try:
        moment = before.astimezone(UTC).replace(tzinfo=None)
        with opened.engine.begin() as db:
            db.execute(LAST_COMMIT.delete().where(LAST_COMMIT.c.made_at < moment))  # of connections that have ended
        groups = _prunable_rows(moment)
        moved = {each.name: _move(opened.engine, each, keep, most_rows) for each in groups}
        receipts = _move_receipts(opened, before, keep)
        return Pruned(
            remarks=moved["remarks"],
            attempts=moved["attempts"] + moved["failed_attempts"],
            polls=moved["polls"],
            orphans=moved["orphans"],
            looks=moved["looks"],
            receipts=receipts,
            is_compacted=database.compact(),
        )
    finally:
        opened.engine.dispose()


def _prunable_rows(before: datetime) -> Iterator[_PrunableRows]:
    """Yield the groups of rows in the order in which they can be moved: first those that refer to others."""
    is_settled = sa.and_(
        ATTEMPT.c.state.in_([state.value for state in _SETTLED]),
        sa.func.coalesce(ATTEMPT.c.completed_at, ATTEMPT.c.window_to, ATTEMPT.c.submitted_at, ATTEMPT.c.intent_at)
        < before,
        ATTEMPT.c.intent_at < before,
    )
    settled = sa.select(ATTEMPT.c.attempt_id).where(is_settled)
    is_older = (
        sa.exists()
        .where(NEWEST.c.fingerprint == ATTEMPT.c.fingerprint, NEWEST.c.attempt_no > ATTEMPT.c.attempt_no)
        .correlate(ATTEMPT)
    )
    has_remark = sa.exists().where(REMARK.c.attempt_id == ATTEMPT.c.attempt_id).correlate(ATTEMPT)
    has_clip = sa.exists().where(CLIP.c.attempt_id == ATTEMPT.c.attempt_id).correlate(ATTEMPT)
    yield _PrunableRows(
        "remarks",
        REMARK,
        sa.and_(REMARK.c.made_at < before, REMARK.c.attempt_id.in_(settled)),
        tuple(REMARK.c),
        functools.partial(_delete, REMARK),
    )
    bought_nothing = ATTEMPT.c.state.in_([state.value for state in _BOUGHT_NOTHING])
    yield _PrunableRows(
        "attempts",
        ATTEMPT,
        sa.and_(is_settled, is_older, bought_nothing, ATTEMPT.c.prediction_id.is_(None), ~has_clip, ~has_remark),
        tuple(ATTEMPT.c),
        _delete_attempts,
    )
    failed = ATTEMPT.c.state.in_([state.value for state in _FAILED])
    yield _PrunableRows(
        "failed_attempts",
        ATTEMPT,
        sa.and_(is_settled, is_older, failed, sa.func.coalesce(ATTEMPT.c.error, "") != REMOVED),
        tuple(ATTEMPT.c),
        _shorten,
    )
    has_details = sa.or_(ATTEMPT.c.nonce != "", ATTEMPT.c.candidates.is_not(None), ATTEMPT.c.absent_since.is_not(None))
    yield _PrunableRows("polls", ATTEMPT, sa.and_(is_settled, has_details), _DETAILS, _clear_details)
    yield _PrunableRows(
        "orphans", ORPHAN, ORPHAN.c.found_at < before, tuple(ORPHAN.c), functools.partial(_delete, ORPHAN)
    )
    is_used = sa.exists().where(ATTEMPT_LOOK.c.look_id == LOOK.c.look_id).correlate(LOOK)
    yield _PrunableRows(
        "looks", LOOK, sa.and_(LOOK.c.looked_at < before, ~is_used), tuple(LOOK.c), functools.partial(_delete, LOOK)
    )


_DETAILS = (
    *(ATTEMPT.c.attempt_id, ATTEMPT.c.fingerprint, ATTEMPT.c.attempt_no, ATTEMPT.c.run_id, ATTEMPT.c.nonce),
    *(ATTEMPT.c.polls, ATTEMPT.c.prediction_status, ATTEMPT.c.window_from, ATTEMPT.c.window_to),
    *(ATTEMPT.c.absent_since, ATTEMPT.c.candidates, ATTEMPT.c.settled_by),
)


def _move(engine: sa.Engine, group: _PrunableRows, keep: Keep, most_rows: int) -> int:
    """Move a group of rows, some at a time; return how many."""
    count, after = 0, None
    while True:
        wanted = sa.select(*group.columns).where(group.is_old).order_by(group.key).limit(most_rows)
        with engine.begin() as db:
            rows = db.execute(wanted if after is None else wanted.where(group.key > after)).all()
        if not rows:
            return count
        keys = [getattr(row, str(group.key.key)) for row in rows]
        keep(group.name, _as_table(group.schema, rows))
        for some in in_chunks(keys):
            with engine.begin() as db:  # a run that waits for its turn gets it in between
                group.take_out(db, sa.and_(group.key.in_(some), group.is_old))
        count, after = count + len(rows), keys[-1]


def _as_table(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.Table:
    arrays = [_as_array(column, of.type) for of, column in zip(schema, zip(*rows, strict=True), strict=True)]
    return pa.table(arrays, schema)


def _as_array(values: Sequence[Any], of: pa.DataType) -> pa.Array:
    return pa.array(values, pa.timestamp("us")).cast(of) if pa.types.is_timestamp(of) else pa.array(values, of)


def _delete(table: sa.Table, db: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    db.execute(table.delete().where(which))


def _delete_attempts(db: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    """Delete attempts, and which looks at stills they stood on."""
    ids = list(db.execute(sa.select(ATTEMPT.c.attempt_id).where(which)).scalars())
    for table in (ATTEMPT_LOOK, QUALITY):
        db.execute(table.delete().where(table.c.attempt_id.in_(ids)))
    db.execute(ATTEMPT.delete().where(ATTEMPT.c.attempt_id.in_(ids)))


def _shorten(db: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    """Remove the details of attempts; their price, and the prediction that must not be bound twice, stay."""
    db.execute(ATTEMPT.update().where(which).values(error=REMOVED, outputs=None, has_nsfw_contents=None, uploads=None))


def _clear_details(db: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    db.execute(ATTEMPT.update().where(which).values(nonce="", candidates=None, absent_since=None))


def _move_receipts(opened: Opened, before: datetime, keep: Keep) -> int:
    """Move replies of dead runs on this machine that the ledger no longer waits for; return how many."""
    elsewhere, count = opened.database.elsewhere(), 0
    try:
        for run_id, path in liveness.receipts_left_behind(opened.beside, elsewhere.is_alive).items():
            try:
                changed_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            except FileNotFoundError:  # another run has read it and cleaned up
                continue
            replies = read_receipts(path)
            if changed_at >= before or _is_open(opened.engine, run_id, replies):
                continue
            if replies:
                rows = [(run_id, each.attempt_id, each.nonce, each.http, each.body) for each in replies]
                keep("receipts", _as_table(_RECEIPT, rows))
            liveness.remove_run(opened.beside, run_id)
            count += len(replies)
    finally:
        elsewhere.close()
    return count


def _is_open(engine: sa.Engine, run_id: str, replies: Sequence[Receipt]) -> bool:
    """Tell if a reply may say something of a take that is not settled, or the run is still submitting."""
    settled = [state.value for state in _SETTLED]
    with engine.begin() as db:
        of_run = sa.select(sa.func.count()).select_from(ATTEMPT).where(ATTEMPT.c.run_id == run_id)
        if db.execute(of_run.where(ATTEMPT.c.state == State.SUBMITTING.value)).scalar_one():
            return True
        for some in in_chunks([each.attempt_id for each in replies]):
            found = sa.select(ATTEMPT.c.attempt_id).where(
                ATTEMPT.c.attempt_id.in_(some), ATTEMPT.c.state.not_in(settled)
            )
            if db.execute(found.limit(1)).first() is not None:
                return True
    return False
