"""A ledger on a PostgreSQL server, for many machines.

One transaction at a time, as in a file of SQLite: each begins with a lock that the others wait for, so that what it
has read is still so when it writes, on any number of machines. Those about clips take no turn: a media worker on a slow
line would hold up all buying, and all other workers. Durable commits are asked for whatever the server's default is. A
connection that is lost is made again, and what was under way on it is run again; where a commit was under way, the
ledger is asked what became of it. See docs/adr/0053-a-ledger-on-postgresql.md, 0059 and 0061.
"""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import psycopg
import sqlalchemy as sa
from psycopg import conninfo
from psycopg.types.numeric import IntLoader
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from animatic.errors import LedgerAwayError, LedgerUnusableError, SettingsError
from animatic.errors.text import shell_line
from animatic.ledger import liveness
from animatic.ledger.databases import Clock, Database, Elsewhere, words_of
from animatic.ledger.outages import Outage
from animatic.ledger.postgres_sessions import Sessions
from animatic.ledger.prepared import cursor_of, without_nul
from animatic.ledger.schema import META
from animatic.machine.durability import replacement
from animatic.machine.home import data_folder

OLDEST_VERSION = 13
"""The first PostgreSQL that tells if a transaction of which only the number is known is still under way."""

REACHED_WITHIN_S = 10
IDLE_S = 20
"""So long a transaction may do nothing, as that of a stopped process does, before the server ends it."""
STATEMENT_S = 300

_TCP = {
    "connect_timeout": REACHED_WITHIN_S,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "target_session_attrs": "read-write",
    "application_name": "animatic",
    "client_encoding": "utf8",
}
"""Parameters for libpq, unless the URL says otherwise."""

_SESSION = {
    "lock_timeout": f"{Database.BUSY_S:.0f}s",
    "idle_in_transaction_session_timeout": f"{IDLE_S}s",
    "statement_timeout": f"{STATEMENT_S}s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
}
_SET = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SESSION.items())
_META_IN = """(SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = to_regclass('meta'))"""
_GREET: Any = f"""
SELECT pg_backend_pid(), current_setting('server_version_num')::int, current_setting('server_encoding'),
       current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery(), current_schema(), {_META_IN},
       CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
            THEN set_config('synchronous_commit', 'on', false) END, {_SET}
"""
_TURN = "SELECT pg_advisory_xact_lock(hashtext('animatic ledger'), hashtext(current_schema()));"
_BEGIN: Any = "BEGIN"
_TAKE_TURN: Any = f"BEGIN; {_TURN}"
"""One journey to the server: it begins a transaction and waits for the turn."""
_LOOK_ON: Any = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
"""It sees the ledger as it was at one moment, however long it reads, and keeps no run waiting."""
_MARK: Any = """
INSERT INTO last_commit (connection, number, made_at)
SELECT %(connection)s, %(number)s, clock_timestamp() AT TIME ZONE 'UTC'
WHERE pg_current_xact_id_if_assigned() IS NOT NULL
ON CONFLICT (connection) DO UPDATE SET number = excluded.number, made_at = excluded.made_at
RETURNING pg_current_xact_id()::text, (SELECT value FROM meta WHERE name = 'moved_to'),
          (SELECT value::bigint FROM meta WHERE name = 'intents')
"""
_FIND_MARK: Any = "SELECT 1 FROM last_commit WHERE connection = %(connection)s AND number = %(number)s"
_STATUS: Any = "SELECT pg_xact_status(%s::text::xid8)"
_NAME, _COUNT = "animatic connection", "animatic transactions"
"""Keys of a connection's notes: its name in `last_commit`, and how many of its transactions were marked."""
_NOW = sa.text("SELECT extract(epoch FROM clock_timestamp())::float8")

_LOST = re.compile(r"08...|57P0[1-5]|25P03|53300|40001|40P01")
"""Errors of connections that ended or could not be had, and of transactions that may simply be run again."""


