"""Batches of clips that runs hand to media workers: which worker has each, and how far it is.

A batch is held by at most one run. Taking it is one UPDATE that names the row as it was read, so that of two workers
that read the same row one changes it and the other changes nothing. A holder writes every few seconds; moments are of
the ledger's clock. Whether a holder is alive is for the caller to say.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from time import monotonic
from typing import Any

import sqlalchemy as sa

from animatic.ledger.moments import now
from animatic.ledger.schema import MEDIA
from animatic.ledger.statements import in_chunks
from animatic.ledger.transactions import Transactions
from animatic.takes.media_batches import Backlog, BatchCounts, BatchState, BatchTake, MediaBatch

KEPT = timedelta(days=7)
"""Batches that were handed over longer ago are forgotten: what was done is in the rows of their clips."""


_OF_ORDER = ("batch_id", "run_id", "provider", "archive", "mark", "clip_name", "stills")
_WITHOUT_TAKES = tuple(column for column in MEDIA.c if column.name != "takes")


class MediaBatches:
    """The batches of a ledger. Each method is one transaction."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def hand_over(self, batch: MediaBatch) -> None:
        """Write down a new batch, and forget those of long ago."""

        def insert(db: sa.Connection) -> None:
            values: dict[str, Any] = {name: getattr(batch, name) for name in _OF_ORDER}
            moment = now()
            db.execute(MEDIA.delete().where(MEDIA.c.handed_at < moment - KEPT))
            takes, state = json.dumps([list(take) for take in batch.takes]), BatchState.WAITING.value
            db.execute(MEDIA.insert().values(**values, takes=takes, state=state, handed_at=moment))

        await self._transactions.do_alongside(0.0, insert)

    async def find(self, batch_id: str) -> MediaBatch | None:
        """Return a batch with its takes; None where there is none, or none any more."""

        def select(db: sa.Connection) -> MediaBatch | None:
            row = db.execute(sa.select(MEDIA).where(MEDIA.c.batch_id == batch_id)).first()
            if row is None:
                return None
            return replace(_batch(row, self._now(db)), takes=tuple(BatchTake(*each) for each in json.loads(row.takes)))

        return await self._transactions.do_alongside(0.0, select)

    async def backlog(self) -> Backlog:
        """Return the batches of all runs that wait or are worked on, the oldest first, without their takes."""

        def select(db: sa.Connection) -> Backlog:
            moment = self._now(db)
            is_open = MEDIA.c.state.in_([BatchState.WAITING.value, BatchState.TAKEN.value])
            rows = db.execute(sa.select(*_WITHOUT_TAKES).where(is_open).order_by(MEDIA.c.handed_at, MEDIA.c.batch_id))
            batches = [_batch(row, moment) for row in rows]
            run_ids = sorted({batch.run_id for batch in batches})
            latest = sa.select(MEDIA.c.run_id, sa.func.max(MEDIA.c.heard_at).label("heard_at")).group_by(MEDIA.c.run_id)
            served = [row for some in in_chunks(run_ids) for row in db.execute(latest.where(MEDIA.c.run_id.in_(some)))]
            seconds = {row.run_id: _since(row.heard_at, moment) for row in served}
            return Backlog(batches, {run_id: each for run_id, each in seconds.items() if each is not None})

        return await self._transactions.do_alongside(0.0, select)

    async def look_at(self, batch_ids: Sequence[str]) -> list[MediaBatch]:
        """Return batches without their takes."""

        def select(db: sa.Connection) -> list[MediaBatch]:
            moment = self._now(db)
            return [
                _batch(row, moment)
                for some in in_chunks(batch_ids)
                for row in db.execute(sa.select(*_WITHOUT_TAKES).where(MEDIA.c.batch_id.in_(some)))
            ]

        return await self._transactions.do_alongside(0.0, select)

    async def quiet_s(self, provider: str) -> float | None:
        """Return the time since a media worker of an account last wrote, of any run's batches; None where none did."""

        def select(db: sa.Connection) -> float | None:
            is_of_workers = sa.and_(MEDIA.c.provider == provider, MEDIA.c.holder != MEDIA.c.run_id)
            of_workers = sa.select(sa.func.max(MEDIA.c.heard_at)).where(is_of_workers)
            return _since(db.execute(of_workers.where(MEDIA.c.heard_at <= self._now(db))).scalar(), self._now(db))

        return await self._transactions.do_alongside(0.0, select)

    async def take(self, batch: MediaBatch, run_id: str) -> bool:
        """Let a run hold a batch, which is as it was read; False where another one was faster."""

        def update(db: sa.Connection) -> bool:
            values = {
                "state": BatchState.TAKEN.value,
                "holder": run_id,
                "heard_at": self._now(db),
                "times_taken": batch.times_taken + 1,
                "counts": "{}",
                "problem": None,
            }
            return db.execute(MEDIA.update().where(*_as_read(batch)).values(**values)).rowcount == 1

        return await self._transactions.do_alongside(0.0, update)

    async def give_back(self, batch: MediaBatch) -> bool:
        """Let a batch wait again whose holder is gone, or has gone silent; False where it is not as it was read."""
        values = {"state": BatchState.WAITING.value, "holder": None, "counts": "{}"}
        waits = MEDIA.update().where(*_as_read(batch)).values(**values)
        return await self._transactions.do_alongside(0.0, lambda db: db.execute(waits).rowcount == 1)

    async def note(self, batch_id: str, run_id: str, counts: BatchCounts) -> bool:
        """Write down how far a holder is; False where the batch is not its any more."""
        return await self._write(batch_id, run_id, counts=json.dumps(asdict(counts)))

    async def end(self, batch_id: str, run_id: str, state: BatchState, counts: BatchCounts, problem: str = "") -> bool:
        """Write down the end of a holder's work; False where the batch is not its any more."""
        values: dict[str, Any] = {} if state is BatchState.FAILED else {"takes": "[]"}
        values |= {"state": state.value, "counts": json.dumps(asdict(counts)), "problem": problem or None}
        return await self._write(batch_id, run_id, **values)

    async def _write(self, batch_id: str, run_id: str, **values: Any) -> bool:
        mine = (MEDIA.c.batch_id == batch_id, MEDIA.c.holder == run_id, MEDIA.c.state == BatchState.TAKEN.value)

        def update(db: sa.Connection) -> bool:
            return db.execute(MEDIA.update().where(*mine).values(heard_at=self._now(db), **values)).rowcount == 1

        return await self._transactions.do_alongside(0.0, update)

    def _now(self, db: sa.Connection) -> float:
        return self._transactions.database.now(db, monotonic)


def _as_read(batch: MediaBatch) -> Iterable[sa.ColumnElement[bool]]:
    holder = MEDIA.c.holder.is_(None) if batch.holder is None else MEDIA.c.holder == batch.holder
    state, times = MEDIA.c.state == batch.state.value, MEDIA.c.times_taken == batch.times_taken
    return MEDIA.c.batch_id == batch.batch_id, holder, state, times


def _since(heard_at: float | None, moment: float) -> float | None:
    """Return the time since a moment; one that lies ahead is from before this machine was started again."""
    if heard_at is None:
        return None
    return moment - heard_at if heard_at <= moment else float("inf")


def _batch(row: Any, moment: float) -> MediaBatch:
    return MediaBatch(
        *(getattr(row, name) for name in _OF_ORDER),
        state=BatchState(row.state),
        holder=row.holder,
        times_taken=row.times_taken,
        silent_s=_since(row.heard_at, moment),
        counts=BatchCounts(**json.loads(row.counts)),
        problem=row.problem or "",
    )
