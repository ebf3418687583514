"""Opening of a ledger: its checks, and how it is made or brought up to date."""

import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from animatic.errors import (
    AnimaticError,
    FixInputError,
    LedgerAwayError,
    LedgerClosedError,
    LedgerUnusableError,
    LedgerVersionError,
)
from animatic.ledger.databases import Database
from animatic.ledger.location import note_intents, noted_intents, require_not_restored
from animatic.ledger.schema import ALEMBIC_VERSION, META, METADATA, REVISION, SCHEMA_VERSION
from animatic.ledger.sqlite_file import SqliteFile

R = TypeVar("R")

MOVED_TO = "moved_to"
"""Name in `meta` of the ledger that goes on instead of this one."""
COPY_OF = "copy_of"
"""Name in `meta` of the ledger that this is a copy of, while it is not whole."""
POSTGRESQL = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class Opened:
    """A database with a ledger of the current schema in it.

    Attributes:
        ledger_id: the ledger's own.
        beside: this machine keeps the locks and receipts of its runs beside this path.
    """

    database: Database
    engine: sa.Engine
    ledger_id: str
    beside: Path


def find_database(url: str) -> Database:
    """Return the database behind a ledger's URL; it need not exist.

    Raises:
        SettingsError: the URL is none of a ledger.
    """
    if url.startswith(POSTGRESQL):
        from animatic.ledger.postgres_server import PostgresServer  # noqa: PLC0415 - its driver takes 0.1 s

        return PostgresServer(url)
    return SqliteFile(url)


def open_database(database: Database, *, may_be_restored: bool = False, may_be_closed: bool = False) -> Opened:
    """Open a ledger with the current schema, made if it was never there, readable by its owner only.

    `may_be_restored` opens a ledger that is older than its runs folder too: for the commands that mend that.
    `may_be_closed` opens one that was copied elsewhere, or a copy that is not whole: for the command that copies.

    Raises:
        SettingsError: no ledger can be kept there.
        LedgerClosedError: it was copied to another database, or is a copy that is not whole.
        LedgerRestoredError: it is older than its runs folder.
        LedgerUnusableError: it can't be opened, is damaged, is not a ledger, or is gone.
        LedgerAwayError: its server does not answer.
        LedgerVersionError: a newer animatic wrote it.
    """
    database.require_ready()
    engine = database.engine()
    try:
        with engine.begin() as db:
            version = _version(db, database.name)
            if version is None:
                database.require_not_lost()
                make(db)
            is_current = version in {None, SCHEMA_VERSION}
            ledger_id, intents = _identity(db, database.name, may_be_closed=may_be_closed) if is_current else ("", 0)
        if not is_current:
            _migrate(engine, database)
            with engine.begin() as db:
                ledger_id, intents = _identity(db, database.name, may_be_closed=may_be_closed)
        database.remember(ledger_id)
        beside = database.beside(ledger_id)
        if not may_be_restored:
            require_not_restored(beside, intents, database.name)
            if noted_intents(beside) < intents:
                note_intents(beside, intents)
    except AnimaticError:
        engine.dispose()
        raise
    except (DBAPIError, OSError) as error:
        engine.dispose()
        advice = (
            " If the file is damaged, restore it from a backup before running again: it is the only record of what "
            "was paid for."
        )
        is_of_file = isinstance(database, SqliteFile) and not database.is_busy(error)
        unusable = LedgerAwayError if database.is_away(error) else LedgerUnusableError
        raise unusable(
            f"ledger {database.name}: {database.said(error)}. Nothing was bought.{advice if is_of_file else ''}"
        ) from None
    return Opened(database, engine, ledger_id, beside)