class PostgresServer(Database):
    """A database on a server, named as libpq names it: a URL; passwords from it, `PGPASSWORD`, `.pgpass` or a service.

    Raises:
        SettingsError: the URL is none of libpq's.
    """

    RECONNECTS_WITHIN_S: ClassVar[float] = 600.0
    """A server that is restarted or replaced by its standby is back by then; nothing is bought while it is away."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            parts = conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            said = re.sub(r'".*"', "***", str(error).strip().replace(url, "").splitlines()[0])
            raise _unreadable(said) from None
        self._parts = {key: str(value) for key, value in parts.items() if value is not None}
        if _is_misread(url, self._parts):
            raise _unreadable("a / or @ in its password or user must be %2F or %40")
        self.name = _name_of(self._parts)
        key = re.sub(r"[^A-Za-z0-9.-]+", "-", self.name.removeprefix("postgresql://")).strip("-")
        self.place = data_folder(os.environ) / f"postgresql-{key[:120]}"
        self._id_file = self.place.with_name(self.place.name + ".ledger-id")
        self._intents = 0

    def connect(self) -> psycopg.Connection[Any]:
        """Return a new connection whose session is set up, and that begins no transactions; raises psycopg's errors.

        Raises:
            SettingsError: the server cannot hold a ledger.
        """
        defaults: dict[str, Any] = {name: value for name, value in _TCP.items() if name not in self._parts}
        connection = psycopg.connect(self.url, autocommit=True, **defaults)
        try:
            row = connection.execute(_GREET).fetchone()
            assert row is not None  # noqa: S101 - a SELECT without FROM has a row
            self._require_fit(connection, row)
            connection.adapters.register_loader("numeric", IntLoader)  # sums of whole numbers
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_fit(self, connection: psycopg.Connection[Any], row: tuple[Any, ...]) -> None:
        pid, version, encoding, fsync, full_page_writes, is_standby, schema, found_in = row[:8]
        problem = ""
        if connection.info.backend_pid != pid:
            problem = (
                "it is reached through a pooler such as PgBouncer, which hands one session to several clients, so that "
                "locks that tell which run is alive would be lost; name the server itself"
            )
        elif version < OLDEST_VERSION * 10_000:
            problem = f"it is PostgreSQL {version // 10_000}; allowed: {OLDEST_VERSION} or newer"
        elif encoding != "UTF8":
            problem = f"its database has the encoding {encoding}; allowed: UTF8, as createdb --encoding UTF8 makes it"
        elif fsync != "on" or full_page_writes != "on":
            problem = (
                f"fsync is {fsync} and full_page_writes is {full_page_writes} there, so a power cut could take back "
                "what was paid for; allowed: on for both, in postgresql.conf"
            )
        elif is_standby:
            problem = "it is a standby, which takes no changes; name the primary"
        elif schema is None:
            problem = "its search_path names no schema that exists; make one, or name one in the URL's options"
        elif found_in not in {None, schema}:
            problem = (
                f"its search_path finds a table meta in schema {found_in}, and makes new ones in {schema}; name one "
                "schema, the same on all machines, as in ?options=-csearch_path%3Dpublic"
            )
        if problem:
            raise SettingsError(f"ANIMATIC_LEDGER: {self.name}: {problem}")

    def require_ready(self) -> None:
        """Do nothing: whether the server answers is seen when it is asked."""

    def may_hold_ledger(self) -> bool:
        """Ask the server for the ledger's first table."""
        try:
            with self.connect() as connection:
                found = connection.execute("SELECT to_regclass(%s)", (META.name,)).fetchone()
        except psycopg.Error as error:
            raise self.unusable(error) from None
        if found is None or found[0] is None:
            self.require_not_lost()
            return False
        return True

    def engine(self) -> sa.Engine:
        """Return an engine with one connection, whose transactions take turns with all others on the ledger."""
        engine = sa.create_engine(
            "postgresql+psycopg://", creator=self.connect, pool_size=1, max_overflow=1, use_native_hstore=False
        )
        event.listen(engine, "begin", _begin)
        event.listen(engine, "before_cursor_execute", _without_nul, retval=True)
        return engine

    def require_not_lost(self) -> None:
        """Refuse a database without a ledger where this machine knows that there was one."""
        if self._known_id() is not None:
            raise LedgerUnusableError(
                f"ledger {self.name}: it is gone, though {self._id_file} says that it was there. Nothing was bought. "
                "It is the only record of what was paid for. Restore it from a backup. Or begin a new one, which buys "
                f"again what no results table knows:\n    {self._forgetting()}"
            )

    def remember(self, ledger_id: str) -> None:
        """Note the ledger's id in a file of this machine."""
        known = self._known_id()
        if known == ledger_id:
            return
        if known is not None:
            raise LedgerUnusableError(
                f"ledger {self.name}: it is another ledger than the one that {self._id_file} knows. Nothing was "
                "bought. Put the right one back. If this one is meant to replace it, and what the other knew may be "
                f"bought again:\n    {self._forgetting()}"
            )
        self._id_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacement(self._id_file) as file:
            file.write(ledger_id.encode("ascii"))

    def beside(self, ledger_id: str) -> Path:
        """Return a path that is the same however the server's URL is spelled; its runs folder exists."""
        path = self.place.with_name(f"postgresql-{ledger_id[:16]}")
        liveness.runs_folder(path).mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def is_alive(self, run_id: str) -> bool:
        """Tell if a process on this machine holds the run's lock, or a session on the server."""
        known = self._known_id()
        if known is not None and liveness.is_alive(self.beside(known), run_id):
            return True
        sessions = Sessions(self)
        try:
            return sessions.is_alive(run_id)
        finally:
            sessions.close()

    def require_sound(self, db: sa.Connection) -> None:
        """Check that the ledger's tables can be read; a server checks its own pages."""
        db.execute(sa.select(META)).fetchall()

    def is_busy(self, error: Exception) -> bool:
        """Tell if others had the ledger for all of `BUSY_S`."""
        return _sqlstate(error) == "55P03"

    def is_lost(self, error: Exception) -> bool:
        """Tell if the connection ended, or another transaction came in between."""
        state = _sqlstate(error)
        if state is not None:
            return _LOST.fullmatch(state) is not None
        said = error.orig if isinstance(error, DBAPIError) else error
        return isinstance(said, psycopg.OperationalError)

    def is_away(self, error: Exception) -> bool:
        """Tell if the connection ended, or none was had, and neither password nor database is at fault."""
        return self.is_lost(error) and _advice(error) in {"", _LOOK}

    def said(self, error: Exception) -> str:
        """Return a problem in PostgreSQL's words; a lock that did not end, in ours."""
        if self.is_busy(error):
            return (
                f"other runs have kept it busy for {self.BUSY_S:.0f} s. See pg_stat_activity on the server for who "
                "holds it; run again when that has ended"
            )
        return f"{_without(words_of(error, 'PostgreSQL'), self._parts.get('password'))}{_advice(error)}"

    def mark(self, db: sa.Connection) -> "Mark | None":
        """Write which transaction of which connection this is; None where it has changed nothing.

        Its number at the server would not do: a server that crashes before that is on disk gives it away once more.

        Raises:
            LedgerUnusableError: the ledger was copied elsewhere, or lost what this process has seen in it.
        """
        name = db.info.setdefault(_NAME, secrets.token_hex(16))
        number = db.info[_COUNT] = db.info.get(_COUNT, 0) + 1
        with cursor_of(db) as cursor:  # raises where a statement of it has failed, or the connection has
            row = cursor.execute(_MARK, {"connection": name, "number": number}).fetchone()
        if row is None:
            return None
        transaction, moved_to, intents = row
        if moved_to is not None:
            raise LedgerUnusableError(
                f"ledger {self.name}: it was copied to {moved_to} while this run had lost its line to it; nothing more "
                "is bought. Set ANIMATIC_LEDGER to that one; it looks for what was under way"
            )
        if intents < self._intents:
            raise LedgerUnusableError(
                f"ledger {self.name}: it holds {intents:,} submissions, and this run has seen {self._intents:,}: a "
                "standby took over without the newest ones, or a backup was restored. Nothing more is bought. Run "
                "again: the next run says what to do"
            )
        return Mark(transaction, name, number, intents)

    def note_commit(self, mark: "Mark | None") -> None:
        """Remember how many intents the ledger holds, which never become fewer."""
        if mark is not None:
            self._intents = max(self._intents, mark.intents)

    def has_committed(self, mark: "Mark | None", outage: Outage) -> bool:
        """Look for a transaction's mark once the server is done with it.

        Raises:
            LedgerAwayError: it has not answered for as long as an operation waits.
        """
        if mark is None:
            return False
        said = f"ledger {self.name}: the server does not say if it took a change"
        while True:
            with suppress(psycopg.Error, SettingsError), self.connect() as connection:
                if not _is_under_way(connection, mark.transaction):
                    of = {"connection": mark.connection, "number": mark.number}
                    return connection.execute(_FIND_MARK, of).fetchone() is not None
            if not outage.waits(said):
                break
        raise LedgerAwayError(
            f"{said}, {outage.seconds:.0f} s after it was asked; nothing more is bought. Run again when it answers: "
            "what was under way is then looked for"
        )

    def now(self, db: sa.Connection, clock: Clock) -> float:
        """Return the server's time, which all machines share."""
        del clock  # of this machine
        return float(db.execute(_NOW).scalar_one())

    def elsewhere(self) -> Elsewhere:
        """Return locks of sessions on the server."""
        return Sessions(self)

    def unusable(self, error: Exception) -> LedgerUnusableError:
        """Return an error of the server as one of the ledger."""
        unusable = LedgerAwayError if self.is_away(error) else LedgerUnusableError
        return unusable(f"ledger {self.name}: {self.said(error)}. Nothing was bought.")

    def _known_id(self) -> str | None:
        try:
            return self._id_file.read_text(encoding="ascii", errors="replace").strip() or None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _forgetting(self) -> str:
        return shell_line(["mv", str(self._id_file), f"{self._id_file}.old"])


