"""Newest attempts are those that the attempts themselves show, on any ledger and by any way of asking."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from animatic.ledger import newest
from animatic.ledger.opening import find_database, open_database
from animatic.ledger.records import Record
from animatic.ledger.schema import ATTEMPT, CHARGE, RUN, TAKE
from animatic.ledger.snapshot import SnapshotBuilder, snapshot_of
from animatic.takes.fingerprints import digests_of
from animatic.takes.states import LIVE, State, TakeStatus
from tests.animatic.ledger.conftest import ON_SQLITE

NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - as the ledger stores it
OVER = sorted(set(State) - LIVE)


def take(number: int) -> str:
    return f"{number * 7_919:064x}"


def attempt(chance: random.Random, fingerprint: str, number: int, state: State) -> dict[str, Any]:
    maybe = chance.choice
    return {
        "fingerprint": fingerprint,
        "attempt_no": number,
        "state": state.value,
        "run_id": maybe(["run-0", "run-1", "run-2"]),
        "allowed_by": "plan",
        "uploads": None,
        "quoted_microusd": maybe([None, 2_500_000, 2_500_000, 4_000_000, 100_000]),
        "intent_at": NOON,
        "submitted_at": maybe([None, NOON]),
        "completed_at": maybe([None, NOON + timedelta(microseconds=chance.randrange(10**9))]),
        "created_at": maybe([None, NOON + timedelta(seconds=1)]),
        "prediction_id": maybe([None, f"p-{fingerprint}-{number}"]),
        "prediction_status": maybe([None, "completed"]),
        "prediction_model": maybe([None, "wavespeed-ai/veo2-i2v"]),
        "outputs": maybe([None, "[]", '["https://cdn.example/\\u00fc\\".mp4"]', '["a", "b"]']),
        "has_nsfw_contents": maybe([None, "[]", "[false]", "[false, true]"]),
        "inference_ms": maybe([None, 4_000, 10**12]),
        "error_code": maybe([None, 404, 5000, 5004]),
        "error": maybe([None, "", "no\nroom"]),
        "polls": chance.randrange(9),
        "ended_run_no": maybe([None, 0, 1, 2, 3]) if state in OVER else None,
    }


def charges(chance: random.Random, prediction_ids: list[str | None]) -> Iterator[dict[str, Any]]:
    """Items of a bill: of some of the predictions none, one or several, a few of another account's bill."""
    for item in range(120):
        yield {
            "provider": chance.choice(["sandbox", "sandbox", "sandbox", "another"]),
            "item": f"b-{item}",
            "kind": chance.choice(["deduct", "deduct", "refund", "gift"]),
            "prediction_id": chance.choice([*prediction_ids, "p-of-others"]),
            "model": "m",
            "microusd": chance.choice([None, 0, 2_500_000, 333_333]),
            "charged_at": NOON,
            "order_state": "done",
            "seen_at": NOON,
        }


@pytest.fixture(params=range(6))
def random_ledger(request: Any, backend: Any) -> Any:
    """40 takes with none to four attempts each, written in any order."""
    chance = random.Random(request.param)
    attempts = []
    for number in range(1, 41):
        tries = chance.randrange(5)
        states = [chance.choice(OVER) for _ in range(tries - 1)] + [chance.choice(sorted(State))] * bool(tries)
        attempts += [attempt(chance, take(number), at, state) for at, state in enumerate(states, start=1)]
    chance.shuffle(attempts)
    engine = open_database(find_database(backend.url)).engine
    with engine.begin() as db:
        run = {"manifest": "m", "started_at": NOON, "host": "h", "pid": 1}
        db.execute(RUN.insert(), [{"run_id": f"run-{number}", "run_no": number + 1, **run} for number in range(3)])
        reported = {"provider": "sandbox", "model": "m", "duration": "5s", "request": "{}"}
        db.execute(TAKE.insert(), [{"fingerprint": take(number), **reported} for number in range(1, 41)])
        db.execute(ATTEMPT.insert(), attempts)
        db.execute(CHARGE.insert(), list(charges(chance, [each["prediction_id"] for each in attempts])))
    with engine.begin() as db:
        yield db
    engine.dispose()


