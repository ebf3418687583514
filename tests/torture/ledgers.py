"""Ledgers that the proof is carried out on: files of SQLite, or schemas on a PostgreSQL server of the proof's own.

The backend is a variable of the environment, so that all processes of a part agree: `TORTURE_LEDGER`. Where it is
`postgresql`, `TORTURE_POSTGRESQL` is the URL of a database, and a folder's ledger lies in a schema named after it.
"""

import contextlib
import functools
import hashlib
import os
import secrets
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from animatic.ledger.liveness import runs_folder
from animatic.ledger.opening import find_database
from animatic.ledger.postgres_sessions import GRACE_S

BACKENDS = ("sqlite", "postgresql")
BACKEND, SERVER = "TORTURE_LEDGER", "TORTURE_POSTGRESQL"
"""Variables of the environment."""


def backend() -> str:
    """Return the backend that the proof runs on."""
    return os.environ.get(BACKEND, "sqlite")


def is_on_server() -> bool:
    return backend() == "postgresql"


@dataclass(frozen=True)
class Place:
    """The place of a folder's ledger, on the backend of this process; it need not exist."""

    folder: Path
    name: str = "ledger"

    @property
    def url(self) -> str:
        """Return the ledger's URL, as ANIMATIC_LEDGER takes it. On a server, its schema is there then."""
        if not is_on_server():
            return f"sqlite:///{self.path}"
        url = os.environ[SERVER]
        _make_schema(_direct(), self._schema)
        return f"{url}{'&' if '?' in url else '?'}options=-c%20search_path%3D{self._schema}"

    @property
    def path(self) -> Path:
        """Return the path beside which locks and receipts lie: the file, or what stands for it once there is a ledger."""
        if not is_on_server():
            return self.folder / f"{self.name}.sqlite"
        (ledger_id,) = self.rows("SELECT value FROM meta WHERE name = 'ledger_id'")[0]
        return find_database(self.url).beside(ledger_id)

    @property
    def runs(self) -> Path:
        """Return the folder of locks and receipts; before there is a ledger, one that does not exist."""
        return runs_folder(self.path) if self.exists else self.folder / "no.runs"

    @property
    def exists(self) -> bool:
        """Tell if a ledger was made there."""
        if not is_on_server():
            return self.path.is_file()
        with psycopg.connect(_direct()) as db:
            return db.execute("SELECT to_regclass(%s)", (f"{self._schema}.attempt",)).fetchone() != (None,)

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Read through a connection of its own, as another process would. Placeholders are question marks."""
        return self._execute(sql, values, reads=True)

    def write(self, sql: str, *values: Any) -> None:
        """Change rows behind the ledger's back."""
        self._execute(sql, values, reads=False)

    def is_free(self) -> bool:
        """Tell if the ledger is there, and no transaction is under way on it."""
        if is_on_server():
            with psycopg.connect(_direct(), options=f"-c search_path={self._schema}") as db:
                sql = "SELECT pg_try_advisory_xact_lock(hashtext('animatic ledger'), hashtext(current_schema()))"
                return self.exists and db.execute(sql).fetchone() == (True,)
        with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(self.path, 0)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("SELECT 1 FROM attempt LIMIT 1")
            return True
        return False

    def save(self) -> Path:
        """Back the ledger up, by the database's own means; return the backup."""
        backup = self.folder / f"{self.name}.backup"
        if is_on_server():
            _run("pg_dump", "--no-owner", f"--schema={self._schema}", f"--file={backup}", f"--dbname={_direct()}")
        else:
            shutil.copy(self.path, backup)
        return backup

    def restore(self, backup: Path, of: "Place | None" = None) -> None:
        """Put a backup, of this ledger or of another one, in the ledger's place."""
        if not is_on_server():
            shutil.copy(backup, self.path)
            return
        self.remove()
        here = backup
        if of is not None:
            here = self.folder / backup.name
            here.write_text(backup.read_text().replace(of._schema, self._schema))
        _run(
            "psql",
            "--quiet",
            "--single-transaction",
            "--set=ON_ERROR_STOP=1",
            f"--file={here}",
            f"--dbname={_direct()}",
        )

    def remove(self) -> None:
        """Remove the ledger."""
        if not is_on_server():
            self.path.unlink()
            return
        with psycopg.connect(_direct(), autocommit=True) as db:
            db.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE".encode())
        _make_schema.cache_clear()

    def wait_for_the_dead(self) -> None:
        """Wait until the server has seen the end of sessions whose process was killed, which takes it milliseconds."""
        if not is_on_server():
            return
        until = time.monotonic() + 5.0
        with psycopg.connect(_direct(), autocommit=True) as db:
            sql = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'animatic' AND pid <> pg_backend_pid()"
            )
            while time.monotonic() < until and db.execute(sql).fetchone() != (0,):
                time.sleep(0.002)

    @property
    def _schema(self) -> str:
        return f"ledger_{hashlib.sha256(f'{self.folder}/{self.name}'.encode()).hexdigest()[:16]}"

    def _execute(self, sql: str, values: tuple[Any, ...], *, reads: bool) -> list[Any]:
        if not is_on_server():
            with closing(sqlite3.connect(self.path)) as db, db:
                return db.execute(sql, values).fetchall()
        with psycopg.connect(_direct(), options=f"-c search_path={self._schema}") as db:
            done = db.execute(sql.replace("%", "%%").replace("?", "%s").encode(), values)
            return done.fetchall() if reads else []