class Mark(NamedTuple):
    """Identity of a transaction, by which it is found again.

    Attributes:
        transaction: its number at the server.
        connection: the name of its connection.
        number: its place among the marked ones of that connection.
        intents: how many the ledger holds with it.
    """

    transaction: str
    connection: str
    number: int
    intents: int


def _begin(db: sa.Connection) -> None:
    """Begin a transaction; one that takes a turn begins once no other of these is under way."""
    options = db.get_execution_options()
    begin = _LOOK_ON if options.get("looks_on") else _TAKE_TURN if options.get("takes_turn", True) else _BEGIN
    with cursor_of(db) as cursor:
        cursor.execute(begin)


def _is_under_way(connection: psycopg.Connection[Any], transaction: str) -> bool:
    """Tell if the server is still at a transaction, which another connection began."""
    try:
        row = connection.execute(_STATUS, (transaction,)).fetchone()
    except psycopg.errors.InvalidParameterValue:  # it has crashed since, and knows of no such number
        return False
    return row is not None and row[0] == "in progress"


def _without_nul(_db: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _is_many: bool) -> Any:
    """Replace NUL in the parameters of a statement: of one or, in a list, of many."""
    is_many = not isinstance(parameters, dict)  # many rows of one INSERT are one statement, though they count as many
    each = parameters if is_many else [parameters]
    if any(isinstance(value, str) and "\0" in value for values in each for value in values.values()):
        each = [{name: without_nul(value) for name, value in values.items()} for values in each]
    return statement, each if is_many else each[0]


