"""The ledger's file: how durable it is, whose it is, and what is refused before it is touched."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from animatic.errors import LedgerUnusableError, LedgerVersionError, SettingsError
from animatic.ledger import migrate, open_ledger, opening
from animatic.ledger.liveness import runs_folder
from animatic.ledger.opening import find_database, open_database
from animatic.ledger.schema import ALEMBIC_VERSION, REVISION, SCHEMA_VERSION
from animatic.ledger.sqlite_file import sqlite_path
from animatic.takes.states import LIVE, State
from tests.animatic.ledger.conftest import ON_SQLITE
from tests.animatic.ledger.old_ledgers import OLD, VERSION_4, write

OPEN = """
import sys
from animatic.ledger.opening import find_database, open_database

open_database(find_database(sys.argv[1])).engine.dispose()
"""


def opened(path: Path) -> sa.Engine:
    return open_database(find_database(f"sqlite:///{path}")).engine


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as other:
        return list(other.iterdump())


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "delete"),
        ("synchronous", 3),
        ("fullfsync", 1),
        ("checkpoint_fullfsync", 1),
        ("foreign_keys", 1),
    ],
)
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
def test_a_file_that_is_no_database_is_refused_untouched(path: Path, content: bytes) -> None:
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
    "url",
    [
        *("", "ledger.sqlite", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://u:hunter2@db/x"),
        *("sqlite:///ledger.sqlite", "sqlite:///./a/ledger.sqlite", "sqlite:////", "sqlite:///~nobody-of-that-name/x"),
    ],
)
def test_any_other_url_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(SettingsError, match="ANIMATIC_LEDGER: found") as caught:
        sqlite_path(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://data/x", "sqlite:data/x", "data/x", "sqlite:///data/x"])
def test_a_relative_path_is_refused_and_the_absolute_one_named(url: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"sqlite:///{Path('data/x').absolute()}")):
        sqlite_path(url)


def test_a_path_may_begin_at_home() -> None:
    assert sqlite_path("sqlite:///~/x.sqlite") == Path.home() / "x.sqlite"
    assert sqlite_path("sqlite:////abs/x.sqlite") == Path("/abs/x.sqlite")


def insert_attempt(path: Path, number: int, state: str) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(
            "INSERT INTO attempt (fingerprint, attempt_no, state, run_id, allowed_by, intent_at)"
            " VALUES ('f', ?, ?, 'r', 'plan', '2026-01-01')",
            (number, state),
        )


@pytest.fixture
def with_take(path: Path) -> Path:
    opened(path).dispose()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("INSERT INTO run VALUES ('r', 1, 'm', '2026-01-01', 'h', 1, 0, 0, NULL)")
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
    makers = [
        subprocess.Popen([sys.executable, "-c", OPEN, f"sqlite:///{path}"], stderr=subprocess.PIPE) for _ in range(3)
    ]
    ends: list[Any] = [(maker.communicate()[1], maker.returncode) for maker in makers]
    assert ends == [(b"", 0)] * 3


KNOWN_SINCE_1 = """
INSERT INTO run VALUES ('r', 'shots.csv', '2026-03-01 12:00:00.000000', 'h', 1, 7.9);
INSERT INTO run VALUES ('q', 'shots.csv', '2026-02-01 12:00:00.000000', 'h', 1, 0.1);
INSERT INTO take VALUES ('f', 'sandbox', 'm', '5s', '{}'), ('g', 'sandbox', 'm', '5s', '{}'),
  ('h', 'sandbox', 'm', '5s', '{}'), ('i', 'sandbox', 'm', '5s', '{}'), ('j', 'sandbox', 'm', '5s', '{}');
