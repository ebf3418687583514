"""An older ledger on PostgreSQL is brought up to date, whole or not at all; a newer one is refused."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from animatic.errors import LedgerRestoredError, LedgerUnusableError, LedgerVersionError
from animatic.ledger import open_ledger
from animatic.ledger.opening import find_database
from animatic.ledger.schema import REVISION, SCHEMA_VERSION
from animatic.takes.states import State
from tests.animatic.ledger.conftest import ON_POSTGRESQL, Postgres, Shorthand, Sqlite

VERSION_15 = Path(__file__).with_name("postgresql_15.sql")
PROVIDER, DAY = "https://api.wavespeed.ai", date(2026, 11, 26)
STATES = {
    "a": (State.COMPLETED, "p-aaaaaaaa-3", 5_500_000),
    "b": (State.FAILED, "p-bbbbbbbb-2", 2_500_000),
    "c": (State.REJECTED, None, 0),
    "d": (State.UNKNOWN, None, None),
    "e": (State.HELD, "p-eeeeeeee-6", 2_500_000),
    "1": (State.SUBMITTED, "p-11111111-7", 2_500_000),
    "2": (State.SUBMITTING, None, 0),
}
"""By the letter of each take: the newest state, its prediction, and what all its attempts cost."""


def fill(url: str) -> None:
    with psycopg.connect(url) as db:
        db.execute(VERSION_15.read_bytes())


@pytest.fixture
def old(backend: Postgres) -> Postgres:
    """A ledger of version 15 whose second run has died."""
    fill(backend.url)
    return backend


def tables(url: str) -> dict[str, list[Any]]:
    """Return the rows of each table, in the order of their text."""
    names = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1"
    with psycopg.connect(url) as db:
        return {
            name: db.execute(f'SELECT to_jsonb(each) FROM "{name}" AS each ORDER BY each::text'.encode()).fetchall()
            for (name,) in db.execute(names).fetchall()
        }


def shape(backend: Postgres) -> set[Any]:
    """Columns, constraints, indexes and the view, regardless of their order."""
    columns = """SELECT table_name, column_name, data_type, is_nullable, replace(column_default, current_schema(), '')
    FROM information_schema.columns WHERE table_schema = current_schema()"""
    constraints = """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = current_schema()::regnamespace"""
    indexes = """SELECT indexname, replace(indexdef, current_schema(), '') FROM pg_indexes
    WHERE schemaname = current_schema()"""
    views = "SELECT viewname, definition FROM pg_views WHERE schemaname = current_schema()"
    return {row for sql in (columns, constraints, indexes, views) for row in backend.rows(sql)}


@ON_POSTGRESQL
async def test_outcomes_and_costs_are_what_they_were(old: Postgres) -> None:
    names = [letter * 64 for letter in STATES]
    with open_ledger(old.url) as ledger:
        found = await ledger.look_up(names)
        assert {name[0]: (each.state, each.prediction_id, each.cost_microusd) for name, each in found.items()} == STATES
        completed = found["a" * 64]
        assert (completed.outputs, completed.attempts, completed.charged_microusd) == (
            ("https://cdn.example/1.mp4",),
            2,
            3_000_000,
        )
        assert found["b" * 64].error == "too dark for é"
        assert await ledger.reserved_by("run-1") == (5_000_000, 0)
        assert await ledger.reserved_by("run-2") == (10_500_000, 1)
        assert await ledger.spent_on(PROVIDER, DAY) == (15_500_000, 1)
        assert [item.microusd for item in await ledger.bill_items_of(PROVIDER, ["p-aaaaaaaa-3"])] == [3_000_000]
        assert [(name[0], clip.uri) for name, clip in await ledger.clips_of(names)] == [
            ("a", "file:///film/clips/one.mp4")
        ]


@ON_POSTGRESQL
async def test_what_was_in_flight_is_seen_through(old: Postgres) -> None:
    ledger = Shorthand(old)
    assert await ledger.opened.runs_submitting() == ["run-2"]
    await ledger.do("give_up_submitting", "run-2", datetime(2026, 11, 28, tzinfo=UTC))
    await ledger.begin("run-3")
    await ledger.finish(7)
    assert (await ledger.find("1" * 64)).state is State.COMPLETED
    assert (await ledger.find("2" * 64)).state is State.UNKNOWN
    assert await ledger.buy("3" * 64, run_id="run-3") == 9
    assert ledger.rows("SELECT value FROM meta WHERE name = 'intents'") == [("9",)]
    ledger.opened.close()


@ON_POSTGRESQL
def test_no_row_is_changed_or_lost(old: Postgres) -> None:
    before = tables(old.url)
    open_ledger(old.url).close()
    after = tables(old.url)
    assert {name: after[name] for name in before if name not in {"meta", "alembic_version"}} == {
        name: rows for name, rows in before.items() if name not in {"meta", "alembic_version"}
    }
    assert after["alembic_version"] == [({"version_num": REVISION},)]
    (version,) = [row for row in after["meta"] if row not in before["meta"]]
    assert version == ({"name": "schema_version", "value": str(SCHEMA_VERSION)},)
    open_ledger(old.url).close()
    assert tables(old.url) == after


@pytest.fixture
def new(backend: Postgres, tmp_path: Path) -> Iterator[Postgres]:
    """Another ledger, which today's code has made."""
    made = Postgres(tmp_path)
    open_ledger(made.url).close()
    yield made
    made.end()


