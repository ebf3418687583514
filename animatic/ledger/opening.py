"""Opening of a ledger: its engine, its checks, and how it is made or brought up to date."""

import contextlib
import errno
import os
import secrets
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from animatic.errors import AnimaticError, LedgerUnusableError, LedgerVersionError, SettingsError
from animatic.ledger.location import (
    note_intents,
    noted_intents,
    remember,
    require_local,
    require_not_lost,
    require_not_restored,
)
from animatic.ledger.schema import ALEMBIC_VERSION, META, METADATA, REVISION, SCHEMA_VERSION

BUSY_TIMEOUT_S = 30


def sqlite_path(url: str) -> Path:
    """Return the file behind a `sqlite:////…` URL; where that is a link, its target, because SQLite follows it too.

    Raises:
        SettingsError: any other URL, or a path that depends on the folder that a run starts in.
    """
    prefix = "sqlite:///"
    if not url.startswith(prefix) or not url[len(prefix) :] or url.endswith(":memory:"):
        shown = url.rsplit("@", maxsplit=1)[-1] if "@" in url else url
        raise SettingsError(
            f'ANIMATIC_LEDGER: found "{shown}"; allowed: sqlite:////PATH of a file on a local disk{_meant_by(url)}. '
            "This version keeps its ledger in SQLite only."
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


def open_engine(url: str, *, may_be_restored: bool = False) -> sa.Engine:
    """Return an engine on a ledger with the current schema, made if it was never there, readable by its owner only.

    `may_be_restored` opens a ledger that is older than its runs folder too: for the commands that mend that.

    Raises:
        SettingsError: it lies on a network file system.
        LedgerRestoredError: it is older than its runs folder.
        LedgerUnusableError: the file can't be opened, is damaged, is not a ledger, or is gone.
        LedgerVersionError: a newer animatic wrote it.
    """
    path = sqlite_path(url)
    require_local(path)
    require_not_lost(path)
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
    where = sa.URL.create("sqlite", database=str(path))  # a path may hold ? and %
    engine = sa.create_engine(where, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})
    event.listen(engine, "connect", _harden_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    try:
        with engine.begin() as db:
            version = _version(db, path)
            if version is None:
                _make(db)
            ledger_id, intents = _identity(db) if version in {None, SCHEMA_VERSION} else ("", 0)
        if not ledger_id:
            _migrate(engine, path)
            with engine.begin() as db:
                ledger_id, intents = _identity(db)
        remember(path, ledger_id)
        if not may_be_restored:
            require_not_restored(path, intents)
            if noted_intents(path) < intents:
                note_intents(path, intents)
    except AnimaticError:
        engine.dispose()
        raise
    except (DBAPIError, OSError) as error:
        engine.dispose()
        advice = (
            " If the file is damaged, restore it from a backup before running again: it is the only record of what "
            "was paid for."
        )
        raise LedgerUnusableError(
            f"ledger {path}: {said_by(error)}. Nothing was bought.{'' if is_locked(error) else advice}"
        ) from None
    return engine


def is_locked(error: Exception) -> bool:
    """Tell if another process kept us out for all of `BUSY_TIMEOUT_S`."""
    return "database is locked" in str(getattr(error, "orig", error))


def said_by(error: Exception) -> str:
    """Return the problem with the ledger in the words of the database or the system."""
    said = error.orig if isinstance(error, DBAPIError) else getattr(error, "strerror", None) or error
    if is_locked(error):
        return (
            f"another process has kept it locked for {BUSY_TIMEOUT_S} s, such as a run that was stopped (Ctrl-Z) while "
            "it wrote; let that go on, or end it"
        )
    return f'SQLite says "{said}"'


def require_sound(db: sa.Connection) -> None:
    """Read the whole ledger, indexes included, before money depends on it.

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
            f'ledger {db.engine.url.database}: it is damaged, SQLite says "{said[:300]}". Nothing was bought. '
            "Restore it from a backup before running again: it is the only record of what was paid for."
        )


def _version(db: sa.Connection, path: Path) -> int | None:
    """Return the schema version of a ledger; None where nothing is there yet.

    It looks before anything is made: a newer ledger is left exactly as it is.
    """
    if not sa.inspect(db).has_table(META.name):
        return None
    found = db.execute(sa.select(META.c.value).where(META.c.name == "schema_version")).scalar()
    if found is None:
        return None
    if found not in {str(version) for version in range(1, SCHEMA_VERSION + 1)}:
        raise LedgerVersionError(
            f"ledger {path}: found schema version {found}; this animatic knows {SCHEMA_VERSION}. "
            "Install the version that wrote it."
        )
    return int(found)


def _make(db: sa.Connection) -> None:
    """Make all tables of a new ledger, as the migrations would leave them; a test holds the two together."""
    METADATA.create_all(db)
    db.execute(ALEMBIC_VERSION.insert().values(version_num=REVISION))
    values = {"schema_version": str(SCHEMA_VERSION), "ledger_id": secrets.token_hex(16), "intents": "0"}
    db.execute(META.insert(), [{"name": name, "value": value} for name, value in values.items()])


def _migrate(engine: sa.Engine, path: Path) -> None:
    """Bring an older ledger up to date, whole or not at all."""
    from animatic.ledger import migrate  # noqa: PLC0415 - Alembic, which a ledger of today need not wait for

    with engine.connect() as db:
        driver: Any = db.connection.driver_connection
        db.rollback()
        driver.execute("PRAGMA foreign_keys=OFF")  # tables are made anew; what refers to what is checked at the end
        try:
            with db.begin():
                version = _version(db, path)  # another process may have been faster
                if version is not None and version < SCHEMA_VERSION:
                    migrate.upgrade(db, version)
                    loose = db.exec_driver_sql("PRAGMA foreign_key_check").first()
                    if loose is not None:
                        raise LedgerUnusableError(
                            f"ledger {path}: a row of {loose[0]} refers to nothing, so it stays as it is. "
                            "Nothing was changed. Restore it from a backup."
                        )
        finally:
            driver.execute("PRAGMA foreign_keys=ON")


def _identity(db: sa.Connection) -> tuple[str, int]:
    """Return the ledger's own id, and how many intents it holds."""
    found = {row.name: row.value for row in db.execute(sa.select(META))}
    return str(found["ledger_id"]), int(found["intents"])


def _harden_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
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
