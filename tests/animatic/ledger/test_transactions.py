"""Group commit: an answer means that it is on disk, and nobody pays for another's failure."""

import asyncio
import sqlite3
import threading
from contextlib import closing, suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from animatic.errors import LedgerUnusableError
from animatic.ledger import open_ledger
from animatic.ledger.transactions import LARGEST_GROUP
from tests.animatic.ledger.conftest import ON_SQLITE


def note(db: sa.Connection, name: str) -> str:
    db.execute(sa.text("INSERT INTO meta VALUES (:name, 'x')"), {"name": name})
    return name


def note_then_fail(db: sa.Connection, name: str) -> None:
    note(db, name)
    raise KeyError(name)


def names(ledger: Any) -> set[str]:
    return {
        name
        for (name,) in ledger.rows("SELECT name FROM meta WHERE name NOT IN ('schema_version', 'ledger_id', 'intents')")
    }


class Blocker:
    """Keeps the ledger's thread busy, so that what comes next is one group."""

    def __init__(self, ledger: Any) -> None:
        self._free = threading.Event()
        self._entered = threading.Event()
        self._task = asyncio.ensure_future(ledger.opened.transactions.do(0.0, self._block))

    def _block(self, _: sa.Connection) -> None:
        self._entered.set()
        self._free.wait(10)

    async def entered(self) -> None:
        await asyncio.to_thread(self._entered.wait, 10)

    async def release(self) -> None:
        self._free.set()
        await self._task


async def in_one_group(ledger: Any, *operations: Any) -> list[Any]:
    blocker = Blocker(ledger)
    await blocker.entered()
    waiting = [asyncio.ensure_future(ledger.opened.transactions.do(0.0, *operation)) for operation in operations]
    await asyncio.sleep(0)
    await blocker.release()
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_an_answer_is_given_only_after_others_can_read_it(ledger: Any) -> None:
    for number in range(20):
        await ledger.opened.transactions.do(0.0, note, f"n{number}")
        assert f"n{number}" in names(ledger)


async def test_a_result_is_durable_when_it_is_handed_out(ledger: Any) -> None:
    seen: list[bool] = []

    async def one(number: int) -> None:
        name = await ledger.opened.transactions.do(0.0, note, f"n{number}")
        seen.append(name in names(ledger))

    await asyncio.gather(*(one(number) for number in range(50)))
    assert seen == [True] * 50


async def test_until_it_is_committed_nobody_else_sees_it(ledger: Any) -> None:
    written, look = threading.Event(), threading.Event()

    def slow(db: sa.Connection) -> None:
        note(db, "slow")
        written.set()
        look.wait(10)

    task = asyncio.ensure_future(ledger.opened.transactions.do(0.0, slow))
    await asyncio.to_thread(written.wait, 10)
    try:
        before = names(ledger)
    finally:
        look.set()
    await task
    assert (before, names(ledger)) == (set(), {"slow"})


async def test_a_failing_operation_takes_only_its_own_writes_with_it(ledger: Any) -> None:
    one, failed, other = await in_one_group(ledger, (note, "one"), (note_then_fail, "failed"), (note, "other"))
    assert (one, other) == ("one", "other")
    assert isinstance(failed, KeyError)
    assert names(ledger) == {"one", "other"}


async def test_a_refused_change_takes_only_itself(ledger: Any) -> None:
    ends = await in_one_group(ledger, (note, "same"), (note, "same"), (note, "after"))
    assert (ends[0], ends[2]) == ("same", "after")
    assert isinstance(ends[1], LedgerUnusableError)
    assert names(ledger) == {"same", "after"}


async def test_what_waits_together_shares_a_transaction(ledger: Any) -> None:
    commits: list[int] = []
    event.listen(ledger.opened.transactions.engine, "commit", lambda _: commits.append(1))
    await in_one_group(ledger, *((note, f"n{number}") for number in range(LARGEST_GROUP)))
    assert len(names(ledger)) == LARGEST_GROUP
    assert len(commits) == 2  # the blocker's, and one for all the others


async def test_a_failed_commit_fails_its_group_and_not_the_next(ledger: Any) -> None:
    def note_orphan(db: sa.Connection) -> None:
        put_off = {"sqlite": "PRAGMA defer_foreign_keys=ON", "postgresql": "SET CONSTRAINTS ALL DEFERRED"}
        db.exec_driver_sql(put_off[db.dialect.name])
        db.execute(
            sa.text(
                "INSERT INTO attempt (fingerprint, attempt_no, state, run_id, allowed_by, intent_at)"
                " VALUES (:take, 9, 'unsent', 'nobody', 'plan', '2026-01-01')"
            ),
            {"take": "f" * 64},
        )

    await ledger.intend()
    if ledger.is_on_server:
        ledger.write("ALTER TABLE attempt ALTER CONSTRAINT fk_attempt_run_id_run DEFERRABLE INITIALLY IMMEDIATE")
    ends = await in_one_group(ledger, (note, "one"), (note_orphan,), (note, "two"))
    assert [type(end) for end in ends] == [LedgerUnusableError] * 3
    assert "foreign key" in str(ends[0]).lower()
    assert names(ledger) == set()
    assert await ledger.opened.transactions.do(0.0, note, "after") == "after"


