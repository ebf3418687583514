"""Copies of a ledger: whole and compared or not at all, and never two that are both open."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from animatic.errors import FixInputError, LedgerClosedError, LedgerUnusableError
from animatic.ledger import back_up_ledger, copy_ledger, copying, open_ledger, verify_ledger
from animatic.ledger.opening import find_database
from animatic.ledger.schema import LAST_COMMIT, METADATA, PACE, SLOTS, STARTS
from animatic.takes.states import State
from tests.animatic.ledger.conftest import BACKENDS, ON_POSTGRESQL, ON_SQLITE, Postgres, Shorthand, Sqlite

Either = Sqlite | Postgres


def untold(_table: str, _rows: int) -> None:
    pass


@pytest.fixture(params=BACKENDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Either]:
    (tmp_path / "target").mkdir()
    made = BACKENDS[request.param](tmp_path / "target")
    yield made
    made.end()


@pytest.fixture
async def source(backend: Any) -> str:
    """A closed ledger with a take in several states, remarks, a charge and an odd text."""
    ledger = Shorthand(backend)
    await ledger.begin()
    for number, state in enumerate((State.COMPLETED, State.FAILED, State.FAILED)):
        attempt_id = await ledger.buy(f"{number:064d}", cost_usd=2.5)
        await ledger.finish(attempt_id, state=state, error="a\0b é ß Ж" if number else None)
    again = await ledger.buy("e" * 64, cost_usd=1.25)
    await ledger.do("remark", again, "run-1", "odd")
    unknown = await ledger.intend("d" * 64, cost_usd=1)
    await ledger.conclude(unknown, State.UNKNOWN)
    ledger.opened.close()
    return backend.url


def tables(url: str) -> dict[str, list[Any]]:
    """Return all rows by table, but those of a clock and of the copy itself."""
    with open_ledger(url) as ledger, ledger.transactions.engine.begin() as db:
        found = {
            table.name: sorted(
                json.dumps([*row], default=str).replace("\\u0000", "\\u2400") for row in db.execute(sa.select(table))
            )
            for table in METADATA.sorted_tables
            if table not in {STARTS, PACE, SLOTS, LAST_COMMIT}
        }
    found["meta"] = [each for each in found["meta"] if "ledger_id" not in each]
    return found


async def test_every_row_is_in_the_copy_and_the_first_is_closed(source: str, target: Either) -> None:
    before = tables(source)
    told: dict[str, int] = {}
    copied = copy_ledger(source, target.url, told.__setitem__)
    assert (copied.takes, copied.attempts) == (5, 5)
    assert told["attempt"] == 5
    assert tables(target.url) == before
    with pytest.raises(LedgerClosedError, match=r"it was copied to .*Set ANIMATIC_LEDGER to that one"):
        open_ledger(source)


async def test_the_copy_goes_on_where_the_first_ended(source: str, target: Either) -> None:
    copy_ledger(source, target.url, untold)
    ledger = Shorthand(target)
    await ledger.begin("run-2")
    newest = await ledger.buy("c" * 64, run_id="run-2")
    assert newest == 6
    assert (await ledger.find("0".rjust(64, "0"), "run-2")).state is State.COMPLETED
    assert ledger.rows("SELECT value FROM meta WHERE name = 'intents'") == [("6",)]
    (paused,) = ledger.rows("SELECT count(*) FROM pace")[0]
    assert paused == 1  # what was started in the last minute was counted by another clock
    ledger.opened.close()


async def test_a_ledger_with_takes_is_not_copied_over(source: str, target: Either) -> None:
    other = Shorthand(target)
    await other.begin()
    await other.buy()
    other.opened.close()
    with pytest.raises(FixInputError, match=r"^ledger .* to .*: the other holds takes already"):
        copy_ledger(source, target.url, untold)
    open_ledger(source).close()


async def test_a_ledger_on_which_a_run_is_under_way_is_not_copied(source: str, target: Either) -> None:
    with open_ledger(source) as ledger:
        async with ledger.run("run-9", "file:///shots.csv"):
            with pytest.raises(FixInputError, match="run run-9 is under way on it"):
                copy_ledger(source, target.url, untold)
    copy_ledger(source, target.url, untold)


async def test_a_ledger_with_a_submission_of_a_dead_run_is_not_copied(backend: Any, target: Either) -> None:
    ledger = Shorthand(backend)
    await ledger.begin()
    await ledger.intend()
    ledger.opened.close()
    with pytest.raises(FixInputError, match="run animatic reconcile"):
        copy_ledger(backend.url, target.url, untold)


async def test_no_run_begins_on_an_opened_ledger_once_it_has_been_copied(source: str, target: Either) -> None:
    with open_ledger(source) as ledger:
        copy_ledger(source, target.url, untold)
        with pytest.raises(LedgerClosedError):
            async with ledger.run("run-9", "file:///shots.csv"):
                pytest.fail("it began")


def fail_at(name: str, error: BaseException) -> Callable[[str, int], None]:
    def tell(table: str, _rows: int) -> None:
        if table == name:
            raise error

    return tell


@pytest.mark.parametrize("error", [OSError("away"), KeyboardInterrupt()])
async def test_a_failed_copy_leaves_the_source_open_and_can_be_made_again(
    source: str, target: Either, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        copy_ledger(source, target.url, fail_at("attempt", error))
    open_ledger(source).close()
    with pytest.raises(LedgerClosedError, match=r"a copy of .* that is not whole"):
        open_ledger(target.url)
    copy_ledger(source, target.url, untold)
    open_ledger(target.url).close()


async def test_a_copy_killed_halfway_leaves_both_ledgers_closed_until_it_is_repeated(
    source: str, target: Either
) -> None:
    with open_ledger(target.url) as new:
        await new.transactions.do(0.0, copying.mark_as_copy, "the first")
    with open_ledger(source) as old, old.transactions.engine.begin() as db:
        copying.close_for(db, find_database(target.url).name, lambda _: [])
    for url in (source, target.url):
        with pytest.raises(LedgerClosedError):
            open_ledger(url)
    copy_ledger(source, target.url, untold)
    open_ledger(target.url).close()
    with pytest.raises(LedgerClosedError):
        open_ledger(source)


async def test_a_ledger_that_was_copied_before_is_not_copied_to_a_third(
    source: str, target: Either, tmp_path: Path
) -> None:
    copy_ledger(source, target.url, untold)
    third = f"sqlite:///{tmp_path}/third.sqlite"
    with pytest.raises(FixInputError, match=r"it was copied to .* before, which goes on; copy that one"):
        copy_ledger(source, third, untold)


@pytest.mark.parametrize(
    "spoiling",
    [
        {"sqlite": "UPDATE remark SET text = 'even'", "postgresql": "NEW.text := 'even'; RETURN NEW"},
        {"sqlite": "DELETE FROM remark", "postgresql": "RETURN NULL"},
    ],
    ids=["changes a row", "loses a row"],
)
async def test_a_copy_whose_database_changes_or_loses_a_row_is_refused(
    source: str, target: Either, spoiling: dict[str, str]
) -> None:
    open_ledger(target.url).close()
    if isinstance(target, Sqlite):
        target.write(f"CREATE TRIGGER spoil AFTER INSERT ON remark BEGIN {spoiling['sqlite']}; END")
    else:
        body = f"$$ BEGIN {spoiling['postgresql']}; END $$"
        target.write(f"CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS {body}")
        target.write("CREATE TRIGGER spoil BEFORE INSERT ON remark FOR EACH ROW EXECUTE FUNCTION spoil()")
    with pytest.raises(LedgerUnusableError, match="the copy of table remark is not what was read; nothing of it was"):
        copy_ledger(source, target.url, untold)
    assert target.rows("SELECT count(*) FROM take") == [(0,)]
    open_ledger(source).close()


async def test_a_ledger_is_not_copied_into_itself(source: str) -> None:
    with pytest.raises(FixInputError, match="found twice"):
        copy_ledger(source, source, untold)


async def test_a_backup_is_a_file_that_can_be_put_back(source: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.sqlite"
    with open_ledger(source) as ledger:
        async with ledger.run("run-9", "file:///shots.csv"):
            back_up_ledger(source, file, untold)
            ledger_id = ledger.transactions.opened.ledger_id
    assert file.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT value FROM meta WHERE name = 'ledger_id'").fetchone() == (ledger_id,)
    holds = verify_ledger(f"sqlite:///{file}")
    assert (holds.takes, holds.attempts, holds.runs) == (5, 5, 2)
    assert holds.newest == {"completed": 1, "failed": 2, "submitted": 1, "unknown": 1}
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("backup")] == ["backup.sqlite"]
    with pytest.raises(FixInputError, match="found a file there"):
        back_up_ledger(source, file, untold)


async def test_a_backup_that_cannot_be_written_leaves_nothing(source: str, tmp_path: Path) -> None:
    with pytest.raises(FixInputError, match="cannot be written"):
        back_up_ledger(source, tmp_path / "none" / "backup.sqlite", untold)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FixInputError, match="cannot be written"):
        back_up_ledger(source, tmp_path / "file" / "backup.sqlite", untold)


@ON_POSTGRESQL
async def test_a_file_that_appears_while_the_backup_is_written_is_not_replaced(source: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.sqlite"

    def write_one(_table: str, _rows: int) -> None:
        file.write_text("of another backup")

    with pytest.raises(FixInputError, match="found a file there; give a name that is free"):
        back_up_ledger(source, file, write_one)
    assert file.read_text() == "of another backup"
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("backup")] == ["backup.sqlite"]


@ON_SQLITE
async def test_a_backup_of_a_damaged_ledger_is_not_kept(backend: Sqlite, source: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(backend.path)) as other, other:
        other.execute("PRAGMA writable_schema = ON")
        other.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'fingerprint, renewal)', 'state)') WHERE name = 'one_live'"
        )
    with pytest.raises(LedgerUnusableError, match=r"the copy is damaged, SQLite says .*, and was not kept"):
        back_up_ledger(source, tmp_path / "backup.sqlite", untold)
    assert not list(tmp_path.glob("backup*"))


def test_what_is_no_ledger_is_told(tmp_path: Path) -> None:
    none = f"sqlite:///{tmp_path}/none.sqlite"
    with pytest.raises(FixInputError, match="there is none"):
        verify_ledger(none)
    with pytest.raises(FixInputError, match="there is none, so there is nothing to copy"):
        back_up_ledger(none, tmp_path / "backup.sqlite", untold)
    (tmp_path / "text.sqlite").write_text("no database at all" * 100)
    with pytest.raises(LedgerUnusableError, match="restore a backup"):
        verify_ledger(f"sqlite:///{tmp_path}/text.sqlite")
    sqlite3.connect(tmp_path / "empty.sqlite").close()
    with pytest.raises(FixInputError, match="found no ledger"):
        verify_ledger(f"sqlite:///{tmp_path}/empty.sqlite")
