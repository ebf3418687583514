"""Looks at stills are kept with purchases; a take whose still has changed is bought again once for each change."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from animatic.errors import TakenError
from animatic.ledger import aliases
from animatic.takes.chains import last_frame_of
from animatic.takes.seen_stills import SeenStill
from animatic.takes.states import BuyingPolicy, State

URL = "https://store.example/a.png"
SIGNED = f"{URL}?AWSAccessKeyId=a&Expires=1&Signature="
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
SEEN = SeenStill(1280, 720, "PNG", "ab" * 32, 10, '"v1"', None, NOW)
AGAIN = BuyingPolicy(changed_stills=True)


async def test_a_look_is_found_by_its_exact_url_and_the_latest_counts(ledger: Any) -> None:
    opened = ledger.opened
    await opened.remember_looks({f"{SIGNED}1": SEEN})
    later = replace(SEEN, seen_at=NOW + timedelta(hours=1))
    await opened.remember_looks({f"{SIGNED}1": later})
    assert await opened.find_looks([f"{SIGNED}1", f"{SIGNED}2"]) == {f"{SIGNED}1": later}
    changed = replace(later, sha256="cd" * 32)
    await opened.remember_looks({f"{SIGNED}1": changed})
    assert await opened.find_looks([f"{SIGNED}1"]) == {f"{SIGNED}1": changed}
    assert ledger.rows("SELECT count(*) FROM look") == [(2,)]


async def test_looks_since_a_moment_are_those_of_the_still_whatever_its_signature(ledger: Any) -> None:
    await ledger.opened.remember_looks({f"{SIGNED}1": SEEN})
    await ledger.opened.remember_looks({f"{SIGNED}2": replace(SEEN, seen_at=NOW + timedelta(minutes=1))})
    assert await ledger.opened.looks_since(NOW) == {URL: 2}
    assert await ledger.opened.looks_since(NOW + timedelta(hours=1)) == {}


async def bought(ledger: Any, **changes: Any) -> int:
    """An attempt that is completed, bought with the look at the still."""
    attempt_id = await ledger.buy(**changes)
    await ledger.finish(attempt_id)
    return attempt_id


async def test_a_purchase_keeps_what_it_was_bought_with_whatever_is_seen_later(ledger: Any) -> None:
    await ledger.opened.remember_looks({URL: SEEN})
    attempt_id = await bought(ledger, looks=await ledger.opened.looks_since(NOW))
    await ledger.opened.remember_looks({URL: replace(SEEN, sha256="cd" * 32, seen_at=NOW + timedelta(hours=2))})
    (with_it,) = await ledger.opened.looks_bought_with([attempt_id])
    assert with_it == (attempt_id, URL, SEEN, False)


async def test_a_purchase_without_a_look_gets_the_first_since_and_keeps_it(ledger: Any) -> None:
    attempt_id = await bought(ledger)
    for sha256 in ("ab" * 32, "cd" * 32):
        await ledger.opened.remember_looks({URL: replace(SEEN, sha256=sha256)})
        await ledger.opened.bind_looks_later([(attempt_id, URL)], NOW)
    (with_it,) = await ledger.opened.looks_bought_with([attempt_id])
    assert (with_it.seen.sha256, with_it.is_later) == ("ab" * 32, True)


async def test_a_purchase_whose_still_nobody_has_seen_stays_without_a_look(ledger: Any) -> None:
    attempt_id = await bought(ledger)
    await ledger.opened.remember_looks({URL: SEEN})
    await ledger.opened.bind_looks_later([(attempt_id, f"{URL}.other")], NOW)
    await ledger.opened.bind_looks_later([(attempt_id, URL)], NOW + timedelta(seconds=1))
    assert await ledger.opened.looks_bought_with([attempt_id]) == []


async def test_a_take_of_a_changed_still_is_bought_again_once(ledger: Any) -> None:
    first = await bought(ledger)
    await ledger.begin("run-2")
    await ledger.begin("run-3")
    second = await bought(ledger, run_id="run-2", policy=AGAIN, replaces=first)
    found = await ledger.find()
    assert (found.attempt_id, found.attempt_no, found.attempts, found.cost_microusd) == (second, 2, 2, 5_000_000)
    assert ledger.rows("SELECT state, renewal FROM attempt ORDER BY attempt_id") == [("completed", 0), ("completed", 1)]
    for run_id in ("run-2", "run-3"):  # another run saw the same change, before it was bought
        with pytest.raises(TakenError):
            await ledger.intend(run_id=run_id, policy=AGAIN, replaces=first)
    third = await bought(ledger, run_id="run-3", policy=AGAIN, replaces=second)
    assert (await ledger.find()).attempt_id == third


@pytest.mark.parametrize("state", [State.SUBMITTING, State.SUBMITTED, State.UNKNOWN, State.HELD, State.FAILED])
async def test_a_change_buys_nothing_more_while_its_purchase_is_open_or_failed(ledger: Any, state: State) -> None:
    first = await bought(ledger)
    await ledger.begin("run-2")
    second = await ledger.intend(run_id="run-2", policy=AGAIN, replaces=first)
    ledger.write("UPDATE attempt SET state = ? WHERE attempt_id = ?", state.value, second)
    assert (await ledger.find()).state is state
    await ledger.begin("run-3")
    for replaces in (first, second, None):
        with pytest.raises(TakenError):
            await ledger.intend(run_id="run-3", policy=AGAIN, replaces=replaces)


@pytest.mark.parametrize("state", [State.UNSENT, State.ABSENT])
async def test_a_new_purchase_that_bought_nothing_leaves_the_clip_as_it_is(ledger: Any, state: State) -> None:
    first = await bought(ledger)
    await ledger.begin("run-2")
    await ledger.opened.remember_looks({URL: SEEN})
    looks = await ledger.opened.looks_since(NOW)
    second = await ledger.intend(run_id="run-2", policy=AGAIN, replaces=first, looks=looks)
    if state is State.ABSENT:
        await ledger.conclude(second, State.UNKNOWN)
        await ledger.opened.settle_by_hand("sandbox", [], ["f" * 64])
    else:
        await ledger.conclude(second, State.UNSENT)
    found = await ledger.find()
    assert (found.attempt_id, found.state, found.attempts) == (first, State.COMPLETED, 1)
    assert await ledger.committed_usd("run-2") == 0
    with pytest.raises(TakenError):
        await ledger.intend(run_id="run-2")
    await ledger.begin("run-3")
    third = await bought(ledger, run_id="run-3", policy=AGAIN, replaces=first)
    assert (third == second) is (state is State.UNSENT), "what was never sent is tried again in its own row"
    assert await ledger.opened.looks_bought_with([third]) == [], "not with what an earlier run saw"
    assert (await ledger.find()).attempt_id == third


@pytest.mark.parametrize("changes", [{"policy": BuyingPolicy()}, {"policy": BuyingPolicy(retry_failed=True)}])
async def test_without_permission_a_changed_still_buys_nothing(ledger: Any, changes: dict[str, Any]) -> None:
    first = await bought(ledger)
    await ledger.begin("run-2")
    with pytest.raises(TakenError):
        await ledger.intend(run_id="run-2", replaces=first, **changes)


async def test_a_run_does_not_buy_again_what_it_has_just_bought(ledger: Any) -> None:
    first = await bought(ledger)
    with pytest.raises(TakenError):
        await ledger.intend(policy=AGAIN, replaces=first)


async def test_a_take_with_attempts_under_an_older_name_is_not_bought_again(ledger: Any) -> None:
    first = await bought(ledger)
    await bought(ledger, fingerprint="0" * 64)
    await ledger.opened.transactions.do(0.0, aliases.add, "0" * 64, "f" * 64)
    await ledger.begin("run-2")
    with pytest.raises(TakenError):
        await ledger.intend(run_id="run-2", policy=AGAIN, replaces=first)


async def test_the_index_keeps_two_purchases_for_one_change_apart(ledger: Any) -> None:
    await bought(ledger)
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.UniqueViolation), match=r"(?i)unique"):
        ledger.write(
            "INSERT INTO attempt (fingerprint, attempt_no, state, run_id, allowed_by, intent_at) "
            "VALUES (?, 2, 'submitting', 'run-1', 'changed-still', '2026-01-01 00:00:00')",
            "f" * 64,
        )


async def test_a_failed_purchase_for_a_changed_still_is_retried_as_any_other(ledger: Any) -> None:
    first = await bought(ledger)
    await ledger.begin("run-2")
    second = await ledger.buy(run_id="run-2", policy=AGAIN, replaces=first)
    await ledger.finish(second, state=State.FAILED, error="gone")
    await ledger.begin("run-4")
    retry = {"policy": BuyingPolicy(retry_failed=True)}
    third = await ledger.intend(run_id="run-4", **retry)
    await ledger.conclude(third, State.UNSENT)
    assert await ledger.intend(run_id="run-4", **retry) == third
    assert ledger.rows("SELECT attempt_no, renewal FROM attempt WHERE attempt_id = ?", third) == [(3, 1)]


async def test_a_dead_run_that_may_have_bought_again_prevents_a_third_purchase(ledger: Any) -> None:
    first = await bought(ledger)
    await ledger.begin("run-2")
    second = await ledger.intend(run_id="run-2", policy=AGAIN, replaces=first)
    await ledger.begin("run-3")
    await ledger.do("give_up_submitting", "run-2", NOW)
    found = await ledger.find()
    assert (found.attempt_id, found.state) == (second, State.UNKNOWN)
    for replaces in (first, second):
        with pytest.raises(TakenError):
            await ledger.intend(run_id="run-3", policy=AGAIN, replaces=replaces)


async def test_the_last_frame_of_a_take_bought_again_is_uploaded_anew(ledger: Any) -> None:
    first, frame = await bought(ledger), last_frame_of("f" * 64)
    await ledger.opened.remember_upload("me", frame, "https://up/old")
    await ledger.begin("run-2")
    await ledger.intend(run_id="run-2", policy=AGAIN, replaces=first)
    assert await ledger.opened.find_uploads("me", [frame], timedelta(days=1)) == {}
