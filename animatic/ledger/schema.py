"""The tables of the ledger, and how an engine for them is made. One schema for every database.

`take` says what is asked; it is written with the first intent. `attempt` holds each try to buy it. `run` holds who
tried, and how much that run has committed. Nothing here decides anything: the rules are in `animatic.takes`.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from animatic.errors import LedgerUnusableError, LedgerVersionError, SettingsError
from animatic.takes import LIVE

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 30

METADATA = sa.MetaData()

META = sa.Table(
    "meta",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

RUN = sa.Table(
    "run",
    METADATA,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("committed_usd", sa.Float, nullable=False, server_default="0"),
)

TAKE = sa.Table(
    "take",
    METADATA,
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("duration", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),  # canonical JSON of what was asked
)

ATTEMPT = sa.Table(
    "attempt",
    METADATA,
    sa.Column("attempt_id", sa.Integer, primary_key=True),
    sa.Column("fingerprint", sa.Text, sa.ForeignKey("take.fingerprint"), nullable=False),
    sa.Column("attempt_no", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, sa.ForeignKey("run.run_id"), nullable=False),
    sa.Column("allowed_by", sa.Text, nullable=False),
    sa.Column("image_url", sa.Text, nullable=False),  # as sent
    sa.Column("cost_usd", sa.Float),  # null where no price could be had
    sa.Column("intent_at", sa.DateTime, nullable=False),
    sa.Column("submitted_at", sa.DateTime),
    sa.Column("completed_at", sa.DateTime),
    sa.Column("created_at", sa.DateTime),
    sa.Column("prediction_id", sa.Text, unique=True),
    sa.Column("prediction_status", sa.Text),
    sa.Column("outputs", sa.Text),  # JSON
    sa.Column("has_nsfw_contents", sa.Text),  # JSON
    sa.Column("inference_ms", sa.BigInteger),
    sa.Column("error_code", sa.BigInteger),
    sa.Column("error", sa.Text),
    sa.Column("polls", sa.Integer, nullable=False, server_default="0"),
    sa.UniqueConstraint("fingerprint", "attempt_no"),
)

_LIVE_SQL = sa.text("state IN (" + ", ".join(f"'{state}'" for state in sorted(LIVE)) + ")")
sa.Index("one_live", ATTEMPT.c.fingerprint, unique=True, sqlite_where=_LIVE_SQL, postgresql_where=_LIVE_SQL)
sa.Index(
    "submitting_now",
    ATTEMPT.c.run_id,
    sqlite_where=sa.text("state = 'submitting'"),
    postgresql_where=sa.text("state = 'submitting'"),
)


def sqlite_path(url: str) -> Path:
    """The file behind a `sqlite:///…` URL.

    Raises:
        SettingsError: any other URL.
    """
    prefix = "sqlite:///"
    if not url.startswith(prefix) or not url[len(prefix) :] or url.endswith(":memory:"):
        shown = url.rsplit("@", maxsplit=1)[-1] if "@" in url else url
        raise SettingsError(
            f'ANIMATIC_LEDGER: found "{shown}"; allowed: sqlite:///PATH of a file on a local disk. '
            "This version keeps its ledger in SQLite only."
        )
    return Path(url[len(prefix) :]).expanduser()


def open_engine(url: str) -> sa.Engine:
    """An engine on a ledger with the current schema, made if it is not there yet, readable by its owner only.

    Raises:
        LedgerUnusableError: the file can't be opened, or is not a ledger.
        LedgerVersionError: a newer animatic wrote it.
    """
    path = sqlite_path(url)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
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
            _refuse_other_versions(db, path)
            METADATA.create_all(db)
            db.execute(
                sa.text("INSERT INTO meta (name, value) VALUES ('schema_version', :v) ON CONFLICT (name) DO NOTHING"),
                {"v": str(SCHEMA_VERSION)},
            )
    except LedgerVersionError:
        engine.dispose()
        raise
    except DBAPIError as error:
        engine.dispose()
        raise LedgerUnusableError(
            f'ledger {path}: SQLite says "{error.orig}". Nothing was bought. If the file is damaged, restore it from a '
            "backup before running again: it is the only record of what was paid for."
        ) from None
    return engine


def _refuse_other_versions(db: sa.Connection, path: Path) -> None:
    """Look before anything is made: a newer ledger is left exactly as it is."""
    if not sa.inspect(db).has_table(META.name):
        return
    found = db.execute(sa.select(META.c.value).where(META.c.name == "schema_version")).scalar()
    if found not in {None, str(SCHEMA_VERSION)}:
        raise LedgerVersionError(
            f"ledger {path}: found schema version {found}; this animatic knows {SCHEMA_VERSION}. "
            "Install the version that wrote it."
        )


def _harden_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    """Durable commits: a journal whose deletion is synced too. Never WAL: SQLite below 3.51.3 can corrupt it."""
    connection.isolation_level = None  # we begin transactions ourselves; see _begin_immediate
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("PRAGMA synchronous=EXTRA")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_immediate(db: sa.Connection) -> None:
    """Take the write lock at once, so that what a transaction has read is still so when it writes."""
    db.exec_driver_sql("BEGIN IMMEDIATE")
