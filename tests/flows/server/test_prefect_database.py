"""The database that a new Prefect home gets: what the migrations would have made, and never over one that is there."""

import gc
import os
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from flows.server import child_processes as companions
from flows.server import prefect_database
from flows.server.gc_pause import gc_paused
from flows.server.prefect_database import SCHEMA, is_migrated


def _url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def _lines(sql: str) -> list[str]:
    """The lines of a dump but for their order: alembic copies constraints and indexes in the order of a set."""
    return sorted(line.strip().rstrip(",").rstrip() for line in sql.splitlines())


@pytest.mark.sandbox
def test_the_schema_is_what_prefects_migrations_make(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from flows.server.prefect_database import dumped; print(dumped(), end='')"]
    environment = os.environ | {"PREFECT_HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=True).stdout
    assert _lines(SCHEMA.read_text()) == _lines(made), "write it anew: python -m flows.server.prefect_database"


def test_the_schema_brings_no_rows_but_the_mark_of_the_last_migration(tmp_path: Path) -> None:
    assert is_migrated(_url(tmp_path / "prefect.db"))
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        filled = {name for name in names if database.execute(f'SELECT count(*) FROM "{name}"').fetchone() != (0,)}
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert filled == {"alembic_version"}
    assert {"flow_run", "task_run", "log", "artifact"} <= set(names)


def test_a_database_is_made_once_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "home/prefect.db"
    assert is_migrated(_url(path))
    before = path.stat()
    assert is_migrated(_url(path))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert before.st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["prefect.db"]


@pytest.mark.parametrize("revisions", [["0f0f0f0f0f0f"], [], ["0f0f0f0f0f0f", "a3b9c7d2e5f1"], None])
def test_a_database_of_another_version_is_left_to_the_migrations(tmp_path: Path, revisions: list[str] | None) -> None:
    path = tmp_path / "prefect.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE theirs (id)")
        if revisions is not None:
            database.execute("CREATE TABLE alembic_version (version_num)")
            database.executemany("INSERT INTO alembic_version VALUES (?)", [(each,) for each in revisions])
    before = path.read_bytes()
    assert not is_migrated(_url(path))
    assert path.read_bytes() == before


def test_what_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "prefect.db"
    path.write_bytes(b"not a database at all, and longer than its header would be" * 10)
    before = path.read_bytes()
    assert not is_migrated(_url(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:///:memory:", "sqlite+aiosqlite:///{}/a?mode=ro", "postgresql://db"])
def test_other_databases_are_left_to_prefect(tmp_path: Path, url: str) -> None:
    assert not is_migrated(url.format(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_left_to_prefect(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not is_migrated(_url(tmp_path / "file/prefect.db"))


def test_the_schema_of_another_prefect_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "schema.sql"
    first, _, rest = SCHEMA.read_text().partition("\n")
    other.write_text("\n".join((first.replace("Prefect 3", "Prefect 2"), rest)))
    monkeypatch.setattr(prefect_database, "SCHEMA", other)
    assert not is_migrated(_url(tmp_path / "prefect.db"))
    assert not (tmp_path / "prefect.db").exists()


@pytest.mark.sandbox
def test_a_server_on_a_new_home_migrates_nothing_and_notes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with companions.prefect_server(tmp_path / "log") as server:
        assert urllib.request.urlopen(f"{server.url}/health", timeout=50).read() == b"true"
    assert not (tmp_path / "home/memo_store.toml").exists()  # the next server that lasts registers blocks
    assert is_migrated(_url(tmp_path / "home/prefect.db"))


LAZY = """
import sys
import flows.command.cli, flows.command.commands
early = {"prefect", "pandas", "PIL", "av", "fsspec", "matplotlib"} & sys.modules.keys()
import flows.animate
late = {"pandas", "PIL", "av", "matplotlib"} & sys.modules.keys()
sys.exit(f"{early} {late}" if early or late else 0)
"""


def test_what_is_imported_lazily_stays_lazy() -> None:
    ended = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, timeout=50, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_collection_goes_on_after_a_block_without() -> None:
    assert gc.isenabled()
    with gc_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()
