"""The ledger's file: how durable it is, whose it is, and what is refused before it is touched."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from animatic.errors import LedgerUnusableError, LedgerVersionError, SettingsError
from animatic.ledger.desk import LedgerDesk
from animatic.ledger.liveness import runs_folder
from animatic.ledger.schema import SCHEMA_VERSION, open_engine, require_sound, sqlite_path
from animatic.takes import LIVE, State


def opened(path: Path) -> sa.Engine:
    return open_engine(f"sqlite:///{path}")


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as other:
        return list(other.iterdump())


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "delete"), ("synchronous", 3), ("foreign_keys", 1)])
def test_a_commit_survives_a_power_cut_on_every_connection(path: Path, pragma: str, value: object) -> None:
    engine = opened(path)
    with engine.connect(), engine.connect():
        pass
    for _ in range(3):
        with engine.connect() as db:
            assert db.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
    engine.dispose()


def test_a_ledger_that_someone_turned_to_wal_is_turned_back(path: Path) -> None:
    opened(path).dispose()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=WAL")
    engine = opened(path)
    with engine.connect() as db:
        assert db.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
    engine.dispose()


def test_the_file_and_its_folder_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.sqlite"
    opened(path).dispose()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["a b", "what?.x=1", "100%25", "küste #1", "it's"])
def test_any_folder_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "ledger.sqlite"
    opened(path).dispose()
    assert sorted(found.name for found in path.parent.iterdir()) == ["ledger.sqlite", "ledger.sqlite.runs"]
    assert any("schema_version" in line for line in dump(path))


def test_opening_again_changes_nothing(path: Path) -> None:
    opened(path).dispose()
    before = path.read_bytes()
    opened(path).dispose()
    assert path.read_bytes() == before


def test_a_newer_ledger_is_refused_and_left_exactly_as_it_is(path: Path) -> None:
    opened(path).dispose()
    with closing(sqlite3.connect(path)) as newer, newer:
        newer.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (str(SCHEMA_VERSION + 1),))
        newer.execute("DROP INDEX one_live")
        newer.execute("ALTER TABLE run RENAME TO journey")
    before = dump(path)
    with pytest.raises(LedgerVersionError, match=rf"schema version {SCHEMA_VERSION + 1}; this animatic knows"):
        opened(path)
    assert dump(path) == before


@pytest.mark.parametrize("content", [b"shot_id,image\n" * 200, b"\0" * 4_096, b"SQLite format 3\0" + b"\xff" * 4_000])
def test_a_file_that_is_no_database_is_refused_untouched_and_the_error_says_what_to_do(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(LedgerUnusableError, match=r"Nothing was bought\. If the file is damaged, restore it") as caught:
        opened(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_folder_in_the_ledgers_place_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LedgerUnusableError, match=r"cannot be opened .* Nothing was bought\. Give ANIMATIC_LEDGER"):
        opened(path)


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LedgerUnusableError, match="cannot be opened"):
        opened(tmp_path / "file" / "ledger.sqlite")


@pytest.mark.parametrize(
    "url", ["", "ledger.sqlite", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://u:hunter2@db/x"]
)
def test_any_other_url_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(SettingsError, match="ANIMATIC_LEDGER: found") as caught:
        sqlite_path(url)
    assert "hunter2" not in str(caught.value)


def test_a_path_may_begin_at_home() -> None:
    assert sqlite_path("sqlite:///~/x.sqlite") == Path.home() / "x.sqlite"
    assert sqlite_path("sqlite:////abs/x.sqlite") == Path("/abs/x.sqlite")


def insert_attempt(path: Path, number: int, state: str) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(
            "INSERT INTO attempt (fingerprint, attempt_no, state, run_id, allowed_by, image_url, intent_at)"
            " VALUES ('f', ?, ?, 'r', 'plan', 'u', '2026-01-01')",
            (number, state),
        )


@pytest.fixture
def with_take(path: Path) -> Path:
    opened(path).dispose()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("INSERT INTO run VALUES ('r', 'm', '2026-01-01', 'h', 1, 0)")
        other.execute("INSERT INTO take VALUES ('f', 'p', 'm', '5s', '{}')")
    return path


@pytest.mark.parametrize("second", sorted(LIVE))
@pytest.mark.parametrize("first", sorted(LIVE))
def test_the_database_itself_refuses_a_second_live_attempt(with_take: Path, first: State, second: State) -> None:
    insert_attempt(with_take, 1, first)
    with pytest.raises(sqlite3.IntegrityError, match=r"attempt\.fingerprint"):
        insert_attempt(with_take, 2, second)


@pytest.mark.parametrize("first", sorted(frozenset(State) - LIVE))
def test_after_an_attempt_that_is_over_there_may_be_a_live_one(with_take: Path, first: State) -> None:
    insert_attempt(with_take, 1, first)
    insert_attempt(with_take, 2, State.SUBMITTING)


def test_two_processes_may_make_the_same_ledger_at_the_same_time(path: Path) -> None:
    code = f"from animatic.ledger.schema import open_engine; open_engine('sqlite:///{path}').dispose()"
    makers = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
    ends: list[Any] = [(maker.communicate()[1], maker.returncode) for maker in makers]
    assert ends == [(b"", 0)] * 3


VERSION_1 = """
CREATE TABLE meta (name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name));
CREATE TABLE run (run_id TEXT NOT NULL, manifest TEXT NOT NULL, started_at DATETIME NOT NULL, host TEXT NOT NULL,
  pid INTEGER NOT NULL, committed_usd FLOAT DEFAULT '0' NOT NULL, PRIMARY KEY (run_id));
