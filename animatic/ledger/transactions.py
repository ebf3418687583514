"""Transactions of an open ledger: operations from the event loop, committed in groups by one thread.

An operation's result is handed back only after the transaction that holds it is durable. Operations that wait at the
same time share a transaction. One that fails does not take the others with it: the group is then done again, each in a
savepoint of its own. A commit that fails fails them all.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from animatic.errors import AnimaticError, LedgerUnusableError
from animatic.ledger.batching import Answer, BatchWorker
from animatic.ledger.opening import Opened

P = ParamSpec("P")
R = TypeVar("R")

LARGEST_GROUP = 500
RECONNECT_PAUSES_S = (0.1, 2.0)
"""Pauses between attempts to reach a database that is away: the first, doubled each time, and the longest."""

Operation = Callable[[sa.Connection], Any]


class _OneFailedError(Exception):
    """An operation of a group raised; nothing of the group is in the ledger yet."""


class Transactions:
    """Transactions of one database.

    Args:
        waits_for_company: `do` waits for `within_s` at all; a process with one take to see through has no use for it.
    """

    reports: Callable[[float, bool], None] | None = None
    """Gets the seconds of each transaction, and False where nothing of it was committed; in the thread that did it."""

    def __init__(self, opened: Opened, *, waits_for_company: bool = True) -> None:
        self._use(opened)
        self._waits_for_company = waits_for_company
        self._worker: BatchWorker[Operation] = BatchWorker("ledger", self._commit_timed, LARGEST_GROUP)

    def _use(self, opened: Opened) -> None:
        self.opened, self.database, self.engine = opened, opened.database, opened.engine

    async def do(
        self,
        within_s: float,
        operation: Callable[Concatenate[sa.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run one operation and return what it returned, once that is on disk.

        It waits up to `within_s`, so that other operations can share the commit. It may be run twice, the first time
        without effect: it must change nothing but the ledger.

        Raises:
            LedgerUnusableError: it could not be committed; nothing of it is in the ledger.
        """
        if not self._worker.is_open:
            raise LedgerUnusableError(f"ledger {self.database.name}: it has been closed")
        waits_s = within_s if self._waits_for_company else 0.0
        return await self._worker.ask(lambda db: operation(db, *args, **kwargs), waits_s)

    def close(self) -> None:
        """Finish what is queued and close the database."""
        self._worker.close()
        self.engine.dispose()

    def _commit_timed(self, group: Sequence[Operation]) -> list[Answer]:
        began_s = time.monotonic()
        answers = self._commit(group)
        if self.reports is not None:
            is_done = not all(isinstance(answer.error, LedgerUnusableError) for answer in answers)
            self.reports(time.monotonic() - began_s, is_done)
        return answers

    def _commit(self, group: Sequence[Operation]) -> list[Answer]:
        """Run a group in one transaction; return the result of each once it is durable.

        Where the connection is lost before the commit, or a commit turns out to have had no effect, it is run again.
        """
        until = time.monotonic() + self.database.RECONNECTS_WITHIN_S
        pause_s, longest_s = RECONNECT_PAUSES_S
        while True:
            try:
                return self._at_once_or_one_by_one(group)
            except AnimaticError as error:
                return [Answer(error=error)] * len(group)
            except Exception as error:  # noqa: BLE001 - who waits here must hear of it, or waits for ever
                if self.database.is_lost(error) and time.monotonic() < until:
                    time.sleep(pause_s)
                    pause_s = min(2 * pause_s, longest_s)
                    continue
                problem = LedgerUnusableError(f"ledger {self.database.name}: {self.database.said(error)}")
                return [Answer(error=problem)] * len(group)

    def _at_once_or_one_by_one(self, group: Sequence[Operation]) -> list[Answer]:
        try:
            return self._in_one_transaction(group, _outright)
        except _OneFailedError:
            return self._in_one_transaction(group, _in_savepoint)

    def _in_one_transaction(
        self, group: Sequence[Operation], attempt: Callable[[sa.Connection, Operation], Answer]
    ) -> list[Answer]:
        answers, mark, is_committing = list[Answer](), None, False
        try:
            with self.engine.begin() as db:
                answers = [attempt(db, operation) for operation in group]
                mark = self.database.mark(db)  # raises if the transaction was lost, which a commit would forgive
                is_committing = True
        except DBAPIError:
            if not (is_committing and self.database.has_committed(mark)):
                raise
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
    except IntegrityError as error:
        said = error.orig
        return Answer(error=LedgerUnusableError(f'the ledger refused a change: "{said}"'))
    except DBAPIError:
        raise
    except Exception as error:  # noqa: BLE001 - handed to the caller, which knows what it means
        return Answer(error=error)
