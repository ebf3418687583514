"""The API's clock: what its answers say, carried on by a clock that never jumps."""

from datetime import UTC, datetime, timedelta

import pytest

from animatic.wavespeed.server_clock import GUESSED_MARGIN_S, KNOWN_MARGIN_S, QUICK_S, ServerClock, unstopped_s

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEADER = "Sun, 01 Mar 2026 12:00:00 GMT"


class Seconds:
    now = 5.0

    def __call__(self) -> float:
        return self.now


def test_before_an_answer_it_is_our_own_time_with_a_wide_margin() -> None:
    clock = ServerClock()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert (clock.is_told, clock.margin_s) == (False, GUESSED_MARGIN_S)


def test_it_carries_on_from_the_newest_reply() -> None:
    seconds = Seconds()
    clock = ServerClock(seconds)
    clock.observe(HEADER)
    seconds.now += 90.5
    assert clock.now() == NOON + timedelta(seconds=90.5)
    clock.observe(HEADER)
    assert clock.now() == NOON
    assert (clock.is_told, clock.margin_s) == (True, KNOWN_MARGIN_S)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "soon",
        "Sun, 32 Mar 2026 12:00:00 GMT",
        "Sun, 01 Mar 2026 12:00:00 -0000",
        "1e9",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ],
)
def test_what_is_no_date_teaches_nothing(header: str) -> None:
    clock = ServerClock(Seconds())
    clock.observe(header)
    assert not clock.is_told


def test_a_date_in_another_zone_is_the_same_moment() -> None:
    clock = ServerClock(Seconds())
    clock.observe("Sun, 01 Mar 2026 14:00:00 +0200")
    assert clock.now() == NOON


def test_an_answer_that_was_long_on_its_way_teaches_nothing() -> None:
    clock = ServerClock(Seconds())
    clock.observe(HEADER, QUICK_S + 0.1)
    assert not clock.is_told
    clock.observe(HEADER, QUICK_S)
    assert clock.is_told


def test_the_truth_lies_between_the_earliest_and_the_latest() -> None:
    clock = ServerClock(Seconds(), lambda: NOON)
    assert (clock.earliest(), clock.latest()) == (NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    clock.observe(HEADER)
    margin = timedelta(seconds=KNOWN_MARGIN_S)
    assert (clock.earliest(), clock.latest()) == (NOON - margin, NOON + margin)


def test_it_is_carried_on_by_seconds_that_count_sleep_too() -> None:
    assert ServerClock()._clock is unstopped_s
    before = unstopped_s()
    assert unstopped_s() >= before
