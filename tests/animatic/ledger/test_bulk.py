"""Look-ups in columns say what look-ups take by take say, on any ledger."""

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from animatic.ledger import bulk, operations
from animatic.ledger.schema import ATTEMPT, RUN, TAKE, open_engine
from animatic.takes.fingerprints import digests_of
from animatic.takes.states import LIVE, State, TakeStatus

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
        "image_url": "https://stills.example/a.png",
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


@pytest.fixture(params=range(6))
def random_ledger(request: Any, tmp_path: Path) -> Any:
    """40 takes with none to four attempts each, written in any order."""
    chance = random.Random(request.param)
    attempts = []
    for number in range(1, 41):
        tries = chance.randrange(5)
        states = [chance.choice(OVER) for _ in range(tries - 1)] + [chance.choice(sorted(State))] * bool(tries)
        attempts += [attempt(chance, take(number), at, state) for at, state in enumerate(states, start=1)]
    chance.shuffle(attempts)
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with engine.begin() as db:
        run = {"manifest": "m", "started_at": NOON, "host": "h", "pid": 1}
        db.execute(RUN.insert(), [{"run_id": f"run-{number}", "run_no": number + 1, **run} for number in range(3)])
        told = {"provider": "sandbox", "model": "m", "duration": "5s", "request": "{}"}
        db.execute(TAKE.insert(), [{"fingerprint": take(number), **told} for number in range(1, 41)])
        db.execute(ATTEMPT.insert(), attempts)
    with engine.begin() as db:
        yield db
    engine.dispose()


WANTED = [take(number) for number in (*range(40, 0, -2), 99, *range(1, 38, 2))]  # one that the ledger does not know


@pytest.mark.parametrize("run_id", ["run-1", None])
def test_outcomes_are_the_records_of_a_look_up(random_ledger: sa.Connection, run_id: str | None) -> None:
    records = operations.look_up(random_ledger, WANTED, run_id)
    columns = bulk.outcomes_from(bulk.seek_outcomes(random_ledger, WANTED))
    moments = {name: columns[name].to_pylist() for name in ("submitted_at", "completed_at", "created_at")}
    found = {name: list(values) for name, values in (columns | moments).items()}
    assert sorted(found["fingerprint"]) == sorted(records)
    stored = dict(random_ledger.execute(sa.select(ATTEMPT.c.attempt_id, ATTEMPT.c.prediction_model)).all())
    models = found.pop("prediction_model")
    assert set(models) == {None, "wavespeed-ai/veo2-i2v"}
    for index, key in enumerate(found["fingerprint"]):
        assert models[index] == stored[records[key].attempt_id]
        for name, values in found.items():
            expected = getattr(records[key], name)
            expected = list(expected) if isinstance(expected, tuple) else expected
            assert values[index] == expected, name


@pytest.mark.parametrize("run_id", ["run-1", None])
@pytest.mark.parametrize("way", ["scan", "seek"])
def test_standings_are_those_of_a_look_up(random_ledger: sa.Connection, run_id: str | None, way: str) -> None:
    records = operations.look_up(random_ledger, WANTED, run_id)
    run_no = bulk.run_no_of(random_ledger, run_id) if run_id else None
    book = bulk.SnapshotBuilder(digests_of(WANTED), run_id, run_no=run_no)
    if way == "scan":
        rows = list(bulk.scan_statuses(random_ledger, 0))
        assert len(rows) == random_ledger.execute(sa.select(sa.func.count()).select_from(ATTEMPT)).scalar_one()
    else:
        rows = list(bulk.seek_statuses(random_ledger, WANTED))
        random.Random(1).shuffle(rows)
    for start in range(0, len(rows), 7):
        book.add(rows[start : start + 7])
    snapshot = book.snapshot()
    assert {kind.is_left for kind in snapshot.kinds} == ({True} if run_id is None else {True, False})
    for index, key in enumerate(WANTED):
        record = records.get(key)
        assert snapshot.kinds[snapshot.kind_of[index]] == (record.take_status if record else TakeStatus(None))
        assert snapshot.attempt_id[index] == (record.attempt_id if record else 0)
        assert snapshot.is_flagged[index] == (record is not None and any(record.has_nsfw_contents or ()))


def test_a_scan_goes_on_where_it_stopped(random_ledger: sa.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "SCAN_ATTEMPTS", 9)
    after, seen = 0, list[Any]()
    while rows := bulk.scan_statuses(random_ledger, after):
        assert len(rows) <= 9
        seen += [row[2] for row in rows]
        after = seen[-1]
    assert seen == sorted(random_ledger.execute(sa.select(ATTEMPT.c.attempt_id)).scalars())
    assert seen[-1] == bulk.attempts_made(random_ledger)


def test_no_query_asks_for_more_takes_than_it_may(random_ledger: sa.Connection) -> None:
    with pytest.raises(ValueError, match="4097 takes"):
        bulk.seek_outcomes(random_ledger, [take(1)] * 4_097)


def test_seeking_reads_no_more_of_the_ledger_than_what_is_wanted(random_ledger: sa.Connection) -> None:
    for columns in (bulk._STANDING, bulk._OUTCOME):
        text = f"EXPLAIN QUERY PLAN SELECT {columns} FROM attempt WHERE fingerprint IN (?, ?)"
        plan = random_ledger.exec_driver_sql(text, (take(1), take(2))).fetchall()
        assert all("SEARCH attempt USING INDEX" in row[-1] for row in plan)


def test_what_stays_of_a_take_is_some_bytes() -> None:
    snapshot = bulk.SnapshotBuilder(np.zeros(1_000, "S32"), None).snapshot()
    arrays = (snapshot.kind_of, snapshot.attempt_id, snapshot.is_flagged)
    assert sum(array.nbytes for array in arrays) <= 16 * 1_000


def test_a_page_without_attempts_says_nothing() -> None:
    book = bulk.SnapshotBuilder(digests_of([take(1)]), "run-1")
    book.add([])
    assert book.snapshot().attempt_id.tolist() == [0]
