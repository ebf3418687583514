"""Findings of checks on clips: kept by the file that was checked and the version of the checks."""

from pathlib import Path
from typing import Any

import pytest

from animatic.ledger import KeptClip, Quality, WantedClip, open_ledger
from animatic.takes.inputs import Inputs
from tests.animatic.ledger.conftest import ON_SQLITE
from tests.animatic.ledger.old_ledgers import OLD, write

SHA, OTHER_SHA = "ab" * 32, "cd" * 32
FOUND = Quality(1, 1, SHA, 1, ("cuts", "black"), 0.75, 0.1, 0.0, 2, 3.5)
F = "f" * 64


@pytest.fixture
async def opened(ledger: Any) -> Any:
    """A ledger with a completed take whose clip is archived."""
    attempt_id = await ledger.buy()
    await ledger.finish(attempt_id)
    await keep(ledger.opened, attempt_id, SHA)
    return ledger.opened


async def keep(opened: Any, attempt_id: int, digest: str, archive: str = "file:///clips") -> None:
    (booked,) = await opened.book_clips(archive, [WantedClip(attempt_id, 1, (("a", "a"),))], "run-1")
    await opened.keep_clips([KeptClip(booked.clip.clip_id, "a.mp4", digest, 7)])


async def quality_of(opened: Any) -> list[Quality | None]:
    return [clip.quality for _, clip in await opened.clips_of([F])]


async def test_a_clip_has_what_its_check_found(opened: Any) -> None:
    assert await quality_of(opened) == [None]
    await opened.note_quality([FOUND])
    assert await quality_of(opened) == [FOUND]


async def test_a_later_check_replaces_an_earlier_one(opened: Any) -> None:
    newer = Quality(1, 1, SHA, 2, ())
    await opened.note_quality([FOUND])
    await opened.note_quality([newer])
    assert await quality_of(opened) == [newer]


async def test_what_was_found_counts_for_that_very_file(opened: Any) -> None:
    await opened.note_quality([FOUND])
    await keep(opened, 1, OTHER_SHA, "file:///elsewhere")
    assert await quality_of(opened) == [FOUND, None]


@pytest.mark.parametrize(("noted", "left"), [(None, [F]), (FOUND, []), (Quality(1, 1, SHA, 0), [F])])
async def test_a_take_is_unchecked_until_these_checks_saw_its_clip(
    opened: Any, noted: Quality | None, left: list[str]
) -> None:
    await opened.note_quality([] if noted is None else [noted])
    assert await opened.unchecked([F, "e" * 64], 1) == left


async def test_a_purchase_says_what_its_clip_is_held_against(opened: Any) -> None:
    (bought,) = await opened.bought([1, 99])
    assert (bought.attempt_id, bought.fingerprint, bought.uploads) == (1, F, {})
    assert bought.inputs == Inputs({})


@pytest.mark.parametrize("version", OLD)
async def test_an_older_ledger_gets_a_place_for_what_checks_find(path: Path, version: str) -> None:
    write(path, OLD[version])
    with open_ledger(f"sqlite:///{path}") as opened:
        assert await opened.unchecked([F], 1) == []


@ON_SQLITE
async def test_a_version_12_ledger_keeps_its_clips_and_learns_to_keep_checks(path: Path, opened: Any) -> None:
    opened.close()
    tables = "DROP TABLE spending; DROP TABLE inbox; DROP TABLE media; DROP TABLE last_commit;"
    later = f"DROP VIEW newest_attempt; ALTER TABLE attempt DROP COLUMN spent_on; {tables}"
    view = "CREATE VIEW newest_attempt AS SELECT * FROM attempt;"
    back = f"{later} {view} DROP TABLE quality; UPDATE meta SET value = '12' WHERE name = 'schema_version';"
    write(path, f"{back} UPDATE alembic_version SET version_num = '0012';")
    with open_ledger(f"sqlite:///{path}") as again:
        assert await again.unchecked([F], 1) == [F]
        await again.note_quality([FOUND])
        assert await quality_of(again) == [FOUND]
