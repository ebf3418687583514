"""The ledger's face: what the rest of animatic opens, asks and closes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from animatic.errors import LedgerError, LedgerUnusableError
from animatic.ledger import (
    KeptClip,
    PlannedTake,
    WantedClip,
    aliases,
    dead_runs,
    files_of,
    ledger_name,
    look_into,
    open_ledger,
)
from animatic.ledger.clips import DESCRIBED, MOST_NAMESAKES
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


def test_a_server_that_a_service_file_names_is_shown_by_its_service() -> None:
    assert ledger_name("postgresql:///?service=animatic") == "postgresql:///?service=animatic"


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


async def test_an_attempt_under_an_earlier_name_alone_is_the_takes(ledger: Any) -> None:
    attempt_id = await ledger.buy("f" * 64, cost_usd=2.0)
    await ledger.opened.transactions.do(0.0, aliases.add, "f" * 64, "e" * 64)
    record = await ledger.find("e" * 64)
    assert (record.fingerprint, record.attempt_id, record.cost_microusd) == ("e" * 64, attempt_id, 2_000_000)


async def test_a_manifest_without_takes_is_planned_all_the_same(ledger: Any) -> None:
    await ledger.opened.add_planned("file:///empty.csv", [])
    await ledger.opened.finish_planned("file:///empty.csv", "digest", 0)
    assert await ledger.opened.content_of("file:///empty.csv") == "digest"


def test_a_closed_ledger_is_closed_at_the_end_of_its_block(tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as opened:
        assert opened.receipts_left_behind() == {}
        opened.sweep()
        opened.note_intents(0)


def wanted(attempt_id: int, *names: str, output: int = 1) -> WantedClip:
    return WantedClip(attempt_id, output, tuple((name, name.casefold()) for name in names))


async def test_a_clip_has_one_name_and_one_run_fetches_it(ledger: Any) -> None:
    opened, attempt_id, other_id = ledger.opened, await ledger.buy(), await ledger.buy("e" * 64)
    (first,) = await opened.book_clips("file:///a", [wanted(attempt_id, "One", "One_f")], "run-1")
    assert (first.clip.name, first.clip.run_id, first.clip.uri, first.copies) == ("One", "run-1", None, ())
    (again,) = await opened.book_clips("file:///a", [wanted(attempt_id, "One", "One_f")], "run-2")
    assert again.clip == first.clip
    (second,) = await opened.book_clips("file:///a", [wanted(other_id, "ONE", "ONE_e")], "run-2")
    assert second.clip.name == "ONE_e", "some disks know no case"
    (third,) = await opened.book_clips("file:///a", [wanted(other_id, "one", "one_E", output=2)], "run-2")
    assert third.clip.name == "one_E_2", "a name that others have gets a number"
    (known,) = await opened.book_clips("file:///a", [wanted(other_id, "one", "one_E", output=2)], "run-2")
    assert known.clip == third.clip, "and keeps it"
    assert await opened.take_over_booking(first.clip, "run-2")
    assert not await opened.take_over_booking(first.clip, "run-2")


async def test_a_clip_that_is_kept_is_known_wherever_it_is_wanted(ledger: Any) -> None:
    opened, attempt_id = ledger.opened, await ledger.buy()
    (booked,) = await opened.book_clips("file:///a", [wanted(attempt_id, "one")], "run-1")
    await opened.keep_clips([KeptClip(booked.clip.clip_id, "one é.mp4", "ab", 7)])
    (elsewhere,) = await opened.book_clips("s3://b", [wanted(attempt_id, "one")], "run-1")
    assert [clip.uri for clip in elsewhere.copies] == ["file:///a/one%20%C3%A9.mp4"]
    assert elsewhere.clip.archive == "s3://b"
    (known,) = await opened.book_clips("file:///a", [wanted(attempt_id, "one")], "run-1")
    assert (known.clip.file, known.copies) == ("one é.mp4", ())
    assert known.clip.archived_at is not None
    assert await opened.clips_in("file:///a", 0) == [(booked.clip.clip_id, attempt_id, "one", "one é.mp4", 7)]
    assert await opened.clips_in("file:///a", booked.clip.clip_id) == []
    for stale in (replace(known.clip, run_id="run-2"), booked.clip):
        await opened.give_up_clip(stale, "another run has it, or has kept it by now")
    assert (await opened.clips_of(["f" * 64]))[0][1].file is not None
    await opened.give_up_clip(known.clip, "gone")
    found = await opened.clips_of(["f" * 64])
    assert [(name, clip.uri, clip.error) for name, clip in found] == [
        ("f" * 64, None, "gone"),
        ("f" * 64, None, None),
    ]


async def test_a_version_is_what_a_shot_asked_for_at_one_time(ledger: Any) -> None:
    opened = ledger.opened
    before, now, other = ("a" * 64, "b" * 64), ("c" * 64, "d" * 64), "e" * 64
    for uri, names in (("file:///s.csv", before), ("file:///s.csv", now)):
        await opened.add_planned(
            uri, [PlannedTake(1, take, "board", "one", name) for take, name in enumerate(names, 1)]
        )
    await opened.add_planned("file:///s.csv", [PlannedTake(2, 1, "board", "two", other)])
    names = [*before, *now, other]
    versions = await opened.versions_of("file:///s.csv", names)
    assert versions == dict(zip(names, (1, 1, 2, 2, 1), strict=True))
    assert await opened.versions_of(None, names) == versions
    assert await opened.versions_of("file:///none.csv", names) == {}
    assert await opened.versions_of(None, []) == {}


async def test_the_usual_clip_size_is_the_mean_of_the_kept_clips(ledger: Any) -> None:
    opened, attempt_id = ledger.opened, await ledger.buy()
    assert await opened.usual_clip_bytes() is None
    for number, size_bytes in enumerate((10, 21), 1):
        (booked,) = await opened.book_clips("file:///a", [wanted(attempt_id, f"n{number}", output=number)], "run-1")
        await opened.keep_clips([KeptClip(booked.clip.clip_id, f"n{number}.mp4", "ab", size_bytes)])
    assert await opened.usual_clip_bytes() == 16


async def test_an_archive_with_a_thousand_namesakes_is_full(ledger: Any) -> None:
    opened, attempt_id = ledger.opened, await ledger.buy()
    names = ["one", *(f"one_{number}" for number in range(2, MOST_NAMESAKES))]
    await opened.book_clips(
        "file:///a", [wanted(attempt_id, name, output=number) for number, name in enumerate(names, 2)], "run-1"
    )
    with pytest.raises(LedgerError, match="no name is left for one"):
        await opened.book_clips("file:///a", [wanted(attempt_id, "one")], "run-1")


async def test_clips_of_an_archive_are_described_by_shot_take_and_checks(ledger: Any) -> None:
    opened, attempt_id = ledger.opened, await ledger.buy()
    await ledger.finish(attempt_id)
    await opened.add_planned("file:///s.csv", [PlannedTake(1, 1, "board", "pier", "f" * 64)])
    (kept,) = await opened.book_clips("file:///a", [wanted(attempt_id, "one")], "run-1")
    await opened.book_clips("file:///a", [wanted(attempt_id, "two", output=2)], "run-1")  # not fetched yet
    await opened.keep_clips([KeptClip(kept.clip.clip_id, "one.mp4", "ab", 7)])
    (row,) = await opened.described_clips("file:///a", 0)
    found = dict(zip(DESCRIBED, row, strict=True))
    assert (found["file"], found["storyboard"], found["shot_id"]) == ("one.mp4", "board", "pier")
    assert (found["fingerprint"], found["inference_ms"], found["failed"]) == ("f" * 64, 4_000, None)
    assert await opened.described_clips("file:///a", found["clip_id"]) == []


async def test_an_answer_says_that_the_ledger_can_be_reached(ledger: Any) -> None:
    await ledger.opened.answer()
    ledger.opened.close()
    with pytest.raises(LedgerUnusableError):
        await ledger.opened.answer()
