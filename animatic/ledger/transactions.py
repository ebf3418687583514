"""Transactions of an open ledger: operations from the event loop, committed in groups by one thread.

An operation's result is handed back only after the transaction that holds it is durable. Operations that wait at the
same time share a transaction, and those of one sort share statements (`ledger.bulk`). One that fails does not take the
others with it: the group is then done again, each in a savepoint of its own. A commit that fails fails them all.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from animatic.errors import AnimaticError, LedgerAwayError, LedgerUnusableError
from animatic.ledger.batching import Answer, BatchWorker
from animatic.ledger.bulk import IN_BULK
from animatic.ledger.opening import Opened
from animatic.ledger.outages import Outage, Patience

P = ParamSpec("P")
R = TypeVar("R")

LARGEST_GROUP = 500


class Operation(NamedTuple):
    """A function of a connection, and its arguments.

    Attributes:
        takes_turn: what it has read must still be so when it writes, whatever others write in between.
    """

    run: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    takes_turn: bool = True

    def __call__(self, db: sa.Connection) -> Any:
        """Run it."""
        return self.run(db, *self.args, **self.kwargs)


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
        self.patience = Patience(self.database.RECONNECTS_WITHIN_S)

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
            LedgerUnusableError: it could not be committed; nothing of it is in the ledger. LedgerAwayError is one: its
                server did not answer for minutes.
        """
        return await self._ask(within_s, Operation(operation, args, kwargs))

    async def do_alongside(
        self,
        within_s: float,
        operation: Callable[Concatenate[sa.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run one operation as `do` does, but without a turn where the database knows turns.

        For what no decision about money is made from, and what stays right while others write: a read, or writes of
        rows that are found by their keys.
        """
        return await self._ask(within_s, Operation(operation, args, kwargs, takes_turn=False))

    async def _ask(self, within_s: float, operation: Operation) -> Any:
        if not self._worker.is_open:
            raise LedgerUnusableError(f"ledger {self.database.name}: it has been closed")
        return await self._worker.ask(operation, within_s if self._waits_for_company else 0.0)

    def close(self) -> None:
        """Finish what is queued and close the database."""
        self.patience.close(time.monotonic())
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
        outage = Outage(self.patience)
        while True:
            try:
                answers = self._at_once_or_one_by_one(group, outage)
            except AnimaticError as error:
                return [Answer(error=error)] * len(group)
            except Exception as error:  # noqa: BLE001 - who waits here must hear of it, or waits for ever
                said = f"ledger {self.database.name}: {self.database.said(error)}"
                if self.database.is_lost(error) and outage.waits(said):
                    continue
                unusable = LedgerAwayError if self.database.is_away(error) else LedgerUnusableError
                return [Answer(error=unusable(said))] * len(group)
            else:
                outage.ended(self.database.name)
                return answers

    def _at_once_or_one_by_one(self, group: Sequence[Operation], outage: Outage) -> list[Answer]:
        try:
            return self._in_one_transaction(group, _outright, outage)
        except _OneFailedError:
            return self._in_one_transaction(group, _one_by_one, outage)

    def _in_one_transaction(
        self,
        group: Sequence[Operation],
        attempt: Callable[[sa.Connection, Sequence[Operation]], list[Answer]],
        outage: Outage,
    ) -> list[Answer]:
        answers, mark, is_committing = list[Answer](), None, False
        try:
            takes_turn = any(operation.takes_turn for operation in group)
            with self.engine.connect().execution_options(takes_turn=takes_turn) as db, db.begin():
                answers = attempt(db, group)
                mark = self.database.mark(db)  # raises if the transaction was lost, which a commit would forgive
                is_committing = True
        except DBAPIError:
            if not (is_committing and self.database.has_committed(mark, outage)):
                raise
        self.database.note_commit(mark)
        return answers


def _outright(db: sa.Connection, group: Sequence[Operation]) -> list[Answer]:
    """Run a group without savepoints, which cost more than most operations; it nearly always succeeds.

    Operations that can share statements run together. That may change their order, which means nothing: all of a group
    were asked for at the same time.
    """
    answers: list[Any] = [None] * len(group)
    together: dict[Callable[..., Any], list[int]] = {}

    def run_together() -> None:
        for run, places in together.items():
            results = IN_BULK[run](db, [group[at].args for at in places])
            for at, result in zip(places, results, strict=True):
                answers[at] = Answer(result)
        together.clear()

    try:
        for at, operation in enumerate(group):
            if operation.run in IN_BULK and not operation.kwargs:
                together.setdefault(operation.run, []).append(at)
            else:
                run_together()
                answers[at] = Answer(operation(db))
        run_together()
    except Exception as error:
        raise _OneFailedError from error
    return answers


def _one_by_one(db: sa.Connection, group: Sequence[Operation]) -> list[Answer]:
    return [_in_savepoint(db, operation) for operation in group]


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