@functools.cache
def _make_schema(server: str, schema: str) -> None:
    with psycopg.connect(server, autocommit=True) as db:
        db.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())


DIRECT = "TORTURE_POSTGRESQL_DIRECT"
"""Variable with the URL of the server itself, for the proof's own looks, where SERVER leads through a line of it."""


def _direct() -> str:
    return os.environ.get(DIRECT) or os.environ[SERVER]


def take_database_of_own() -> None:
    """Let this process, and those that it starts, use a new database: runs of two databases know nothing of each other.

    Nothing is done where the ledger is a file.
    """
    if not is_on_server():
        return
    name = f"torture_{os.getppid()}_{os.getpid()}_{secrets.token_hex(3)}"
    url = os.environ[SERVER]
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name} ENCODING UTF8 TEMPLATE template0".encode())
    os.environ[SERVER] = urlsplit(url)._replace(path=f"/{name}").geturl()


def wait_until_old() -> None:
    """Wait until the server no longer takes runs for alive because it has just started."""
    if not is_on_server():
        return
    with psycopg.connect(os.environ[SERVER]) as db:
        row = db.execute("SELECT extract(epoch FROM now() - pg_postmaster_start_time())::float8").fetchone()
    assert row is not None
    time.sleep(max(0.0, GRACE_S + 0.5 - row[0]))


def live_at(folder: Path) -> None:
    """Let this process, and those that it starts, keep below a folder what animatic keeps on a machine."""
    os.environ["ANIMATIC_HOME"] = str(folder / "animatic-home")


def _run(name: str, *arguments: str) -> None:
    from torture.cluster import program

    done = subprocess.run([program(name), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr[-400:]}")


@contextlib.contextmanager
def kept_on(ledger: str) -> Generator[None]:
    """Keep ledgers on this backend for the length of the block: a server is started for it, unless one is named."""
    from torture.cluster import cluster

    if ledger == "sqlite" or SERVER in os.environ:
        os.environ[BACKEND] = ledger
        yield
        return
    with cluster() as server, on(server.url):
        wait_until_old()
        yield


@contextlib.contextmanager
def on(server: str) -> Generator[None]:
    """Use this server for the length of the block."""
    before = {name: os.environ.get(name) for name in (BACKEND, SERVER, DIRECT)}
    os.environ |= {BACKEND: "postgresql", SERVER: server}
    os.environ.pop(DIRECT, None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
