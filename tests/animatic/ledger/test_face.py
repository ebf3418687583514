"""The ledger's face: what the rest of animatic opens, asks and closes."""

from pathlib import Path
from typing import Any

import pytest

from animatic.ledger import aliases, dead_runs, files_of, ledger_name, look_into, open_ledger
from animatic.pace.limits import Limits
from animatic.takes.fingerprints import digests_of
from animatic.takes.states import State


async def test_a_run_is_alive_until_its_block_ends(ledger: Any) -> None:
    opened = ledger.opened
    async with opened.run("run-2", "file:///shots.csv") as run:
        assert run.ledger is opened
        assert opened.is_alive("run-2")
        assert run.account("sandbox", Limits(1, 1)) is not None
    assert dead_runs(ledger.url)("run-2")


async def test_intents_are_counted_beside_the_ledger(ledger: Any) -> None:
    intended = await ledger.opened.intend(ledger.intent())
    assert ledger.opened.noted_intents() == intended.intents == 1


def test_a_look_makes_no_ledger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none.sqlite"
    with look_into(url) as opened:
        assert opened is None
    assert list(tmp_path.iterdir()) == []
    assert ledger_name(url) == str(tmp_path / "none.sqlite")
    assert files_of(url) == (tmp_path / "none.sqlite", tmp_path / "none.sqlite.runs")


async def test_a_look_shows_what_is_there(ledger: Any) -> None:
    await ledger.buy()
    with look_into(ledger.url) as opened:
        assert opened is not None
        assert list(await opened.look_up(["f" * 64])) == ["f" * 64]


@pytest.mark.parametrize("others", [0, 20])
async def test_a_snapshot_is_the_same_scanned_or_sought(ledger: Any, others: int) -> None:
    for number in range(others):
        await ledger.buy(f"{number:064x}")
    attempt_id = await ledger.buy()
    found = await ledger.opened.snapshot(digests_of(["f" * 64, "e" * 64]), {}, "run-1")
    assert found.attempt_id.tolist() == [attempt_id, 0]
    assert [found.statuses[at].state for at in found.status_of.tolist()] == [State.SUBMITTED, None]


async def test_a_snapshot_knows_a_take_by_its_earlier_name(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    found = await ledger.opened.snapshot(digests_of(["e" * 64]), {"e" * 64: ["f" * 64]}, "run-1")
    assert found.attempt_id.tolist() == [attempt_id]


async def test_two_attempts_under_two_names_are_one_take_and_cost_both(ledger: Any) -> None:
    own, old = "e" * 64, "f" * 64
    await ledger.finish(await ledger.buy(own, cost_usd=1.0))
    await ledger.buy(old, cost_usd=2.0)
    await ledger.opened.know_aliases({own: [old]})
    assert await ledger.opened.transactions.do(0.0, aliases.apart) == {own: [old]}
    record = await ledger.find(own)
    assert (record.attempts, record.cost_microusd) == (2, 3_000_000)
    status = await ledger.do("newest_status", own, "run-1")
    assert status.take_status.state is record.state
    assert status.attempt_id == record.attempt_id


async def test_a_manifest_without_takes_is_planned_all_the_same(ledger: Any) -> None:
    await ledger.opened.add_planned("file:///empty.csv", [])
    await ledger.opened.finish_planned("file:///empty.csv", "digest")
    assert await ledger.opened.content_of("file:///empty.csv") == "digest"


def test_a_closed_ledger_is_closed_at_the_end_of_its_block(tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as opened:
        assert opened.receipts_left_behind() == {}
        opened.sweep()
        opened.note_intents(0)
