"""Pruning: what nothing depends on goes to the keeper, and each take stays what it was and cost what it did."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from animatic.errors import FixInputError
from animatic.ledger import prune_ledger
from animatic.ledger.liveness import runs_folder
from animatic.ledger.opening import find_database
from animatic.ledger.pruning import LEAST_AGE, REMOVED
from animatic.ledger.receipts import Receipt, encode
from animatic.takes.states import BuyingPolicy, State
from tests.animatic.ledger.conftest import ON_SQLITE, Shorthand

AGED = timedelta(days=40)
AGAIN = BuyingPolicy(retry_failed=True)
MOMENTS = ("intent_at", "window_from", "window_to", "submitted_at", "completed_at", "absent_since")


def month_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=30)


def grow_old(ledger: Shorthand) -> None:
    """Let everything that is there have happened 40 days earlier, and before the window of `INTENT`."""
    long_ago = datetime.now(UTC).replace(tzinfo=None) - AGED
    for name in MOMENTS:
        ledger.write(f"UPDATE attempt SET {name} = ? WHERE {name} IS NOT NULL", long_ago)
    ledger.write("UPDATE remark SET made_at = ?", long_ago)
    ledger.write("UPDATE orphan SET found_at = ?", long_ago)


@pytest.fixture
def kept() -> dict[str, list[dict[str, Any]]]:
    return {}


@pytest.fixture
def keep(kept: dict[str, list[dict[str, Any]]]) -> Any:
    return lambda kind, rows: kept.setdefault(kind, []).extend(rows.to_pylist())


async def bought_again(ledger: Shorthand) -> tuple[int, int, int, int]:
    """A take that was absent, then rejected, then failed and is completed now: the ids of its attempts."""
    absent = await ledger.intend(cost_usd=1)
    await ledger.conclude(absent, State.UNKNOWN)
    await ledger.do("remark", absent, "run-1", "odd")
    await ledger.conclude(absent, State.UNSENT)  # after all, so it is absent
    ledger.write("UPDATE attempt SET absent_since = intent_at WHERE attempt_id = ?", absent)
    rejected = await ledger.intend(cost_usd=2)
    await ledger.conclude(rejected, State.REJECTED, 1001, "a bad prompt")
    await ledger.begin("run-2")
    failed = await ledger.buy(cost_usd=2.5, run_id="run-2", policy=AGAIN)
    await ledger.finish(failed, state=State.FAILED, error="WaveSpeed broke", outputs=(), has_nsfw_contents=())
    await ledger.begin("run-3")
    completed = await ledger.buy(cost_usd=3, run_id="run-3", policy=AGAIN)
    await ledger.finish(completed)
    return absent, rejected, failed, completed


async def test_a_take_stays_what_it_was_and_cost_what_it_did(ledger: Shorthand, kept: Any, keep: Any) -> None:
    absent, rejected, failed, completed = await bought_again(ledger)
    grow_old(ledger)
    before = await ledger.find(run_id="run-4")
    pruned = prune_ledger(ledger.url, month_ago(), keep)
    assert (pruned.attempts, pruned.remarks) == (3, 1)
    assert [each["attempt_id"] for each in kept["attempts"]] == [absent, rejected]
    assert kept["attempts"][1]["error"] == "a bad prompt"
    assert [(each["attempt_id"], each["error"]) for each in kept["failed_attempts"]] == [(failed, "WaveSpeed broke")]
    assert [each["text"] for each in kept["remarks"]] == ["odd"]
    assert ledger.rows("SELECT attempt_id, state, error, prediction_id FROM attempt ORDER BY attempt_id") == [
        (failed, "failed", REMOVED, f"p-ffffffff-{failed}"),
        (completed, "completed", None, f"p-ffffffff-{completed}"),
    ]
    after = await ledger.find(run_id="run-4")
    assert after == before
    assert (after.attempts, after.cost_microusd) == (2, 5_500_000)


async def test_the_newest_attempt_stays_however_it_ended(ledger: Shorthand, kept: Any, keep: Any) -> None:
    rejected, failed = await ledger.intend("a" * 64, cost_usd=1), await ledger.buy("b" * 64, cost_usd=1)
    await ledger.conclude(rejected, State.REJECTED, 1001, "a bad prompt")
    await ledger.finish(failed, state=State.FAILED, error="WaveSpeed broke")
    grow_old(ledger)
    before = [await ledger.find(each * 64) for each in "ab"]
    assert prune_ledger(ledger.url, month_ago(), keep).attempts == 0
    assert [await ledger.find(each * 64) for each in "ab"] == before
    assert set(kept) == {"polls"}


async def test_it_finds_nothing_the_second_time(ledger: Shorthand, kept: Any, keep: Any) -> None:
    await bought_again(ledger)
    grow_old(ledger)
    prune_ledger(ledger.url, month_ago(), keep)
    kept.clear()
    assert prune_ledger(ledger.url, month_ago(), keep)[:-1] == (0, 0, 0, 0, 0, 0)
    assert kept == {}


async def test_what_is_young_or_open_stays(ledger: Shorthand, kept: Any, keep: Any) -> None:
    await bought_again(ledger)
    assert prune_ledger(ledger.url, month_ago(), keep)[:-1] == (0, 0, 0, 0, 0, 0)
    for number, state in enumerate((State.UNKNOWN, State.SUBMITTED, State.SUBMITTING)):
        attempt_id = await ledger.intend(f"{number:064d}", cost_usd=1)
        await ledger.do("remark", attempt_id, "run-1", "open")
        if state is State.UNKNOWN:
            await ledger.conclude(attempt_id, State.UNKNOWN)
        if state is State.SUBMITTED:
            await ledger.accept(attempt_id, "p-open")
    grow_old(ledger)
    prune_ledger(ledger.url, month_ago(), keep)
    assert "open" not in {each["text"] for each in kept["remarks"]}
    assert ledger.rows("SELECT count(*) FROM remark") == [(3,)]
    assert ledger.rows("SELECT count(*) FROM attempt WHERE nonce = ''") == [(2,)]
    assert ledger.rows("SELECT count(*) FROM attempt") == [(5,)]


async def test_what_the_keeper_does_not_take_stays(ledger: Shorthand) -> None:
    await bought_again(ledger)
    grow_old(ledger)

    def refuse(kind: str, _rows: pa.Table) -> None:
        raise OSError(f"no room for {kind}")

    before = ledger.rows("SELECT * FROM attempt ORDER BY attempt_id")
    with pytest.raises(OSError, match="no room for remarks"):
        prune_ledger(ledger.url, month_ago(), refuse)
    assert ledger.rows("SELECT * FROM attempt ORDER BY attempt_id") == before
    assert ledger.rows("SELECT count(*) FROM remark") == [(1,)]


async def test_many_rows_go_in_parts(ledger: Shorthand, kept: Any, keep: Any) -> None:
    attempt_id = await ledger.buy(cost_usd=1)
    await ledger.finish(attempt_id)
    for number in range(8):
        await ledger.do("remark", attempt_id, "run-1", f"odd {number}")
    grow_old(ledger)
    assert prune_ledger(ledger.url, month_ago(), keep, 3).remarks == 8
    assert [each["text"] for each in kept["remarks"]] == [f"odd {number}" for number in range(8)]


def receipts_of(ledger: Shorthand, run_id: str, attempt_id: int) -> Path:
    """The file that a dead run left on this machine, 40 days ago."""
    file = runs_folder(ledger.path) / f"{run_id}.receipts"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encode(Receipt(attempt_id, "n1", 200, b'{"code": 200}')))
    moment = (datetime.now(UTC) - AGED).timestamp()
    os.utime(file, (moment, moment))
    return file


async def test_receipts_go_once_the_ledger_waits_for_none_of_them(ledger: Shorthand, kept: Any, keep: Any) -> None:
    settled, unsettled = await ledger.buy(cost_usd=1), await ledger.intend("e" * 64, cost_usd=1, run_id="run-1")
    await ledger.finish(settled)
    await ledger.conclude(unsettled, State.UNKNOWN)
    told, untold = receipts_of(ledger, "run-8", settled), receipts_of(ledger, "run-9", unsettled)
    assert prune_ledger(ledger.url, month_ago(), keep).receipts == 1
    assert (told.exists(), untold.exists()) == (False, True)
    assert [(each["run_id"], each["body"]) for each in kept["receipts"]] == [("run-8", b'{"code": 200}')]


async def test_receipts_without_a_whole_reply_go_and_nothing_is_kept_of_them(
    ledger: Shorthand, kept: Any, keep: Any
) -> None:
    file = receipts_of(ledger, "run-8", await ledger.buy(cost_usd=1))
    os.truncate(file, 3)  # as its machine left it when its power was cut
    os.utime(file, (0, 0))
    assert prune_ledger(ledger.url, month_ago(), keep).receipts == 0
    assert not file.exists()
    assert "receipts" not in kept


async def test_receipts_of_a_run_that_was_still_submitting_stay(ledger: Shorthand, keep: Any) -> None:
    settled = await ledger.buy(cost_usd=1)
    await ledger.finish(settled)
    await ledger.intend("e" * 64, cost_usd=1)  # its reply may be the next that is read
    file = receipts_of(ledger, "run-1", settled)
    assert prune_ledger(ledger.url, month_ago(), keep).receipts == 0
    assert file.exists()


async def test_receipts_that_another_run_has_read_meanwhile_are_passed_over(ledger: Shorthand) -> None:
    settled = await ledger.buy(cost_usd=1)
    await ledger.finish(settled)
    files = [receipts_of(ledger, run_id, settled) for run_id in ("run-8", "run-9")]

    def read_by_another(kind: str, rows: pa.Table) -> None:
        if kind == "receipts":
            (run_id,) = rows["run_id"].to_pylist()
            kept.append(run_id)
            next(each for each in files if each.stem != run_id).unlink()

    kept = list[str]()
    assert prune_ledger(ledger.url, month_ago(), read_by_another).receipts == len(kept) == 1


@ON_SQLITE
async def test_a_file_is_made_smaller_once_no_run_is_under_way(ledger: Shorthand, keep: Any) -> None:
    await bought_again(ledger)
    grow_old(ledger)
    async with ledger.opened.run("run-5", "file:///shots.csv"):
        assert not prune_ledger(ledger.url, month_ago(), keep).is_compacted
    assert prune_ledger(ledger.url, month_ago(), keep).is_compacted
    assert ledger.rows("PRAGMA freelist_count") == [(0,)]


@ON_SQLITE
async def test_a_file_is_not_compacted_without_room_to_rewrite_it(ledger: Shorthand, keep: Any) -> None:
    await ledger.finish(await ledger.buy())
    before = ledger.rows("SELECT * FROM attempt")
    with no_file_larger_than(4_096):
        assert not find_database(ledger.url).compact()
    assert ledger.rows("SELECT * FROM attempt") == before
    assert find_database(ledger.url).compact()


@contextmanager
def no_file_larger_than(size_bytes: int) -> Iterator[None]:
    """Let this process write no file beyond a size, as on a disk without room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_last_days_stay(ledger: Shorthand, keep: Any) -> None:
    with pytest.raises(FixInputError, match="found less than 8 days; allowed: so many or more"):
        prune_ledger(ledger.url, datetime.now(UTC) - LEAST_AGE + timedelta(hours=1), keep)


def test_without_a_ledger_there_is_nothing_to_prune(tmp_path: Path, keep: Any) -> None:
    with pytest.raises(FixInputError, match="there is none to prune"):
        prune_ledger(f"sqlite:///{tmp_path}/none.sqlite", month_ago(), keep)
    assert list(tmp_path.iterdir()) == []