CREATE TABLE take (fingerprint TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, duration TEXT NOT NULL,
  request TEXT NOT NULL, PRIMARY KEY (fingerprint));
CREATE TABLE attempt (attempt_id INTEGER NOT NULL, fingerprint TEXT NOT NULL, attempt_no INTEGER NOT NULL,
  state TEXT NOT NULL, run_id TEXT NOT NULL, allowed_by TEXT NOT NULL, image_url TEXT NOT NULL, cost_usd FLOAT,
  intent_at DATETIME NOT NULL, submitted_at DATETIME, completed_at DATETIME, created_at DATETIME, prediction_id TEXT,
  prediction_status TEXT, outputs TEXT, has_nsfw_contents TEXT, inference_ms BIGINT, error_code BIGINT, error TEXT,
  polls INTEGER DEFAULT '0' NOT NULL, PRIMARY KEY (attempt_id), UNIQUE (fingerprint, attempt_no),
  FOREIGN KEY(fingerprint) REFERENCES take (fingerprint), FOREIGN KEY(run_id) REFERENCES run (run_id),
  UNIQUE (prediction_id));
CREATE UNIQUE INDEX one_live ON attempt (fingerprint)
  WHERE state IN ('completed', 'held', 'submitted', 'submitting', 'unknown');
CREATE INDEX submitting_now ON attempt (run_id) WHERE state = 'submitting';
INSERT INTO meta VALUES ('schema_version', '1');
INSERT INTO run VALUES ('r', 'shots.csv', '2026-03-01 12:00:00.000000', 'h', 1, 2.5);
INSERT INTO take VALUES ('f', 'sandbox', 'm', '5s', '{}');
INSERT INTO attempt (attempt_id, fingerprint, attempt_no, state, run_id, allowed_by, image_url, intent_at)
  VALUES (1, 'f', 1, 'unknown', 'r', 'plan', 'u', '2026-03-01 12:00:00.000000');
"""


def test_a_ledger_of_version_1_is_brought_up_to_date_with_all_it_knows(path: Path) -> None:
    with closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_1)
    opened(path).dispose()
    new = path.with_name("new.sqlite")
    opened(new).dispose()

    def columns(of: Path) -> set[tuple[str, str]]:
        with closing(sqlite3.connect(of)) as db:
            rows = db.execute("SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p").fetchall()
            indexes = db.execute("SELECT 'index', name FROM sqlite_master WHERE type = 'index'").fetchall()
        return {*rows, *indexes}

    assert columns(path) == columns(new)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT fingerprint, state, nonce, candidates FROM attempt").fetchall() == [
            ("f", "unknown", "", None)
        ]
        assert db.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone() == (str(SCHEMA_VERSION),)
    before = path.read_bytes()
    opened(path).dispose()
    assert path.read_bytes() == before


async def test_a_sound_ledger_passes_and_a_row_that_refers_to_nothing_does_not(ledger: Any) -> None:
    await ledger.buy()
    await ledger.desk.do(require_sound)
    with closing(sqlite3.connect(ledger.path)) as other:
        other.execute("DELETE FROM take")
        other.commit()
    with pytest.raises(LedgerUnusableError, match="a row of attempt refers to nothing"):
        await ledger.desk.do(require_sound)


async def test_an_index_that_lost_its_rows_is_damage(ledger: Any) -> None:
    await ledger.buy()
    with closing(sqlite3.connect(ledger.path)) as other:
        other.execute("PRAGMA writable_schema = ON")
        other.execute("UPDATE sqlite_master SET sql = replace(sql, 'fingerprint)', 'state)') WHERE name = 'one_live'")
        other.commit()
    again = LedgerDesk(f"sqlite:///{ledger.path}")
    with pytest.raises(LedgerUnusableError, match=r"it is damaged.*Restore it from a backup"):
        await again.do(require_sound)
    again.close()


def test_a_link_to_a_ledger_is_that_ledger(path: Path) -> None:
    open_engine(f"sqlite:///{path}").dispose()
    link = path.with_name("link.sqlite")
    link.symlink_to(path)
    assert sqlite_path(f"sqlite:///{link}") == path.resolve()
    open_engine(f"sqlite:///{link}").dispose()
    assert not runs_folder(link).exists(), "a second place for locks would take live runs for dead"


def test_a_ledger_of_version_2_gets_what_keeps_the_pace(path: Path) -> None:
    opened(path).dispose()
    with closing(sqlite3.connect(path)) as db, db:
        for table in ("starts", "pace", "places"):
            db.execute(f"DROP TABLE {table}")
        db.execute("UPDATE meta SET value = '2' WHERE name = 'schema_version'")
    opened(path).dispose()
    with closing(sqlite3.connect(path)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert {"starts", "pace", "places"} <= tables
        assert db.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone() == (str(SCHEMA_VERSION),)