@ON_POSTGRESQL
def test_it_has_the_shape_of_a_new_ledger(old: Postgres, new: Postgres) -> None:
    open_ledger(old.url).close()
    assert shape(old) == shape(new)
    assert {"newest_attempt", "one_live"} <= {row[0] for row in shape(new)}


OPENER = """
import sys
from animatic.ledger import open_ledger
open_ledger(sys.argv[1]).close()
"""


@ON_POSTGRESQL
def test_machines_that_open_it_at_the_same_time_upgrade_it_once(old: Postgres, tmp_path: Path) -> None:
    before = tables(old.url)["attempt"]
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, old.url],
            env=os.environ | {"ANIMATIC_HOME": str(tmp_path / f"machine-{number}")},
            stderr=subprocess.PIPE,
        )
        for number in range(3)
    ]
    assert [(each.communicate()[1], each.returncode) for each in openers] == [(b"", 0)] * 3
    assert tables(old.url)["attempt"] == before
    assert old.rows("SELECT version_num FROM alembic_version") == [(REVISION,)]


@ON_POSTGRESQL
def test_an_upgrade_that_fails_changes_nothing(old: Postgres) -> None:
    old.write("CREATE TABLE media (batch_id text)")  # as a part of a later version that was restored over it leaves it
    before = tables(old.url)
    with pytest.raises(LedgerUnusableError, match=r'^ledger postgresql://.*"media" already exists.*Nothing was bought'):
        open_ledger(old.url)
    assert tables(old.url) == before
    old.write("DROP TABLE media")
    open_ledger(old.url).close()


@ON_POSTGRESQL
def test_a_newer_ledger_is_refused_with_advice_and_left_as_it_is(backend: Postgres) -> None:
    open_ledger(backend.url).close()
    backend.write("UPDATE meta SET value = ? WHERE name = 'schema_version'", str(SCHEMA_VERSION + 1))
    backend.write("ALTER TABLE run RENAME TO journey")
    before = tables(backend.url)
    with pytest.raises(LedgerVersionError) as raised:
        open_ledger(backend.url)
    assert str(raised.value) == (
        f"ledger {find_database(backend.url).name}: found schema version {SCHEMA_VERSION + 1}; this animatic knows "
        f"{SCHEMA_VERSION}. Install the version that wrote it."
    )
    assert tables(backend.url) == before


def upgrade_to_the_next_version(db: sa.Connection) -> None:
    """Change a ledger as migrations do: a column more, the view made anew."""
    ask = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE name = 'newest_attempt'",
        "postgresql": "SELECT 'CREATE VIEW newest_attempt AS ' || pg_get_viewdef('newest_attempt')",
    }
    view = db.exec_driver_sql(ask[db.dialect.name]).scalar_one()
    for statement in (
        "DROP VIEW newest_attempt",
        "ALTER TABLE attempt ADD COLUMN mood TEXT",
        view,
        f"UPDATE meta SET value = '{SCHEMA_VERSION + 1}' WHERE name = 'schema_version'",
    ):
        db.exec_driver_sql(statement)


async def test_a_run_goes_on_while_a_newer_version_upgrades_its_ledger(
    ledger: Shorthand, backend: Sqlite | Postgres
) -> None:
    async def buy(number: int) -> State:
        attempt_id = await ledger.buy(f"{number:064d}")
        await ledger.finish(attempt_id)
        return (await ledger.find(f"{number:064d}")).state

    async with ledger.opened.run("run-2", "file:///shots.csv"):
        assert [await buy(number) for number in range(8)] == [State.COMPLETED] * 8  # the server keeps their plans
        engine = find_database(backend.url).engine()
        with engine.begin() as db:
            upgrade_to_the_next_version(db)
        engine.dispose()
        assert [await buy(number) for number in range(8, 12)] == [State.COMPLETED] * 4
        with pytest.raises(LedgerVersionError):
            open_ledger(backend.url)
    assert ledger.rows("SELECT count(*) FROM attempt WHERE state = 'completed'") == [(12,)]


@pytest.fixture
def database(backend: Postgres) -> Iterator[str]:
    """URL of a database of its own, with a ledger of version 15."""
    url = re.sub(r"/[^/]*$", f"/animatic_{os.getpid()}", re.sub(r"\?.*", "", backend.url))
    make(url)
    fill(url)
    yield url
    drop(url)


def make(url: str) -> None:
    server, _, name = url.rpartition("/")
    run("createdb", "--encoding=UTF8", "--template=template0", f"--maintenance-db={server}/postgres", name)


def drop(url: str) -> None:
    server, _, name = url.rpartition("/")
    run("dropdb", f"--maintenance-db={server}/postgres", name)


def run(*command: str) -> None:
    subprocess.run(command, check=True)


@ON_POSTGRESQL
@pytest.mark.skipif(shutil.which("pg_restore") is None, reason="no pg_dump and pg_restore here")
async def test_the_way_back_is_a_dump_from_before_in_an_empty_database(database: str, tmp_path: Path) -> None:
    dump, before = tmp_path / "before.dump", tables(database)
    run("pg_dump", "--format=custom", f"--file={dump}", database)
    with open_ledger(database) as ledger:
        ledger.note_intents(9)  # as a run of the new version does, which bought one more take
    drop(database)
    make(database)
    run("pg_restore", f"--dbname={database}", str(dump))
    assert tables(database) == before
    with pytest.raises(LedgerRestoredError, match=r"holds 8 submissions.* has seen 9"):
        open_ledger(database)
