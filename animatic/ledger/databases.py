"""The database that a ledger lies in: one face for a file of SQLite and for a PostgreSQL server.

The tables, the operations and their order are the same in both. What differs is here as `Database`: how it is reached,
how a lost connection is seen, whose clock counts, and how others see that a run is alive.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from animatic.ledger.outages import Outage

Clock = Callable[[], float]


class Elsewhere:
    """Runs on other machines, for a ledger that has none: locks on files say all there is to say."""

    @contextmanager
    def hold(self, run_id: str) -> Generator[None]:
        """Hold nothing."""
        del run_id
        yield

    def is_alive(self, run_id: str) -> bool:
        """Tell that no other machine carries a run out."""
        del run_id
        return False

    def may_live(self, run_ids: Sequence[str]) -> list[str]:
        """Return those of these runs that another machine may carry out."""
        del run_ids
        return []

    def live_among(self, run_ids: Sequence[str]) -> list[str]:
        """Return those of these runs that are carried out on any machine."""
        del run_ids
        return []

    def close(self) -> None:
        """Have nothing to close."""


class Database(ABC):
    """A database, named by a URL. It need not exist.

    Attributes:
        name: as messages show it, never with a password.
        url: as it was given.
    """

    BUSY_S: ClassVar[float] = 30.0
    """So long a transaction waits for its turn."""
    RECONNECTS_WITHIN_S: ClassVar[float] = 0.0
    """So long a transaction whose connection was lost is tried again."""

    url: str
    name: str
    place: Path
    """A path of the ledger's own on this machine: its file, or one that stands for it and does not exist."""

    @abstractmethod
    def require_ready(self) -> None:
        """Look at what can be looked at before it is opened, and make what it needs.

        Raises:
            SettingsError, LedgerUnusableError: no ledger can be kept there.
        """

    @abstractmethod
    def may_hold_ledger(self) -> bool:
        """Tell if there may be a ledger, without making anything; where there was one and is no more, raise."""

    @abstractmethod
    def engine(self) -> sa.Engine:
        """Return an engine, each of whose transactions sees all earlier ones and has the ledger to itself."""

    @abstractmethod
    def require_not_lost(self) -> None:
        """Refuse to go on where a ledger was and is no more.

        Raises:
            LedgerUnusableError: it is gone.
        """

    @abstractmethod
    def remember(self, ledger_id: str) -> None:
        """Write down on this machine which ledger lies there, or check that it is still the same.

        Raises:
            LedgerUnusableError: it is another one.
        """

    @abstractmethod
    def beside(self, ledger_id: str) -> Path:
        """Return the path beside which, under its name and `.runs`, this machine keeps locks and receipts."""

    @abstractmethod
    def is_alive(self, run_id: str) -> bool:
        """Tell if a process carries a run out now, here or on another machine; the ledger need not be open."""

    @abstractmethod
    def require_sound(self, db: sa.Connection) -> None:
        """Check the whole ledger before money depends on it.

        Raises:
            LedgerUnusableError: it is damaged.
        """

    @contextmanager
    def migrating(self, engine: sa.Engine) -> Generator[sa.Connection]:
        """Open a transaction in which tables may be made anew."""
        with engine.begin() as db:
            yield db

    @abstractmethod
    def is_busy(self, error: Exception) -> bool:
        """Tell if another process kept us out for all of `BUSY_S`."""

    def is_lost(self, error: Exception) -> bool:
        """Tell if a transaction ended, without effect, because its connection did: it may be tried again."""
        del error
        return False

    def is_away(self, error: Exception) -> bool:
        """Tell if the server does not answer now, and no setting of ours is at fault."""
        del error
        return False

    @abstractmethod
    def said(self, error: Exception) -> str:
        """Return a problem in words: the database's or the system's."""

    def compact(self) -> bool:
        """Give free room back to the disk, unless that would keep a run waiting; true where there is no more."""
        return True  # a server does that itself

    @abstractmethod
    def mark(self, db: sa.Connection) -> Any:
        """Return a mark by which this transaction is found after its commit; raise if the transaction was lost."""

    def note_commit(self, mark: Any) -> None:
        """Record that a transaction is committed."""
        del mark

    def has_committed(self, mark: Any, outage: Outage) -> bool:
        """Tell if a transaction whose commit raised an error is in the database all the same.

        Raises:
            LedgerUnusableError: that cannot be found out.
        """
        del mark, outage
        return False

    def now(self, db: sa.Connection, clock: Clock) -> float:
        """Return the seconds of a clock that never goes back, the same for all runs on the ledger.

        `clock` is that of this machine since it started.
        """
        del db  # it has no clock
        return clock()

    def elsewhere(self) -> Elsewhere:
        """Return how other machines see which runs are alive."""
        return Elsewhere()


def words_of(error: Exception, speaker: str) -> str:
    """Return a problem with the ledger in the words of the database or the system."""
    said = error.orig if isinstance(error, DBAPIError) else getattr(error, "strerror", None) or error
    lines = [line for line in str(said).strip().splitlines() if line]
    return f'{speaker} says "{lines[0] if lines else said}"'