WANTED = [take(number) for number in (*range(40, 0, -2), 99, *range(1, 38, 2))]  # one that the ledger does not know
PAID_STATES = {"submitted", "completed", "failed", "unknown", "held"}


def expected(db: sa.Connection, fingerprint: str, run_id: str | None) -> dict[str, Any] | None:
    """Return the newest attempt of a take as the rules say, from the rows themselves."""
    select = sa.select(ATTEMPT).where(ATTEMPT.c.fingerprint == fingerprint).order_by(ATTEMPT.c.attempt_no)
    tries = [dict(row) for row in db.execute(select).mappings()]
    if not tries:
        return None
    paid = [each for each in tries if each["state"] in PAID_STATES]
    prices = [each["quoted_microusd"] for each in paid]
    run_no = None if run_id is None else int(run_id[-1]) + 1
    ids = {each["prediction_id"] for each in tries} - {None}
    bill = list(db.execute(sa.select(CHARGE).where(CHARGE.c.provider == "sandbox")).mappings())
    of_take = [(each["kind"], each["microusd"]) for each in bill if each["prediction_id"] in ids]
    charged = [microusd for kind, microusd in of_take if kind == "deduct" and microusd is not None]
    refunded = [microusd if kind == "refund" else 0 for kind, microusd in of_take]
    refunded = [microusd for microusd in refunded if microusd is not None]
    return tries[-1] | {
        "charged_microusd": sum(charged) if charged else None,
        "refunded_microusd": sum(refunded) if refunded else None,
        "attempts": len(paid),
        "cost_microusd": None if None in prices else sum(prices),
        "tried_here": tries[-1]["run_id"] == run_id,
        "bought_here": sum(each["run_id"] == run_id for each in paid),
        "is_left": run_no is None or (tries[-1]["ended_run_no"] or 0) < run_no,
    }