def read_only(database: Database, look: Callable[[sa.Connection], R]) -> R:
    """Look at a ledger of the current schema in one transaction, which leaves it and this machine as they were.

    Raises:
        FixInputError: it is of another version, or no ledger.
        LedgerUnusableError: it cannot be read.
    """
    engine = database.engine()
    try:
        with looking_on(engine) as db:
            version = _version(db, database.name)
            if version != SCHEMA_VERSION:
                raise FixInputError(
                    f"ledger {database.name}: found {'no ledger' if version is None else f'schema version {version}'}; "
                    f"allowed: {SCHEMA_VERSION}, to which the next command on it brings an older one"
                )
            found = look(db)
    except (DBAPIError, OSError) as error:
        raise LedgerUnusableError(f"ledger {database.name}: {database.said(error)}; restore a backup") from None
    finally:
        engine.dispose()
    return found


@contextmanager
def looking_on(engine: sa.Engine) -> Generator[sa.Connection]:
    """Open a transaction that changes nothing, sees the ledger as it was at one moment, and takes no turn."""
    with engine.connect().execution_options(looks_on=True) as db, db.begin() as transaction:
        yield db
        transaction.rollback()


def answer(db: sa.Connection) -> None:
    """Read a row, so that its reader knows that the ledger can be reached."""
    db.execute(sa.select(META.c.name).limit(1)).first()


def meta_value(db: sa.Connection, name: str) -> str | None:
    """Return what `meta` says under a name; None where it says nothing."""
    return db.execute(sa.select(META.c.value).where(META.c.name == name)).scalar()


def _version(db: sa.Connection, name: str) -> int | None:
    """Return the schema version of a ledger; None where nothing is there yet.

    It looks before anything is made: a newer ledger is left exactly as it is.
    """
    if not sa.inspect(db).has_table(META.name):
        return None
    found = meta_value(db, "schema_version")
    if found is None:
        return None
    if found not in {str(version) for version in range(1, SCHEMA_VERSION + 1)}:
        raise LedgerVersionError(
            f"ledger {name}: found schema version {found}; this animatic knows {SCHEMA_VERSION}. "
            "Install the version that wrote it."
        )
    return int(found)


def make(db: sa.Connection) -> None:
    """Make all tables of a new ledger, as the migrations would leave them; a test holds the two together."""
    METADATA.create_all(db)
    db.execute(ALEMBIC_VERSION.insert().values(version_num=REVISION))
    values = {"schema_version": str(SCHEMA_VERSION), "ledger_id": secrets.token_hex(16), "intents": "0"}
    db.execute(META.insert(), [{"name": name, "value": value} for name, value in values.items()])


def _migrate(engine: sa.Engine, database: Database) -> None:
    """Bring an older ledger up to date, whole or not at all."""
    from animatic.ledger import migrate  # noqa: PLC0415 - Alembic, which a ledger of today need not wait for

    with database.migrating(engine) as db:
        version = _version(db, database.name)  # another process may have been faster
        if version is not None and version < SCHEMA_VERSION:
            migrate.upgrade(db, version)


def require_open(db: sa.Connection, name: str) -> None:
    """Refuse a ledger that another one has taken the place of, and one that is not whole yet."""
    found = {row.name: row.value for row in db.execute(sa.select(META).where(META.c.name.in_([MOVED_TO, COPY_OF])))}
    if COPY_OF in found:
        raise LedgerClosedError(
            f"ledger {name}: it is a copy of {found[COPY_OF]} that is not whole. Nothing was bought. Copy again, from "
            "there to here, with: animatic ledger copy FROM TO"
        )
    if MOVED_TO in found:
        raise LedgerClosedError(
            f"ledger {name}: it was copied to {found[MOVED_TO]}, which goes on in its place. Nothing was bought. Set "
            "ANIMATIC_LEDGER to that one"
        )


def _identity(db: sa.Connection, name: str, *, may_be_closed: bool) -> tuple[str, int]:
    """Return the ledger's own id, and how many intents it holds; refuse one that is closed, unless it may be."""
    if not may_be_closed:
        require_open(db, name)
    found = {row.name: row.value for row in db.execute(sa.select(META))}
    return str(found["ledger_id"]), int(found["intents"])