@ON_SQLITE
async def test_a_full_disk_fails_the_group_and_nothing_of_it_is_kept(ledger: Any) -> None:
    def fill(db: sa.Connection) -> None:
        db.exec_driver_sql("PRAGMA max_page_count=1")  # SQLite raises it to the pages that are there
        for number in range(200):
            note(db, f"{number}" + "x" * 10_000)

    ends = await in_one_group(ledger, (note, "one"), (fill,), (note, "two"))
    assert [type(end) for end in ends] == [LedgerUnusableError] * 3
    assert "full" in str(ends[0])
    assert names(ledger) == set()


async def test_a_lost_connection_is_an_error_not_a_hang(ledger: Any) -> None:
    async with asyncio.timeout(10):
        ends = await in_one_group(ledger, (note, "one"), (sa.Connection.close,), (note, "two"))
        assert [type(end) for end in ends] == [LedgerUnusableError] * 3
        assert await ledger.opened.transactions.do(0.0, note, "after") == "after"
    assert names(ledger) == {"after"}


@ON_SQLITE
async def test_a_ledger_that_someone_else_has_locked_is_waited_for(ledger: Any) -> None:
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(ledger.opened.transactions.do(0.0, note, "patient"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        other.execute("COMMIT")
        assert await waiting == "patient"


async def test_who_gives_up_waiting_leaves_the_operation_to_finish(ledger: Any) -> None:
    blocker = Blocker(ledger)
    await blocker.entered()
    impatient = asyncio.ensure_future(ledger.opened.transactions.do(0.0, note, "impatient"))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    assert impatient.cancelled()
    await blocker.release()
    await ledger.opened.transactions.do(0.0, note, "after")
    assert names(ledger) == {"impatient", "after"}


async def test_closing_finishes_what_is_queued(ledger: Any) -> None:
    waiting = [asyncio.ensure_future(ledger.opened.transactions.do(0.0, note, f"n{number}")) for number in range(20)]
    await asyncio.sleep(0)
    await asyncio.to_thread(ledger.opened.close)
    await asyncio.gather(*waiting)
    assert len(names(ledger)) == 20


async def test_a_desk_that_was_closed_says_so(path: Any) -> None:
    opened = open_ledger(f"sqlite:///{path}")
    opened.close()
    with pytest.raises(LedgerUnusableError, match="it has been closed"):
        await opened.transactions.do(0.0, note, "late")


async def test_what_is_queued_before_the_end_is_committed_with_it(path: Any) -> None:
    opened = open_ledger(f"sqlite:///{path}")
    entered, go_on = threading.Event(), threading.Event()

    def slow(db: sa.Connection) -> None:
        entered.set()
        go_on.wait(10)

    first = asyncio.ensure_future(opened.transactions.do(0.0, slow))
    await asyncio.to_thread(entered.wait, 10)
    second = asyncio.ensure_future(opened.transactions.do(0.0, note, "queued"))
    await asyncio.sleep(0)
    closing_ledger = asyncio.ensure_future(asyncio.to_thread(opened.close))
    while opened.transactions._worker._groups.qsize() < 2:
        await asyncio.sleep(0.01)
    go_on.set()
    await asyncio.gather(first, second, closing_ledger)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM meta WHERE name = 'queued'").fetchone() == (1,)


async def test_a_desk_is_closed_at_the_end_of_its_block(backend: Any) -> None:
    with open_ledger(backend.url) as opened:
        await opened.transactions.do(0.0, note, "inside")
    with pytest.raises(LedgerUnusableError, match="it has been closed"):
        await opened.transactions.do(0.0, note, "outside")


async def test_a_ledger_that_stays_locked_says_who_may_hold_it(path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("animatic.ledger.sqlite_file.SqliteFile.BUSY_S", 0.1)
    with open_ledger(f"sqlite:///{path}") as opened, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnusableError, match="another process has kept it locked"):
            await opened.transactions.do(0.0, note, "kept out")
        with pytest.raises(LedgerUnusableError, match=r"kept it locked.*Nothing was bought\.$"):
            open_ledger(f"sqlite:///{path}")
        other.execute("COMMIT")
        assert await opened.transactions.do(0.0, note, "let in") == "let in"


async def test_where_there_is_no_company_nobody_waits_for_it(backend: Any) -> None:
    with open_ledger(backend.url, waits_for_company=False) as opened:
        assert await asyncio.wait_for(opened.transactions.do(60.0, note, "alone"), 5) == "alone"


async def test_transactions_are_reported_with_their_seconds_and_if_they_were_committed(ledger: Any) -> None:
    reports = list[tuple[float, bool]]()
    ledger.opened.report_transactions(lambda seconds, is_done: reports.append((seconds, is_done)))
    await ledger.opened.transactions.do(0.0, note, "same")
    with pytest.raises(LedgerUnusableError):
        await ledger.opened.transactions.do(0.0, note, "same")
    assert [is_done for _, is_done in reports] == [True, False]
    assert all(0 <= seconds < 60 for seconds, _ in reports)


@ON_SQLITE
async def test_a_transaction_that_sqlite_has_taken_back_hands_out_no_result(ledger: Any) -> None:
    def taken_back(db: sa.Connection) -> str:
        with suppress(IntegrityError):
            db.exec_driver_sql("INSERT OR ROLLBACK INTO meta VALUES ('ledger_id', 'x')")
        return "done"

    ends = await in_one_group(ledger, (note, "one"), (taken_back,))
    assert [type(end) for end in ends] == [LedgerUnusableError] * 2
    assert "SQLite took a transaction back" in str(ends[0])
    assert names(ledger) == set()
    assert await ledger.opened.transactions.do(0.0, note, "after") == "after"
