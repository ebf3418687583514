"""A run is well while its loop turns, its ledger answers and its polls are made; WaveSpeed away changes nothing."""

import json

import pytest

from animatic.pace.meters import Meters
from flows.server.metrics.health import SILENT_AFTER_S, health_of

NOW = 1_000.0
LONG_AGO = NOW - SILENT_AFTER_S - 15.0


def meters_of(*, looped_at: float = NOW, ledger_at: float = NOW, next_poll_at: float = NOW + 5) -> Meters:
    return Meters(looped_at=looped_at, ledger_at=ledger_at, next_poll_at=next_poll_at, polled_at=NOW - 3)


def test_a_run_at_work_is_well() -> None:
    health = health_of(meters_of(), "run-1", NOW, in_flight=4)
    assert health.is_well
    assert json.loads(health.as_json()) == {
        "status": "ok", "run_id": "run-1", "reason": "", "loop_age_s": 0.0, "ledger_age_s": 0.0,
        "last_poll_age_s": 3.0, "in_flight": 4, "unreachable_s": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("meters", "reason"),
    [
        (meters_of(looped_at=LONG_AGO), "the event loop has not turned for 75 s"),
        (meters_of(ledger_at=LONG_AGO), "the ledger has not answered for 75 s"),
        (meters_of(next_poll_at=LONG_AGO), "a poll has been due for 75 s"),
    ],
)
def test_a_run_that_stands_still_is_unwell_with_a_reason(meters: Meters, reason: str) -> None:
    health = health_of(meters, "run-1", NOW)
    assert not health.is_well
    assert health.reason == reason


def test_a_run_that_cannot_reach_wavespeed_is_well() -> None:
    assert health_of(meters_of(), "run-1", NOW, unreachable_s=7_200.0).is_well


def test_a_run_that_has_just_begun_is_well() -> None:
    assert health_of(Meters(), "run-1", NOW).is_well
