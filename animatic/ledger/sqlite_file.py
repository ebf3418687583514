"""A ledger in a file of SQLite, on a local disk: the default, for any number of processes on one machine."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from animatic.errors import LedgerUnusableError, SettingsError
from animatic.ledger import liveness, location
from animatic.ledger.databases import Database, words_of


class SqliteFile(Database):
    """A file."""

    def __init__(self, url: str) -> None:
        self.url, self.path = url, sqlite_path(url)
        self.name, self.place = str(self.path), self.path

    def require_ready(self) -> None:
        """Make an empty file that only its owner can read, where none is.

        Raises:
            SettingsError: it lies on a network file system.
            LedgerUnusableError: it was there and is gone, or cannot be opened.
        """
        path = self.path
        location.require_local(path)
        location.require_not_lost(path)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            with contextlib.suppress(FileExistsError):  # closing it would drop the locks of our other connections
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise LedgerUnusableError(
                f"ledger {path}: cannot be opened ({error.strerror}). Nothing was bought. "
                "Give ANIMATIC_LEDGER a path that can be written."
            ) from error

    def may_hold_ledger(self) -> bool:
        """Tell if the file exists."""
        location.require_not_lost(self.path)
        return self.path.exists()

    def engine(self) -> sa.Engine:
        """Return an engine whose commits are durable and whose transactions begin with the write lock."""
        where = sa.URL.create("sqlite", database=str(self.path))  # a path may hold ? and %
        engine = sa.create_engine(where, connect_args={"timeout": self.BUSY_S, "check_same_thread": False})
        event.listen(engine, "connect", _harden)
        event.listen(engine, "begin", _begin_immediate)
        return engine

    def require_not_lost(self) -> None:
        """Refuse a file that is gone, or empty."""
        location.require_not_lost(self.path)

    def remember(self, ledger_id: str) -> None:
        """Note the ledger's id in its runs folder."""
        location.remember(self.path, ledger_id)

    def beside(self, ledger_id: str) -> Path:
        """Return the file itself."""
        del ledger_id  # there is one ledger in a file
        return self.path

    def is_alive(self, run_id: str) -> bool:
        """Tell if a process on this machine holds the run's lock."""
        return liveness.is_alive(self.path, run_id)

    @contextlib.contextmanager
    def migrating(self, engine: sa.Engine) -> Generator[sa.Connection]:
        """Open a transaction without checks of foreign keys: what refers to what is checked at the end."""
        with engine.connect() as db:
            driver: Any = db.connection.driver_connection
            db.rollback()
            driver.execute("PRAGMA foreign_keys=OFF")
            try:
                with db.begin():
                    yield db
                    loose = db.exec_driver_sql("PRAGMA foreign_key_check").first()
                    if loose is not None:
                        raise LedgerUnusableError(
                            f"ledger {self.path}: a row of {loose[0]} refers to nothing, so it stays as it is. "
                            "Nothing was changed. Restore it from a backup."
                        )
            finally:
                driver.execute("PRAGMA foreign_keys=ON")

    def require_sound(self, db: sa.Connection) -> None:
        """Read the whole file, indexes included.

        Raises:
            LedgerUnusableError: it is damaged.
        """
        found = [str(line) for line in db.exec_driver_sql("PRAGMA integrity_check(3)").scalars()]
        loose = db.exec_driver_sql("PRAGMA foreign_key_check").first()
        if loose is not None:
            found = [f"a row of {loose[0]} refers to nothing"]
        if found != ["ok"]:
            said = "; ".join(found)
            raise LedgerUnusableError(
                f'ledger {self.path}: it is damaged, SQLite says "{said[:300]}". Nothing was bought. '
                "Restore it from a backup before running again: it is the only record of what was paid for."
            )

    def compact(self) -> bool:
        """Write the file anew without what is free in it, unless a run is under way or has just begun."""
        if liveness.any_alive(self.path):
            return False
        with contextlib.closing(sqlite3.connect(self.path, timeout=self.BUSY_S, isolation_level=None)) as file:
            file.execute("PRAGMA synchronous=EXTRA")
            try:
                file.execute("VACUUM")
            except sqlite3.OperationalError:  # or there is no room for the copy that this makes
                return False
        return True

    def mark(self, db: sa.Connection) -> None:
        """Look if SQLite has taken the transaction back, as it does by itself when a disk is full, say.

        Raises:
            LedgerUnusableError: it has.
        """
        driver: Any = db.connection.driver_connection
        if not driver.in_transaction:
            raise LedgerUnusableError(f"ledger {self.path}: SQLite took a transaction back")

    def is_busy(self, error: Exception) -> bool:
        """Tell if another process kept us out for all of `BUSY_S`."""
        return "database is locked" in str(getattr(error, "orig", error))

    def said(self, error: Exception) -> str:
        """Return a problem in SQLite's words; a lock that did not end, in ours."""
        if self.is_busy(error):
            return (
                f"another process has kept it locked for {self.BUSY_S:.0f} s, such as a run that was stopped (Ctrl-Z) "
                "while it wrote; let that go on, or end it"
            )
        return words_of(error, "SQLite")


def sqlite_path(url: str) -> Path:
    """Return the file behind a `sqlite:////…` URL; where that is a link, its target, because SQLite follows it too.

    Raises:
        SettingsError: any other URL, or a path that depends on the folder that a run starts in.
    """
    prefix = "sqlite:///"
    if not url.startswith(prefix) or not url[len(prefix) :] or url.endswith(":memory:"):
        shown = url.rsplit("@", maxsplit=1)[-1] if "@" in url else url
        raise SettingsError(
            f'ANIMATIC_LEDGER: found "{shown}"; allowed: sqlite:////PATH of a file on a local disk{_meant_by(url)}, '
            "or postgresql://USER@HOST/DATABASE of a server, for many machines"
        )
    try:
        path = Path(url[len(prefix) :]).expanduser()
    except RuntimeError:
        raise SettingsError(
            f'ANIMATIC_LEDGER: found "{url}", whose path begins at the home of a user who is not known here; allowed: '
            "an absolute path"
        ) from None
    if path == path.parent:
        raise SettingsError(f'ANIMATIC_LEDGER: found "{url}"; allowed: sqlite:////PATH of a file on a local disk')
    if not path.is_absolute():
        raise SettingsError(
            f'ANIMATIC_LEDGER: found "{url}", whose path depends on the folder that a run starts in: from another '
            f"folder it would be another ledger, and everything would be bought again. Allowed: an absolute path; "
            f"from here that is sqlite:///{path.absolute()}"
        )
    return path.resolve()


def _meant_by(url: str) -> str:
    """Name the absolute form of a path without the right scheme, if it is one."""
    text = url.removeprefix("sqlite:").lstrip("/") if url.startswith("sqlite:") else url
    is_path = text and "://" not in text and "@" not in text and ":memory:" not in text
    return f"; from here {text} is sqlite:///{Path(text).absolute()}" if is_path else ""


def _harden(connection: sqlite3.Connection, _record: Any) -> None:
    """Durable commits: a journal whose deletion is synced too. Never WAL: SQLite below 3.51.3 can corrupt it."""
    connection.isolation_level = None  # we begin transactions ourselves; see _begin_immediate
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("PRAGMA synchronous=EXTRA")
    connection.execute("PRAGMA fullfsync=ON")  # on macOS, where fsync leaves data in the drive's cache
    connection.execute("PRAGMA checkpoint_fullfsync=ON")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_immediate(db: sa.Connection) -> None:
    """Take the write lock at once, so that what a transaction has read is still so when it writes."""
    db.exec_driver_sql("BEGIN IMMEDIATE")
