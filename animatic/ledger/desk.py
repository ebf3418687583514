"""The one door to an open ledger: operations from the event loop, committed in groups by one thread.

An operation's result is handed back only after the transaction that holds it is durable. Operations that wait at the
same time share a transaction, each in a savepoint of its own: one that fails does not take the others with it, while a
commit that fails fails them all.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from animatic.errors import LedgerUnusableError
from animatic.ledger.schema import open_engine

P = ParamSpec("P")
R = TypeVar("R")

LARGEST_GROUP = 500


@dataclass(slots=True)
class _Job:
    """An operation that waits for its transaction."""

    operation: Callable[[sa.Connection], Any]
    future: Future[Any]


class LedgerDesk:
    """An open ledger. `await desk.do(operation, *arguments)` runs one of `ledger.operations` durably."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="ledger", daemon=True)
        self._thread.start()

    async def do(self, operation: Callable[Concatenate[sa.Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one operation and return what it returned, once that is on disk.

        Raises:
            LedgerUnusableError: it could not be committed; nothing of it is in the ledger.
        """
        if not self._thread.is_alive():
            raise LedgerUnusableError(f"ledger {self._engine.url.database}: it has been closed")
        future: Future[R] = Future()
        self._jobs.put(_Job(lambda db: operation(db, *args, **kwargs), future))
        return await asyncio.shield(asyncio.wrap_future(future))

    @property
    def path(self) -> Path:
        """The ledger's file."""
        return Path(self._engine.url.database or "")

    def close(self) -> None:
        """Finish what is queued and close the file."""
        self._jobs.put(None)
        self._thread.join()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        """Take what is queued, group by group, until closed."""
        while (job := self._jobs.get()) is not None:
            group = [job]
            closing = False
            while len(group) < LARGEST_GROUP and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    closing = True
                    break
                group.append(following)
            self._commit(group)
            if closing:
                return

    def _commit(self, group: list[_Job]) -> None:
        """Run a group in one transaction and answer each job only when it is durable."""
        answers: list[tuple[_Job, Any, Exception | None]] = []
        try:
            with self._engine.begin() as db:
                answers.extend((job, *_attempt(db, job.operation)) for job in group)
                db.execute(sa.select(1))  # raises if the transaction was lost, which leaving the block would forgive
        except Exception as error:  # noqa: BLE001 - who waits here must hear of it, or waits for ever
            said = error.orig if isinstance(error, DBAPIError) else error
            problem = LedgerUnusableError(f'ledger {self._engine.url.database}: SQLite says "{said}"')
            answers = [(job, None, problem) for job in group]
        for job, result, error in answers:
            if error is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(error)


def _attempt(db: sa.Connection, operation: Callable[[sa.Connection], Any]) -> tuple[Any, Exception | None]:
    """Run one operation in a savepoint: its result, or why it failed. An unwell database ends the whole group."""
    try:
        with db.begin_nested():
            return operation(db), None
    except IntegrityError as error:
        return None, LedgerUnusableError(f'the ledger refused a change: "{error.orig}"')
    except DBAPIError:
        raise
    except Exception as error:  # noqa: BLE001 - handed to whoever asked, who knows what it means
        return None, error
