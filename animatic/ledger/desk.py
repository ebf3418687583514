"""The one door to an open ledger: operations from the event loop, committed in groups by one thread.

An operation's result is handed back only after the transaction that holds it is durable. Operations that wait at the
same time share a transaction. One that fails does not take the others with it: the group is then done again, each in a
savepoint of its own. A commit that fails fails them all.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from animatic.errors import LedgerUnusableError
from animatic.ledger.batching import Answer, BatchWorker
from animatic.ledger.opening import open_engine, said_by

P = ParamSpec("P")
R = TypeVar("R")

LARGEST_GROUP = 500

_STILL_THERE = sa.select(1)

Operation = Callable[[sa.Connection], Any]


class _OneFailedError(Exception):
    """An operation of a group raised; nothing of the group is in the ledger yet."""


class Ledger:
    """An open ledger. `await desk.do(operation, *arguments)` runs one of `ledger.operations` durably.

    Args:
        url: of the ledger.
        waits_for_company: whether `do_within` waits at all; a process with one take to see through has no use for it.
        may_be_restored: open a ledger that is older than its runs folder too.
    """

    def __init__(self, url: str, *, waits_for_company: bool = True, may_be_restored: bool = False) -> None:
        self._engine = open_engine(url, may_be_restored=may_be_restored)
        self._waits_for_company = waits_for_company
        self._clerk: BatchWorker[Operation] = BatchWorker("ledger", self._commit, LARGEST_GROUP)

    async def do(self, operation: Callable[Concatenate[sa.Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one operation and return what it returned, once that is on disk.

        It may be run twice, the first time without effect: it must change nothing but the ledger.

        Raises:
            LedgerUnusableError: it could not be committed; nothing of it is in the ledger.
        """
        return await self.do_within(0.0, operation, *args, **kwargs)

    async def do_within(
        self,
        seconds: float,
        operation: Callable[Concatenate[sa.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Do the same, but wait up to `seconds` so that other operations can share the commit."""
        if not self._clerk.is_open:
            raise LedgerUnusableError(f"ledger {self._engine.url.database}: it has been closed")
        within_s = seconds if self._waits_for_company else 0.0
        return await self._clerk.ask(lambda db: operation(db, *args, **kwargs), within_s)

    @property
    def path(self) -> Path:
        """The ledger's file."""
        return Path(self._engine.url.database or "")

    def close(self) -> None:
        """Finish what is queued and close the file."""
        self._clerk.close()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _commit(self, group: Sequence[Operation]) -> list[Answer]:
        """Run a group in one transaction; return the result of each once it is durable."""
        try:
            try:
                return self._in_one_transaction(group, _outright)
            except _OneFailedError:
                return self._in_one_transaction(group, _in_savepoint)
        except Exception as error:  # noqa: BLE001 - who waits here must hear of it, or waits for ever
            problem = LedgerUnusableError(f"ledger {self._engine.url.database}: {said_by(error)}")
            return [Answer(error=problem)] * len(group)

    def _in_one_transaction(
        self, group: Sequence[Operation], attempt: Callable[[sa.Connection, Operation], Answer]
    ) -> list[Answer]:
        with self._engine.begin() as db:
            answers = [attempt(db, operation) for operation in group]
            db.execute(_STILL_THERE)  # raises if the transaction was lost, which leaving the block would forgive
        return answers


def _outright(db: sa.Connection, operation: Operation) -> Answer:
    """Run one operation as if all of the group will go well, as nearly all do: a savepoint costs more than most."""
    try:
        return Answer(operation(db))
    except Exception as error:
        raise _OneFailedError from error


def _in_savepoint(db: sa.Connection, operation: Operation) -> Answer:
    """Run one operation so that it can be taken back alone. An unwell database ends the whole group."""
    try:
        with db.begin_nested():
            return Answer(operation(db))
    except (IntegrityError, sqlite3.IntegrityError) as error:
        said = getattr(error, "orig", error)
        return Answer(error=LedgerUnusableError(f'the ledger refused a change: "{said}"'))
    except (DBAPIError, sqlite3.Error):
        raise
    except Exception as error:  # noqa: BLE001 - handed to the caller, which knows what it means
        return Answer(error=error)
