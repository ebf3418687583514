"""The tables of the ledger, and how an engine for them is made. One schema for every database.

`take` says what is asked; it is written with the first intent. `attempt` holds each try to buy it. `run` holds who
tried, and how much that run has reserved. `alias` leads from a fingerprint of before to the take that it is now.
`remark` keeps what contradicts an attempt's state instead of changing it, `orphan` the predictions of the account that
belong to no take. `manifest` and `planned` hold which shots asked for which takes, `upload` where stills were uploaded.
`starts`, `pace` and `places` keep the account's limits for all runs together. Nothing here decides anything: the rules
are in `animatic.takes.states`, `evidence` and `pacing`. Older ledgers are brought up to date by `ledger.migrations`.
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
from animatic.ledger.location import (
    note_intents,
    noted_intents,
    remember,
    require_local,
    require_not_lost,
    require_not_restored,
)
from animatic.takes.states import LIVE

SCHEMA_VERSION = 4
REVISION = "0004"
"""Alembic's name for the newest schema; `meta` says the version too, for versions from before there were revisions."""

BUSY_TIMEOUT_S = 30

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

META = sa.Table(
    "meta",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

ALEMBIC_VERSION = sa.Table(
    "alembic_version",
    METADATA,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),  # as Alembic itself names it
)

RUN = sa.Table(
    "run",
    METADATA,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("run_no", sa.Integer, nullable=False, unique=True),  # in the order in which runs began
    sa.Column("manifest", sa.Text, nullable=False),  # absolute URI
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("committed_microusd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("unpriced", sa.Integer, nullable=False, server_default="0"),  # submissions without a known price
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
    sa.Column("quoted_microusd", sa.BigInteger),  # the price that was reserved; null where none could be had
    sa.Column("intent_at", sa.DateTime, nullable=False),
    sa.Column("nonce", sa.Text, nullable=False, server_default=""),  # of the intent; a receipt names it
    sa.Column("window_from", sa.DateTime),  # the API may have accepted it from here
    sa.Column("window_to", sa.DateTime),  # to here, by its own clock
    sa.Column("submitted_at", sa.DateTime),
    sa.Column("completed_at", sa.DateTime),
    sa.Column("created_at", sa.DateTime),
    sa.Column("prediction_id", sa.Text, unique=True),
    sa.Column("prediction_status", sa.Text),
    sa.Column("prediction_model", sa.Text),  # `data.model`, verbatim
    sa.Column("outputs", sa.Text),  # JSON
    sa.Column("has_nsfw_contents", sa.Text),  # JSON
    sa.Column("inference_ms", sa.BigInteger),
    sa.Column("error_code", sa.BigInteger),
    sa.Column("error", sa.Text),
    sa.Column("polls", sa.Integer, nullable=False, server_default="0"),
    sa.Column("absent_since", sa.DateTime),  # end of the first complete scan of the list without it, by the API's clock
    sa.Column("candidates", sa.Text),  # JSON list of prediction ids that it may be; not null: held by reconciling
    sa.Column("settled_by", sa.Text),  # what an unknown attempt was settled by: receipt, inputs, window, operator
    sa.Column("held_for", sa.Text),  # why it is held: stuck, lost, conflict, evidence
    sa.Column("ended_run_no", sa.Integer),  # the newest run there was when it became failed or rejected
    sa.UniqueConstraint("fingerprint", "attempt_no"),
)

ALIAS = sa.Table(
    "alias",
    METADATA,
    sa.Column("fingerprint", sa.Text, primary_key=True),  # from before there was a canonical form
    sa.Column("take", sa.Text, nullable=False, index=True),  # the fingerprint that it has now
    sa.Column("is_apart", sa.Integer, nullable=False, server_default="0"),  # 1: it has attempts of its own
)
_APART_SQL = sa.text("is_apart = 1")
sa.Index("apart_now", ALIAS.c.take, ALIAS.c.fingerprint, sqlite_where=_APART_SQL, postgresql_where=_APART_SQL)

MANIFEST = sa.Table(
    "manifest",
    METADATA,
    sa.Column("manifest_id", sa.Integer, primary_key=True),
    sa.Column("uri", sa.Text, nullable=False, unique=True),
    sa.Column("content", sa.Text, nullable=False),  # of the file and its stills, as last planned
)

PLANNED = sa.Table(
    "planned",
    METADATA,
    sa.Column("planned_id", sa.Integer, primary_key=True),
    sa.Column("manifest_id", sa.Integer, sa.ForeignKey("manifest.manifest_id"), nullable=False),
    sa.Column("row", sa.Integer, nullable=False),
    sa.Column("take", sa.Integer, nullable=False),
    sa.Column("storyboard", sa.Text, nullable=False),
    sa.Column("shot_id", sa.Text, nullable=False, index=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("planned_at", sa.DateTime, nullable=False),
    sa.UniqueConstraint("manifest_id", "row", "take", "fingerprint", "shot_id", "storyboard", name="uq_planned_once"),
)

UPLOAD = sa.Table(
    "upload",
    METADATA,
    sa.Column("account", sa.Text, primary_key=True),  # whose uploads they are: a digest, never a key
    sa.Column("still", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("uploaded_at", sa.DateTime, nullable=False),
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
ONE_LIVE = sa.Index("one_live", ATTEMPT.c.fingerprint, unique=True, sqlite_where=_LIVE_SQL, postgresql_where=_LIVE_SQL)
_UNCLEAR_SQL = sa.text("state IN ('held', 'submitting', 'unknown')")
sa.Index("unclear_now", ATTEMPT.c.state, ATTEMPT.c.run_id, sqlite_where=_UNCLEAR_SQL, postgresql_where=_UNCLEAR_SQL)


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