def _sqlstate(error: Exception) -> str | None:
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)


_LOOK = "; look if the server runs, and if its address is right"


def _advice(error: Exception) -> str:
    """Return what to do about the usual problems."""
    said = str(error.orig if isinstance(error, DBAPIError) else error)
    if _sqlstate(error) == "3D000" or ("database" in said and "does not exist" in said):
        return "; make the database with createdb"
    if "password" in said or "authentication" in said:
        return "; give the password by PGPASSWORD, .pgpass or a service file"
    if _sqlstate(error) == "53100":
        return "; make room on the server's disk"
    if _sqlstate(error) is None:
        return _LOOK
    return ""


def _name_of(parts: dict[str, str]) -> str:
    """Return a URL without its password: user, host, port and database, or the name of a service."""
    if "service" in parts and "host" not in parts:
        return f"postgresql:///?service={parts['service']}"
    hosts = parts.get("host", os.environ.get("PGHOST", "")).split(",")
    ports = parts.get("port", os.environ.get("PGPORT", "")).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    where = ",".join(host + (f":{port}" if port else "") for host, port in zip(hosts, ports, strict=False))
    user = parts.get("user", os.environ.get("PGUSER", ""))
    database = parts.get("dbname", os.environ.get("PGDATABASE", user))
    schema = re.search(r"search_path=(\S+)", parts.get("options", ""))
    return f"postgresql://{user}{'@' if user else ''}{where}/{database}{f'?{schema[0]}' if schema else ''}"


def _unreadable(reason: str) -> SettingsError:
    return SettingsError(
        f"ANIMATIC_LEDGER: found a postgresql URL that cannot be read ({reason}); "
        "allowed: postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full, special characters as %XX"
    )


def _is_misread(url: str, parts: dict[str, str]) -> bool:
    """Tell if libpq takes a piece of a password for the host, the port or the database, which messages show."""
    authority, _, path = url.partition("?")[0].partition("://")[2].partition("/")
    is_number = all(port == "" or port.isdecimal() for port in parts.get("port", "").split(","))
    return "@" in path or authority.count("@") > 1 or not is_number


def _without(text: str, secret: str | None) -> str:
    return text.replace(secret, "***") if secret else text