def as_stored(name: str, value: Any) -> Any:
    """Return a value of a record or of an outcome as the attempt's row has it."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if name in newest.LISTS and value is not None:
        return list(value)
    return value


@pytest.mark.parametrize("run_id", ["run-1", None])
def test_a_record_is_the_newest_attempt_with_the_cost_of_all(random_ledger: sa.Connection, run_id: str | None) -> None:
    records = newest.look_up(random_ledger, [*WANTED, *WANTED], run_id)
    wanted = {key: expected(random_ledger, key, run_id) for key in WANTED}
    assert set(records) == {key for key, found in wanted.items() if found}
    for key, record in records.items():
        found = wanted[key] or {}
        for field in fields(Record):
            stored = json.loads(found[field.name] or "null") if field.name in newest.LISTS else found[field.name]
            assert as_stored(field.name, getattr(record, field.name)) == stored, field.name


def test_outcomes_are_the_records_in_columns(random_ledger: sa.Connection) -> None:
    names = ("prediction_model", "outputs", "has_nsfw_contents", "submitted_at", "polls", "error_code")
    records = newest.look_up(random_ledger, WANTED)
    columns = newest.outcomes_from(newest.seek_outcomes(random_ledger, WANTED, names), names)
    columns["submitted_at"] = columns["submitted_at"].to_pylist()
    assert sorted(columns["fingerprint"]) == sorted(records)
    for index, key in enumerate(columns["fingerprint"]):
        for name in (*newest.FIRST, *names):
            found = as_stored(name, columns[name][index])
            assert found == as_stored(name, getattr(records[key], name)), name


@pytest.mark.parametrize("run_id", ["run-1", None])
@pytest.mark.parametrize("way", ["scan", "seek"])
def test_statuses_are_those_of_the_records(random_ledger: sa.Connection, run_id: str | None, way: str) -> None:
    records = newest.look_up(random_ledger, WANTED, run_id)
    builder = SnapshotBuilder(digests_of(WANTED))
    sought = WANTED
    if way == "scan":
        rows = list(newest.scan_attempts(random_ledger, 0, run_id))
        for start in range(0, len(rows), 7):
            builder.add(rows[start : start + 7])
        sought = [key for key, is_again in zip(WANTED, builder.tried_again(), strict=True) if is_again]
        assert set(sought) == {row[0] for row in rows if row[3] > 1 and row[0] in WANTED}
    rows = list(newest.seek_statuses(random_ledger, sought, run_id))
    random.Random(1).shuffle(rows)
    for start in range(0, len(rows), 7):
        builder.add(rows[start : start + 7])
    snapshot = builder.snapshot()
    assert {status.is_left for status in snapshot.statuses} == ({True} if run_id is None else {True, False})
    for index, key in enumerate(WANTED):
        record = records.get(key)
        assert snapshot.statuses[snapshot.status_of[index]] == (record.take_status if record else TakeStatus(None))
        assert snapshot.attempt_id[index] == (record.attempt_id if record else 0)
        assert snapshot.is_flagged[index] == (record is not None and any(record.has_nsfw_contents or ()))


class OneConnection:
    """Transactions of which each is part of the one that is open."""

    def __init__(self, db: sa.Connection) -> None:
        self._db = db

    async def do(self, _within_s: float, operation: Any, *args: Any) -> Any:
        return operation(self._db, *args)


@pytest.mark.parametrize("run_id", ["run-1", None])
@pytest.mark.parametrize("scans_up_to", [3, 0])
def test_a_snapshot_is_that_of_the_records(
    random_ledger: sa.Connection, monkeypatch: pytest.MonkeyPatch, run_id: str | None, scans_up_to: int
) -> None:
    monkeypatch.setattr(newest, "SCAN_UP_TO", scans_up_to)
    monkeypatch.setattr(newest, "SCAN_ATTEMPTS", 9)
    transactions: Any = OneConnection(random_ledger)
    snapshot = asyncio.run(snapshot_of(transactions, digests_of(WANTED), {}, run_id))
    records = newest.look_up(random_ledger, WANTED, run_id)
    found = [snapshot.statuses[status] for status in snapshot.status_of.tolist()]
    assert found == [records[key].take_status if key in records else TakeStatus(None) for key in WANTED]
    assert snapshot.attempt_id.tolist() == [records[key].attempt_id if key in records else 0 for key in WANTED]


def test_a_scan_goes_on_where_it_stopped(random_ledger: sa.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "SCAN_ATTEMPTS", 9)
    after, seen = 0, list[int]()
    while rows := newest.scan_attempts(random_ledger, after):
        assert len(rows) <= 9
        seen += [row[2] for row in rows]
        after = seen[-1]
    assert seen == list(random_ledger.execute(sa.select(ATTEMPT.c.attempt_id).order_by(ATTEMPT.c.attempt_id)).scalars())


def test_no_query_asks_for_more_takes_than_it_may(random_ledger: sa.Connection) -> None:
    with pytest.raises(ValueError, match="4097 takes"):
        newest.seek_outcomes(random_ledger, [take(1)] * 4_097, ())


@ON_SQLITE
def test_seeking_reads_no_more_of_the_ledger_than_what_is_wanted(random_ledger: sa.Connection) -> None:
    for statement in (newest._SEEK_STATUS, newest._RECORD):
        asked: Any = statement.params(takes=[take(1), take(2)], of_run="run-1").compile(
            random_ledger, compile_kwargs={"literal_binds": True}
        )
        plan = random_ledger.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}").fetchall()
        steps = [row[-1] for row in plan if row[-1].startswith(("SEARCH", "SCAN"))]
        assert steps
        assert all(step.startswith("SEARCH") for step in steps), steps


def test_what_stays_of_a_take_is_some_bytes() -> None:
    snapshot = SnapshotBuilder(np.zeros(1_000, "S32")).snapshot()
    arrays = (snapshot.status_of, snapshot.attempt_id, snapshot.is_flagged)
    assert sum(array.nbytes for array in arrays) <= 16 * 1_000


def test_a_page_without_attempts_says_nothing() -> None:
    builder = SnapshotBuilder(digests_of([take(1)]))
    builder.add([])
    assert builder.snapshot().attempt_id.tolist() == [0]
