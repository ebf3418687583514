"""The queries of `ledger show`: which shots asked for which takes, and every attempt at them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from animatic.ledger import aliases
from animatic.ledger.planned import LONG_ROWS, PlannedTake, Request
from animatic.takes.inputs import Inputs
from animatic.takes.states import State

HERO, WIDE = "a" * 64, "b" * 64
SHOTS = "file:///film/shots.csv"


def asked(fingerprint: str = HERO, row: int = 1, shot_id: str = "hero", take: int = 1) -> PlannedTake:
    return PlannedTake(row, take, "shots", shot_id, fingerprint)


async def test_a_manifest_is_known_by_its_last_planned_content(ledger: Any) -> None:
    assert await ledger.opened.content_of(SHOTS) is None
    await ledger.opened.add_planned(SHOTS, [asked()])
    assert not await ledger.opened.content_of(SHOTS)
    assert await ledger.opened.rows_of(SHOTS) is None
    await ledger.opened.finish_planned(SHOTS, "hash", 25)
    assert await ledger.opened.content_of(SHOTS) == "hash"
    assert await ledger.opened.rows_of(SHOTS) == 25


async def test_what_is_there_already_is_written_once(ledger: Any) -> None:
    for _ in range(2):
        await ledger.opened.add_planned(SHOTS, [asked(), asked(WIDE, 2, "wide")])
    assert ledger.rows("SELECT count(*) FROM planned") == [(2,)]


async def test_rows_of_a_long_manifest_are_written_as_others_are(ledger: Any) -> None:
    await ledger.opened.add_planned(SHOTS, [asked(), asked(WIDE, LONG_ROWS + 1, "wide")])
    await ledger.opened.finish_planned(SHOTS, "hash", LONG_ROWS + 1)
    assert ledger.rows("SELECT count(*), max(row) FROM planned") == [(2, LONG_ROWS + 1)]


async def test_a_shot_has_every_take_that_it_ever_asked_for_oldest_first(ledger: Any) -> None:
    await ledger.opened.add_planned(SHOTS, [asked()])
    await ledger.opened.add_planned(SHOTS, [asked(WIDE), asked(WIDE, row=7)])
    takes = await ledger.opened.takes_of_shot("hero", SHOTS)
    assert [(each["fingerprint"], each["row"], each["manifest"]) for each in takes] == [
        (HERO, 1, SHOTS),
        (WIDE, 1, SHOTS),
    ]
    assert await ledger.opened.takes_of_shot("hero", "file:///film/other.csv") == []


async def test_shots_of_one_name_in_two_manifests_are_told_apart(ledger: Any) -> None:
    other = "file:///film/other.csv"
    await ledger.opened.add_planned(SHOTS, [asked()])
    await ledger.opened.add_planned(other, [asked(WIDE)])
    assert await ledger.opened.manifests_with("hero") == sorted([SHOTS, other])
    assert await ledger.opened.manifests_with("nobody") == []


async def test_a_take_is_found_by_the_start_of_any_of_its_fingerprints(ledger: Any) -> None:
    await ledger.buy(HERO)
    await ledger.opened.add_planned(SHOTS, [asked(WIDE)])
    await ledger.opened.transactions.do(0.0, aliases.add, "c" * 64, HERO)
    for start, found in (("a" * 8, [HERO]), ("b" * 12, [WIDE]), ("c" * 64, [HERO]), ("d" * 8, []), ("a" * 7, [])):
        assert await ledger.opened.takes_beginning(start) == found
    assert await ledger.opened.takes_beginning("%%%%%%%%") == []


async def test_every_attempt_is_shown_oldest_first(ledger: Any) -> None:
    first = await ledger.buy(HERO)
    await ledger.finish(first, state=State.FAILED, error_code=5003, error="it failed", outputs=None)
    assert await ledger.opened.is_new("elsewhere")
    assert not await ledger.opened.is_new("sandbox")
    (attempt,) = await ledger.opened.attempts_at(HERO)
    assert (attempt["state"], attempt["quoted_microusd"], attempt["error"]) == ("failed", 2_500_000, "it failed")
    assert attempt["submitted_at"].tzinfo is UTC
    assert attempt["submitted_at"] <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("changes", "is_found"),
    [({}, True), ({"prompt": "pull back"}, False), ({"duration": "8s"}, False), ({"take": 2}, False)],
)
async def test_what_was_bought_before_is_known_by_all_but_its_still(
    ledger: Any, changes: dict[str, Any], is_found: bool
) -> None:
    request = {"prompt": "push in \r\n", "aspect_ratio": "16:9", "duration": "5s", "take": 1, "image": "https://a/b"}
    await ledger.buy(HERO, request=json.dumps(request))
    await ledger.intend(WIDE, request=json.dumps(request | {"prompt": "pull back"}))  # nobody knows yet
    wanted = {"prompt": "push in", "aspect_ratio": "16:9", "duration": "5s", "take": 1} | changes
    take = wanted.pop("take")
    asked_for = Request("wavespeed-ai/veo2-i2v", Inputs(wanted), take)
    found = await ledger.opened.bought_among("sandbox", {asked_for})
    assert found == ({asked_for} if is_found else set())
    assert await ledger.opened.bought_among("elsewhere", {asked_for}) == set()


async def test_a_shot_has_the_requests_of_its_bought_takes(ledger: Any) -> None:
    await ledger.buy(HERO)
    await ledger.opened.add_planned(SHOTS, [asked(), asked(WIDE, take=2)])
    assert len(await ledger.opened.requests_of_shot("hero", SHOTS)) == 1, "the other one was never bought"
    assert await ledger.opened.requests_of_shot("hero", "file:///film/other.csv") == []


async def test_an_open_take_goes_by_the_name_that_its_manifest_gave_it(ledger: Any) -> None:
    for fingerprint in (HERO, WIDE):
        await ledger.conclude(await ledger.intend(fingerprint), State.UNKNOWN, None, "no answer")
    await ledger.opened.add_planned(SHOTS, [asked()])
    await ledger.opened.add_planned("file:///film/other.csv", [asked(shot_id="late"), asked(shot_id="later", take=2)])
    found = {each.fingerprint: each.name for each in await ledger.opened.open_takes("sandbox")}
    assert found == {HERO: "hero take 1", WIDE: ""}
