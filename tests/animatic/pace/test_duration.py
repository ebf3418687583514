"""Durations at the account's limits, one rule at a time. `test_forecasts.py` holds them against whole runs."""

import pytest

from animatic.errors.text import duration_in_words
from animatic.pace.duration import Work, left_s, next_start_s, planned_duration_s, tail
from animatic.pace.limits import LEVELS


def test_a_plan_says_how_long_it_takes_at_the_accounts_limits() -> None:
    bronze = LEVELS["bronze"]
    assert planned_duration_s(1, 0, bronze, 60.0) == pytest.approx(60 * tail(1, 0.2))
    assert planned_duration_s(0, 0, bronze, 60.0) == 0
    assert planned_duration_s(100, 0, bronze, 30.0) == pytest.approx(49 * 60 + 30 * tail(1, 0.2))
    assert 3_000 < planned_duration_s(100, 0, bronze, 75.0) < 5_000


def test_the_next_start_comes_a_minute_after_the_oldest_that_counts() -> None:
    limits = LEVELS["bronze"]
    assert next_start_s(Work(5, [], [], 60.0), limits) == 0
    assert next_start_s(Work(5, [], [10.0], 60.0), limits) == 0
    assert next_start_s(Work(5, [], [39.0, 10.0], 60.0), limits) == 21


def test_nothing_is_left_of_a_run_that_is_done() -> None:
    assert left_s(Work(0, [], [], 60.0), LEVELS["bronze"]) == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (99.4, "99 s"), (100, "2 min"), (5_999, "100 min"), (6_000, "1.7 h"), (172_800, "2.0 days")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words
