"""The tables of the ledger, and how an engine for them is made. One schema for every database.

`take` says what is asked; it is written with the first intent. `attempt` holds each try to buy it. `run` holds who
tried, and how much that run has committed. `remark` keeps what contradicts an attempt's state instead of changing it,
`orphan` the predictions of the account that belong to no take. `starts`, `pace` and `places` keep the account's limits
for all runs together. Nothing here decides anything: the rules are in `animatic.takes`, `evidence` and `pacing`.
"""

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
from animatic.ledger.place import remember, require_local, require_not_lost
from animatic.takes import LIVE

SCHEMA_VERSION = 3
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
    sa.Column("nonce", sa.Text, nullable=False, server_default=""),  # of the intent; a receipt names it
    sa.Column("window_from", sa.DateTime),  # the API may have accepted it from here
    sa.Column("window_to", sa.DateTime),  # to here, by its own clock
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
    sa.Column("absent_since", sa.DateTime),  # end of the first complete scan of the list without it, by the API's clock
    sa.Column("candidates", sa.Text),  # JSON list of prediction ids that it may be; not null: held by reconciling
    sa.Column("settled_by", sa.Text),  # what an unknown attempt was settled by: receipt, inputs, window, operator
    sa.UniqueConstraint("fingerprint", "attempt_no"),
)

REMARK = sa.Table(
    "remark",
    METADATA,
    sa.Column("remark_id", sa.Integer, primary_key=True),
    sa.Column("attempt_id", sa.Integer, sa.ForeignKey("attempt.attempt_id"), nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("made_at", sa.DateTime, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

ORPHAN = sa.Table(
    "orphan",
    METADATA,
    sa.Column("prediction_id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime),
    sa.Column("found_at", sa.DateTime, nullable=False),
)

STARTS = sa.Table(
    "starts",
    METADATA,
    sa.Column("block_id", sa.Integer, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("starts", sa.Integer, nullable=False),
    sa.Column("until", sa.Float, nullable=False),  # they count until then; seconds of the machine's monotonic clock
    sa.Index("starts_by_provider", "provider", "until", "starts"),
)

PACE = sa.Table(
    "pace",
    METADATA,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("not_before", sa.Float, nullable=False),  # after a 429
    sa.Column("refusals", sa.Integer, nullable=False),  # 429s in a row
)

PLACES = sa.Table(
    "places",
    METADATA,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("held", sa.Integer, nullable=False),
    sa.Column("wanted", sa.Integer, nullable=False),
    sa.Column("asked_at", sa.Float, nullable=False),  # seconds of the machine's monotonic clock
)

_LIVE_SQL = sa.text("state IN (" + ", ".join(f"'{state}'" for state in sorted(LIVE)) + ")")
sa.Index("one_live", ATTEMPT.c.fingerprint, unique=True, sqlite_where=_LIVE_SQL, postgresql_where=_LIVE_SQL)
_UNCLEAR_SQL = sa.text("state IN ('held', 'submitting', 'unknown')")
sa.Index("unclear_now", ATTEMPT.c.state, ATTEMPT.c.run_id, sqlite_where=_UNCLEAR_SQL, postgresql_where=_UNCLEAR_SQL)

_ADDED_BY_2 = ("nonce", "window_from", "window_to", "absent_since", "candidates", "settled_by")


def sqlite_path(url: str) -> Path:
    """The file behind a `sqlite:///…` URL; where that is a link, what it points to, for SQLite follows it too.

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
    return Path(url[len(prefix) :]).expanduser().resolve()


def open_engine(url: str) -> sa.Engine:
    """An engine on a ledger with the current schema, made if it was never there, readable by its owner only.

    Raises:
        SettingsError: it lies on a network file system.
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
        with contextlib.suppress(FileExistsError):  # opened and closed, it would lose the locks of another desk of ours
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
            ledger_id = _bring_up_to_date(db, path)
        remember(path, ledger_id)
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
    """Whether somebody else kept us out for all of `BUSY_TIMEOUT_S`."""
    return "database is locked" in str(getattr(error, "orig", error))


def said_by(error: Exception) -> str:
    """What went wrong with the ledger, in the words of the database or the system."""
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


def _bring_up_to_date(db: sa.Connection, path: Path) -> str:
    """Make the tables, or add to them what an older version did not have; the ledger's own id.

    Looks before it makes anything: a newer ledger is left exactly as it is.
    """
    found = None
    if sa.inspect(db).has_table(META.name):
        found = db.execute(sa.select(META.c.value).where(META.c.name == "schema_version")).scalar()
    if found not in {None, "1", "2", str(SCHEMA_VERSION)}:
        raise LedgerVersionError(
            f"ledger {path}: found schema version {found}; this animatic knows {SCHEMA_VERSION}. "
            "Install the version that wrote it."
        )
    if found == str(SCHEMA_VERSION):  # it is there as a whole: it was made in one transaction
        return _ledger_id(db)
    if found == "1":
        db.exec_driver_sql("DROP INDEX IF EXISTS submitting_now")
        for name in _ADDED_BY_2:
            column = sa.schema.CreateColumn(ATTEMPT.c[name]).compile(db.engine)
            db.exec_driver_sql(f"ALTER TABLE attempt ADD COLUMN {column}")
    METADATA.create_all(db)
    for index in ATTEMPT.indexes:
        index.create(db, checkfirst=True)
    write = sa.text("INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING")
    db.execute(write, [{"name": "schema_version", "value": str(SCHEMA_VERSION)}])
    db.execute(write, [{"name": "ledger_id", "value": secrets.token_hex(16)}])
    db.execute(META.update().where(META.c.name == "schema_version").values(value=str(SCHEMA_VERSION)))
    return _ledger_id(db)


def _ledger_id(db: sa.Connection) -> str:
    return str(db.execute(sa.select(META.c.value).where(META.c.name == "ledger_id")).scalar())


def _harden_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    """Durable commits: a journal whose deletion is synced too. Never WAL: SQLite below 3.51.3 can corrupt it."""
    connection.isolation_level = None  # we begin transactions ourselves; see _begin_immediate
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("PRAGMA synchronous=EXTRA")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_immediate(db: sa.Connection) -> None:
    """Take the write lock at once, so that what a transaction has read is still so when it writes."""
    db.exec_driver_sql("BEGIN IMMEDIATE")
