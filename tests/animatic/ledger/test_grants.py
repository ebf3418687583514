"""The account's pace in the ledger: blocks of starts, pauses, and a clock that begins anew."""

from pathlib import Path

from animatic.ledger.grants import SILENT_S
from animatic.ledger.liveness import alive
from animatic.pace.limits import HOLD_S, Granted, Limits
from tests.animatic.conftest import account_on, direct_ledger


async def test_starts_of_a_dead_run_count_for_two_minutes(tmp_path: Path) -> None:
    opened, now = direct_ledger(tmp_path / "ledger.sqlite"), 1_000.0
    dead, live = (account_on(opened, name, Limits(4, 9)) for name in ("dead", "live"))
    dead._clock = live._clock = lambda: now
    for _ in range(4):
        assert (await dead.acquire_starts(1, ()))[1] == Granted(1)
    assert (await live.acquire_starts(1, ()))[1] == Granted(0, HOLD_S)
    now += HOLD_S
    assert (await live.acquire_starts(1, ()))[1] == Granted(1)
    opened.close()


async def test_what_was_granted_before_the_machine_started_anew_is_forgotten(tmp_path: Path) -> None:
    opened = direct_ledger(tmp_path / "ledger.sqlite")
    account = account_on(opened, "run", Limits(1, 9))
    account._clock = lambda: 500_000.0
    assert (await account.acquire_starts(1, ()))[1] == Granted(1)
    await account.pause(100.0)
    account._clock = lambda: 60.0
    assert (await account.acquire_starts(1, ()))[1] == Granted(1)
    opened.close()


async def test_a_used_up_block_counts_what_was_sent_of_it(tmp_path: Path) -> None:
    opened = direct_ledger(tmp_path / "ledger.sqlite")
    account = account_on(opened, "run", Limits(3, 9))
    account._clock = lambda: 1_000.0
    block_id, granted = await account.acquire_starts(3, ())
    assert granted == Granted(3)
    await account.settle_starts([(block_id, 1, 1_000.0)])
    assert (await account.acquire_starts(3, ()))[1] == Granted(2)
    opened.close()


async def test_a_shorter_penalty_does_not_end_a_longer_one(tmp_path: Path) -> None:
    opened = direct_ledger(tmp_path / "ledger.sqlite")
    account = account_on(opened, "run", Limits(5, 9))
    account._clock = lambda: 0.0
    assert [await account.pause(60.0), await account.pause(1.0)] == [1, 1], "of one burst"
    assert (await account.acquire_starts(1, ()))[1] == Granted(0, 60.0)
    await account.go_on()
    assert await account.pause(1.0) == 1
    opened.close()


async def test_a_refusal_after_the_pause_doubles_the_next_one(tmp_path: Path) -> None:
    opened, now = direct_ledger(tmp_path / "ledger.sqlite"), 0.0
    account = account_on(opened, "run", Limits(5, 9))
    account._clock = lambda: now
    waits = list[float]()
    for refusals in (1, 2, 3):
        assert [await account.pause(None) for _ in range(4)] == [refusals] * 4, "a burst is one refusal"
        waits.append((await account.acquire_starts(1, ()))[1].wait_s)
        now += waits[-1]
    assert waits == [5.0, 10.0, 20.0]
    opened.close()


async def test_a_run_that_is_stopped_does_not_keep_its_places_for_ever(tmp_path: Path) -> None:
    opened, now = direct_ledger(tmp_path / "ledger.sqlite"), 1_000.0
    with alive(tmp_path / "ledger.sqlite", "stopped"):
        stopped, other = (account_on(opened, name, Limits(9, 4)) for name in ("stopped", "other"))
        stopped._clock = other._clock = lambda: now
        assert await stopped.acquire_slots(0, 4) == 4
        assert await other.acquire_slots(0, 4) == 0
        now += SILENT_S
        assert await other.acquire_slots(0, 4) == 4
    opened.close()