INSERT INTO attempt (attempt_id, fingerprint, attempt_no, state, run_id, allowed_by, image_url, cost_usd, intent_at,
  prediction_id, outputs, inference_ms, error_code, error, polls) VALUES
  (1, 'f', 1, 'failed', 'q', 'plan', 'u', 0.1, '2026-02-01 12:00:00.000000', 'p1', NULL, NULL, 5000, 'boom', 3),
  (2, 'f', 2, 'unknown', 'r', 'retry-failed', 'u', 2.5, '2026-03-01 12:00:00.000000', NULL, NULL, NULL, NULL, '?', 0),
  (3, 'g', 1, 'completed', 'r', 'plan', 'u', NULL, '2026-03-01 12:00:01.000000', 'p3', '["x"]', 4000, NULL, NULL, 7),
  (4, 'h', 1, 'held', 'r', 'plan', 'u', 0.3, '2026-03-01 12:00:02.000000', 'p4', NULL, NULL, 404, 'gone', 0),
  (5, 'i', 1, 'rejected', 'r', 'plan', 'u', 2.5, '2026-03-01 12:00:03.000000', NULL, NULL, NULL, 400, 'no', 0),
  (6, 'j', 1, 'held', 'r', 'plan', 'u', 1.234567, '2026-03-01 12:00:04.000000', NULL, NULL, NULL, NULL, 'two', 0);
"""

KNOWN_SINCE_2 = """
UPDATE attempt SET nonce = 'n2', window_from = '2026-03-01 12:00:00.000000',
  window_to = '2026-03-01 12:01:00.000000', absent_since = '2026-03-01 12:05:00.000000' WHERE attempt_id = 2;
