"""Recovery after dead runs: receipts first, then the takes that they were submitting without one."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from animatic.buying.recovery import Recovered, recover
from animatic.ledger import newest, open_ledger
from animatic.ledger.liveness import alive, runs_folder
from animatic.ledger.receipts import SLOT_BYTES, Receipt, encode
from animatic.ledger.records import Intent
from animatic.manifest import Manifest, check, read_table
from animatic.planning.lookup import dead_runs, find_snapshot, look_into
from animatic.takes.fingerprints import hex_of
from animatic.takes.states import Accepted, BuyingPolicy, State

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PRICE = 2_500_000
ACCEPTED = json.dumps({"code": 200, "message": "", "data": {"id": "p1", "status": "created"}}).encode()


async def at_one() -> datetime:
    return NOON.replace(hour=13)


class Dead:
    """A run that died with one take on its way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened = open_ledger(f"sqlite:///{path}")

    async def submit(self, nonce: str = "n1", fingerprint: str = "f" * 64) -> int:
        await self.opened.begin_run("dead", "shots.csv", "here", 1)
        intent = Intent(
            fingerprint, "sandbox", "m", "5s", "{}", "dead", BuyingPolicy(), {}, PRICE, None, nonce, NOON, NOON
        )
        return (await self.opened.intend(intent)).attempt_id

    def leave(self, *receipts: Receipt | bytes) -> Path:
        folder = runs_folder(self.path)
        folder.mkdir(exist_ok=True)
        path = folder / "dead.receipts"
        path.write_bytes(
            b"".join(
                (encode(each) if isinstance(each, Receipt) else each).ljust(SLOT_BYTES, b"\0") for each in receipts
            )
        )
        return path

    async def state(self, fingerprint: str = "f" * 64) -> tuple[str, str | None]:
        record = (await self.opened.look_up([fingerprint]))[fingerprint]
        return record.state.value, record.prediction_id


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[Dead]:
    found = Dead(tmp_path / "ledger.sqlite")
    yield found
    found.opened.close()


def envelope(code: int) -> bytes:
    return json.dumps({"code": code, "message": "said", "data": None}).encode()


@pytest.mark.parametrize(
    ("http", "body", "state"),
    [
        (200, ACCEPTED, ("submitted", "p1")),
        (500, ACCEPTED, ("submitted", "p1")),
        (400, envelope(400), ("rejected", None)),
        (401, envelope(401), ("unsent", None)),
        (429, b"", ("unsent", None)),
        (502, b"<html>", ("unknown", None)),
        (200, ACCEPTED[:-9], ("unknown", None)),
    ],
)
async def test_a_reply_that_was_kept_is_believed_as_if_it_came_now(
    dead: Dead, http: int, body: bytes, state: Any
) -> None:
    path = dead.leave(Receipt(await dead.submit(), "n1", http, body))
    assert await recover(dead.opened, at_one) == Recovered(read_back=1, unknown=0)
    assert await dead.state() == state
    assert not path.exists()
    assert await recover(dead.opened, at_one) == Recovered()


async def test_without_a_receipt_it_is_unknown(dead: Dead) -> None:
    await dead.submit()
    assert await recover(dead.opened, at_one) == Recovered(read_back=0, unknown=1)
    assert await dead.state() == ("unknown", None)


async def test_a_stale_receipt_does_not_speak_for_a_later_intent(dead: Dead) -> None:
    attempt_id = await dead.submit(nonce="n2")
    dead.leave(Receipt(attempt_id, "n1", 429, b""))
    assert await recover(dead.opened, at_one) == Recovered(read_back=0, unknown=1)
    assert await dead.state() == ("unknown", None)


async def test_a_receipt_is_read_even_if_the_take_was_given_up_before(dead: Dead) -> None:
    attempt_id = await dead.submit()
    assert (await recover(dead.opened, at_one)).unknown == 1
    dead.leave(Receipt(attempt_id, "n1", 200, ACCEPTED))
    assert (await recover(dead.opened, at_one)).read_back == 1
    assert await dead.state() == ("submitted", "p1")


async def test_damaged_receipts_are_no_reason_to_stop(dead: Dead) -> None:
    await dead.submit()
    dead.leave(b"garbage", b"\0", encode(Receipt(1, "n1", 200, ACCEPTED))[:50])
    assert await recover(dead.opened, at_one) == Recovered(read_back=0, unknown=1)


async def test_receipts_of_a_live_run_are_its_own(dead: Dead) -> None:
    await dead.submit()
    with alive(dead.path, "dead") as receipts:
        async with receipts.entry() as entry:
            await entry.keep(1, "n1", 200, ACCEPTED)
            assert await recover(dead.opened, at_one) == Recovered()
            assert await dead.state() == ("submitting", None)
            entry.settle()


async def test_two_recoveries_at_once_settle_each_take_once(dead: Dead) -> None:
    dead.leave(Receipt(await dead.submit(), "n1", 200, ACCEPTED))
    found = await asyncio.gather(*(recover(dead.opened, at_one) for _ in range(3)))
    assert sum(each.read_back for each in found) == 1
    assert await dead.state() == ("submitted", "p1")


async def test_an_id_that_another_take_has_holds_both(dead: Dead) -> None:
    attempt_id = await dead.submit()
    other = Intent("a" * 64, "sandbox", "m", "5s", "{}", "dead", BuyingPolicy(), {}, PRICE, None, "n9", NOON, NOON)
    bought = await dead.opened.intend(other)
    await dead.opened.accept(bought.attempt_id, Accepted("p1", "created"))
    dead.leave(Receipt(attempt_id, "n1", 200, ACCEPTED))
    assert (await recover(dead.opened, at_one)).read_back == 1
    assert await dead.state() == ("held", None)


def manifest_of_one_take() -> Manifest:
    raw = read_table("shots.csv", b"image,prompt\nhttps://stills.example/a.png,push in\n")
    return check(raw, stills={}, storyboard_default="shots", provider="sandbox")


async def test_a_reader_sees_submissions_of_a_dead_run_as_unknown(dead: Dead) -> None:
    manifest = manifest_of_one_take()
    url, (take,) = f"sqlite:///{dead.path}", hex_of(manifest.digests)
    await dead.submit(fingerprint=take)

    async def read_at_once() -> tuple[object, ...]:
        is_dead = dead_runs(url)
        with look_into(url) as opened:
            assert opened is not None
            snapshot = await find_snapshot(opened, manifest, is_dead=is_dead)
            outcomes = newest.outcomes_from(await opened.seek_outcomes([take], ()), (), is_dead)
        return snapshot.statuses[snapshot.status_of[0]].state, *outcomes["state"], *outcomes["error"]

    with alive(dead.path, "dead"):
        assert await read_at_once() == (State.SUBMITTING, State.SUBMITTING, None)
    assert await read_at_once() == (State.UNKNOWN, State.UNKNOWN, "run dead died while it was submitting this take")
    assert await dead.state(take) == ("submitting", None)