UPDATE attempt SET candidates = '["p7"]', settled_by = NULL WHERE attempt_id = 6;
UPDATE attempt SET settled_by = 'receipt' WHERE attempt_id = 3;
INSERT INTO remark VALUES (1, 3, 'q', '2026-03-01 13:00:00.000000', 'odd');
INSERT INTO orphan VALUES ('p9', 'sandbox', 'm', NULL, '2026-03-01 13:00:00.000000');
"""

KNOWN_SINCE_3 = """
INSERT INTO starts VALUES (1, 'sandbox', 4, 99.5);
INSERT INTO pace VALUES ('sandbox', 77.25, 2);
INSERT INTO places VALUES ('sandbox', 'r', 3, 5, 55.125);
"""

KNOWN = {"1": (KNOWN_SINCE_1,), "2": (KNOWN_SINCE_1, KNOWN_SINCE_2)}
ALL_KNOWN = (KNOWN_SINCE_1, KNOWN_SINCE_2, KNOWN_SINCE_3)


def shape(of: Path) -> set[Any]:
    """Tables, columns, indexes, foreign keys and names of constraints, regardless of their order."""
    found: set[Any] = set()
    with closing(sqlite3.connect(of)) as db:
        for table, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall():
            found |= {(table, "column", *row) for row in db.execute("SELECT * FROM pragma_table_info(?)", (table,))}
            names = re.findall(r'CONSTRAINT "?(\w+)"? (PRIMARY KEY|UNIQUE|FOREIGN KEY|CHECK)', sql)
            found |= {(table, "constraint", *each) for each in names}
            for row in db.execute("SELECT * FROM pragma_foreign_key_list(?)", (table,)):
                found.add((table, "reference", *row[2:]))
            for _, name, *rest in db.execute("SELECT * FROM pragma_index_list(?)", (table,)).fetchall():
                columns = db.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (name,)).fetchall()
                shown = "" if name.startswith("sqlite_autoindex") else name  # numbered in the order of constraints
                found.add((table, "index", shown, *rest, *columns))
        for name, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"):
            found.add((name, "index as written", " ".join(sql.split())))
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
            found |= {(name, "column", *row) for row in db.execute("SELECT * FROM pragma_table_info(?)", (name,))}
        others = db.execute("SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index', 'view')")
        assert others.fetchone() == (0,)
    return found


def rows(of: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(of)) as db:
        return db.execute(sql).fetchall()


@pytest.mark.parametrize("version", OLD)
def test_a_migrated_ledger_has_exactly_the_shape_of_a_new_one(path: Path, version: str) -> None:
    write(path, OLD[version], *KNOWN.get(version, ALL_KNOWN))
    new = path.with_name("new.sqlite")
    opened(path).dispose()
    opened(new).dispose()
    assert shape(path) == shape(new)
    assert rows(path, "SELECT version_num FROM alembic_version") == rows(new, "SELECT version_num FROM alembic_version")
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert rows(path, "PRAGMA foreign_key_check") == []


def test_the_migrations_from_nothing_make_exactly_the_shape_of_a_new_ledger(path: Path) -> None:
    new = path.with_name("new.sqlite")
    opened(new).dispose()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as db:
        ALEMBIC_VERSION.create(db)
        migrate.upgrade(db, 0)
    engine.dispose()
    assert shape(path) == shape(new)


def test_a_file_with_a_meta_table_and_no_version_becomes_a_ledger(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE meta (name TEXT NOT NULL CONSTRAINT pk_meta PRIMARY KEY, value TEXT NOT NULL)")
    opened(path).dispose()
    assert rows(path, "SELECT value FROM meta WHERE name = 'schema_version'") == [(str(SCHEMA_VERSION),)]


def test_a_ledger_already_migrated_by_another_process_is_left_alone(path: Path) -> None:
    opened(path).dispose()
    before = path.read_bytes()
    engine = sa.create_engine(f"sqlite:///{path}")
    opening._migrate(engine, find_database(f"sqlite:///{path}"))
    engine.dispose()
    assert path.read_bytes() == before


def test_what_holds_shapes_together_sees_every_part(path: Path) -> None:
    opened(path).dispose()
    kinds = {each[1] for each in shape(path)}
    assert kinds == {"column", "constraint", "reference", "index", "index as written"}
    names = {each[2] for each in shape(path) if each[1] == "constraint"}
    assert {"pk_attempt", "uq_run_run_no", "fk_attempt_run_id_run", "uq_planned_once"} <= names
    opened(path.with_name("other.sqlite")).dispose()
    with closing(sqlite3.connect(path.with_name("other.sqlite"))) as db, db:
        db.execute("DROP INDEX one_live")
    assert shape(path) != shape(path.with_name("other.sqlite"))


@pytest.mark.parametrize("version", OLD)
def test_a_migrated_ledger_is_not_touched_by_opening_it_again(path: Path, version: str) -> None:
    write(path, OLD[version], *KNOWN.get(version, ALL_KNOWN))
    opened(path).dispose()
    before = path.read_bytes()
    opened(path).dispose()
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", OLD)
def test_what_every_version_knew_is_kept_and_money_is_exact(path: Path, version: str) -> None:
    write(path, OLD[version], *KNOWN.get(version, ALL_KNOWN))
    takes = rows(path, "SELECT * FROM take ORDER BY fingerprint")
    same = (
        "attempt_id, fingerprint, attempt_no, state, run_id, allowed_by, intent_at, submitted_at, "
        "completed_at, created_at, prediction_id, prediction_status, outputs, has_nsfw_contents, inference_ms, "
        "error_code, error, polls"
    )
    attempts = rows(path, f"SELECT {same} FROM attempt ORDER BY attempt_id")
    runs = rows(path, "SELECT run_id, manifest, started_at, host, pid FROM run ORDER BY started_at")
    opened(path).dispose()
    assert rows(path, "SELECT * FROM take ORDER BY fingerprint") == takes
    assert rows(path, f"SELECT {same} FROM attempt ORDER BY attempt_id") == attempts
    assert rows(path, "SELECT run_id, manifest, started_at, host, pid FROM run ORDER BY run_no") == runs
    assert rows(path, "SELECT quoted_microusd, typeof(quoted_microusd) FROM attempt ORDER BY attempt_id") == [
        (100_000, "integer"),
        (2_500_000, "integer"),
        (None, "null"),
        (300_000, "integer"),
        (2_500_000, "integer"),
        (1_234_567, "integer"),
    ]
    reserved = rows(path, "SELECT run_id, run_no, committed_microusd, typeof(committed_microusd), unpriced FROM run")
    assert sorted(reserved) == [("q", 1, 100_000, "integer", 0), ("r", 2, 4_034_567, "integer", 1)]
    assert rows(path, "SELECT attempt_id, ended_run_no FROM attempt WHERE ended_run_no IS NOT NULL") == [(1, 0), (5, 0)]
    assert rows(path, "SELECT prediction_model FROM attempt WHERE prediction_model IS NOT NULL") == []
    assert rows(path, "SELECT * FROM alias") == []
    assert (
        dict(rows(path, "SELECT name, value FROM meta")).items()
        >= {
            "schema_version": str(SCHEMA_VERSION),
            "intents": "6",
        }.items()
    )


@pytest.mark.parametrize("version", OLD)
def test_what_was_held_is_held_for_the_same_reason(path: Path, version: str) -> None:
    write(path, OLD[version], *KNOWN.get(version, ALL_KNOWN))
    opened(path).dispose()
    held = rows(path, "SELECT attempt_id, held_for FROM attempt WHERE held_for IS NOT NULL ORDER BY attempt_id")
    assert held == [(4, "lost"), (6, "conflict" if version == "1" else "evidence")]


def test_a_ledger_of_version_1_is_migrated_whole(path: Path) -> None:
    write(path, OLD["1"], KNOWN_SINCE_1)
    opened(path).dispose()
    kept = "SELECT fingerprint, state, nonce, candidates FROM attempt WHERE attempt_id = 2"
    assert rows(path, kept) == [("f", "unknown", "", None)]
    assert rows(path, "SELECT value FROM meta WHERE name = 'schema_version'") == [(str(SCHEMA_VERSION),)]
    ((ledger_id,),) = rows(path, "SELECT value FROM meta WHERE name = 'ledger_id'")
    assert re.fullmatch(r"[0-9a-f]{32}", ledger_id)


@pytest.mark.parametrize("version", [version for version in OLD if version != "1"])
def test_a_ledger_since_version_2_keeps_windows_remarks_orphans_and_name(path: Path, version: str) -> None:
    write(path, OLD[version], KNOWN_SINCE_1, KNOWN_SINCE_2)
    columns = "attempt_id, nonce, window_from, window_to, absent_since, candidates, settled_by"
    tables = {name: rows(path, f"SELECT * FROM {name}") for name in ("remark", "orphan")}
    before = rows(path, f"SELECT {columns} FROM attempt ORDER BY attempt_id")
    opened(path).dispose()
    assert rows(path, f"SELECT {columns} FROM attempt ORDER BY attempt_id") == before
    assert {name: rows(path, f"SELECT * FROM {name}") for name in tables} == tables
    assert all(tables.values())
    assert rows(path, "SELECT value FROM meta WHERE name = 'ledger_id'") == [("abc",)]


def test_a_ledger_of_version_2_gets_what_keeps_the_pace(path: Path) -> None:
    write(path, OLD["2"], KNOWN_SINCE_1)
    opened(path).dispose()
    tables = {name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"starts", "pace", "slots"} <= tables
    assert rows(path, "SELECT value FROM meta WHERE name = 'schema_version'") == [(str(SCHEMA_VERSION),)]


def test_a_ledger_of_version_3_keeps_its_pace(path: Path) -> None:
    write(path, OLD["3"], *ALL_KNOWN)
    tables = {name: rows(path, f"SELECT * FROM {name}") for name in ("starts", "pace", "places")}
    tables["slots"] = tables.pop("places")
    opened(path).dispose()
    assert {name: rows(path, f"SELECT * FROM {name}") for name in tables} == tables
    assert all(tables.values())
    assert rows(path, "SELECT value FROM meta WHERE name = 'schema_version'") == [(str(SCHEMA_VERSION),)]


def test_a_ledger_of_version_4_gets_its_view_and_keeps_its_slots(path: Path) -> None:
    columns = "attempt_id, fingerprint, attempt_no, state, run_id, allowed_by, image_url, intent_at, quoted_microusd"
    attempt = f"INSERT INTO attempt ({columns})"
    known = f"""
    INSERT INTO run (run_id, run_no, manifest, started_at, host, pid) VALUES ('r', 1, 'm', '2026-03-01', 'h', 1);
    INSERT INTO take VALUES ('f', 'sandbox', 'm', '5s', '{{}}');
    {attempt} VALUES (1, 'f', 1, 'failed', 'r', 'plan', 'u', '2026-03-01', 2500000);
    {attempt} VALUES (2, 'f', 2, 'completed', 'r', 'plan', 'u', '2026-03-01', 1500000);
    INSERT INTO places VALUES ('sandbox', 'r', 3, 5, 55.125);
    """
    write(path, VERSION_4, known)
    opened(path).dispose()
    found = rows(path, "SELECT fingerprint, attempt_id, state, attempts, cost_microusd FROM newest_attempt")
    assert found == [("f", 2, "completed", 2, 4_000_000)]
    assert rows(path, "SELECT * FROM slots") == [("sandbox", "r", 3, 5, 55.125)]
    assert rows(path, "SELECT value FROM meta WHERE name = 'schema_version'") == [(str(SCHEMA_VERSION),)]


@pytest.mark.parametrize("version", OLD)
def test_a_ledger_that_cannot_be_migrated_is_left_exactly_as_it_is(path: Path, version: str) -> None:
    write(path, OLD[version], *KNOWN.get(version, ALL_KNOWN), "DELETE FROM take WHERE fingerprint = 'f';")
    before = dump(path)
    with pytest.raises(LedgerUnusableError, match=r"a row of attempt refers to nothing.*Nothing was changed"):
        opened(path)
    assert dump(path) == before


def test_processes_may_migrate_the_same_ledger_at_the_same_time(path: Path) -> None:
    write(path, OLD["3"], *ALL_KNOWN)
    makers = [
        subprocess.Popen([sys.executable, "-c", OPEN, f"sqlite:///{path}"], stderr=subprocess.PIPE) for _ in range(3)
    ]
    ends: list[Any] = [(maker.communicate()[1], maker.returncode) for maker in makers]
    assert ends == [(b"", 0)] * 3
    assert rows(path, "SELECT count(*) FROM attempt") == [(6,)]
    assert rows(path, "SELECT version_num FROM alembic_version") == [(REVISION,)]


@ON_SQLITE
async def test_a_dangling_row_makes_a_ledger_unsound(ledger: Any) -> None:
    await ledger.buy()
    await ledger.opened.require_sound()
    with closing(sqlite3.connect(ledger.path)) as other:
        other.execute("DELETE FROM take")
        other.commit()
    with pytest.raises(LedgerUnusableError, match="a row of attempt refers to nothing"):
        await ledger.opened.require_sound()


@ON_SQLITE
async def test_an_index_that_lost_its_rows_is_damage(ledger: Any) -> None:
    await ledger.buy()
    with closing(sqlite3.connect(ledger.path)) as other:
        other.execute("PRAGMA writable_schema = ON")
        other.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'fingerprint, renewal)', 'state)') WHERE name = 'one_live'"
        )
        other.commit()
    again = open_ledger(f"sqlite:///{ledger.path}")
    with pytest.raises(LedgerUnusableError, match=r"it is damaged.*Restore it from a backup"):
        await again.require_sound()
    again.close()


def test_a_link_to_a_ledger_is_that_ledger(path: Path) -> None:
    opened(path).dispose()
    link = path.with_name("link.sqlite")
    link.symlink_to(path)
    assert sqlite_path(f"sqlite:///{link}") == path.resolve()
    opened(link).dispose()
    assert not runs_folder(link).exists(), "a second place for locks would take live runs for dead"


def test_what_was_reserved_since_yesterday_counts_for_its_day(path: Path) -> None:
    today = datetime.now(UTC).date()
    old, attempt = today - timedelta(days=3), "INSERT INTO attempt (fingerprint, attempt_no, state, run_id, allowed_by,"
    known = f"""
    INSERT INTO run (run_id, run_no, manifest, started_at, host, pid) VALUES ('r', 1, 'm', '2026-03-01', 'h', 1);
    INSERT INTO take VALUES ('f', 'https://api.wavespeed.ai', 'm', '5s', '{{}}'), ('s', 'sandbox', 'm', '5s', '{{}}');
    {attempt} image_url, intent_at, quoted_microusd) VALUES
      ('f', 1, 'failed', 'r', 'plan', 'u', '{today} 00:00:00.000000', 2500000),
      ('f', 2, 'unsent', 'r', 'plan', 'u', '{today} 00:00:01.000000', 9000000),
      ('f', 3, 'unknown', 'r', 'plan', 'u', '{today} 00:00:02.000000', NULL),
      ('f', 4, 'failed', 'r', 'plan', 'u', '{old} 00:00:00.000000', 4000000),
      ('s', 1, 'completed', 'r', 'plan', 'u', '{today} 00:00:00.000000', 1500000);
    """
    write(path, VERSION_4, known)
    opened(path).dispose()
    assert rows(path, "SELECT * FROM spending") == [("https://api.wavespeed.ai", today.isoformat(), 2_500_000, 1)]
    days = rows(path, "SELECT spent_on FROM attempt ORDER BY attempt_id")
    assert days == [(today.isoformat(),), (None,), (today.isoformat(),), (None,), (None,)]
