"""Starts per minute, penalties and looks, on virtual time."""

import heapq
from itertools import count
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from animatic.pacing import LONGEST_PENALTY_S, StartPace

delays = st.lists(
    st.tuples(st.floats(0.0, 90.0), st.floats(0.0, 1.0), st.sampled_from(["accepted", "accepted", "unsent"])),
    min_size=1,
    max_size=60,
)

# A machine may be busy.
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
seconds = st.floats(0.0, 1e6)
Plan: TypeAlias = list[tuple[float, float, str]]


def counted_by_server(starts_per_minute: int, plan: Plan) -> list[float]:
    """When a server counts each start, driving a pace as hard as it lets itself be driven.

    Each start has a delay until its reply, and a share of that delay after which the server counts it.
    """
    pace, now, order = StartPace(starts_per_minute), 0.0, count()
    replies: list[tuple[float, int, str]] = []
    counted: list[float] = []
    for delay_s, share, end in plan:
        while (wait_s := pace.wait_s(now)) > 0:
            now = min([now + wait_s, *(at for at, _, _ in replies[:1])])
            while replies and replies[0][0] <= now:
                settle(pace, *heapq.heappop(replies)[::2])
        pace.started()
        if end == "accepted":
            counted.append(now + delay_s * share)
        heapq.heappush(replies, (now + delay_s, next(order), end))
        while replies and replies[0][0] <= now:
            settle(pace, *heapq.heappop(replies)[::2])
    return sorted(counted)


def settle(pace: StartPace, at: float, end: str) -> None:
    if end == "accepted":
        pace.replied(at)
    else:
        pace.unsent()


@unhurried
@given(st.integers(1, 8), delays)
def test_no_minute_ever_holds_more_starts_than_allowed(starts_per_minute: int, plan: Plan) -> None:
    counted = counted_by_server(starts_per_minute, plan)
    for first, later in zip(counted, counted[starts_per_minute:], strict=False):
        assert later - first >= 60.0 - 1e-6


@unhurried
@given(st.integers(1, 8), delays)
def test_the_pace_never_stands_still(starts_per_minute: int, plan: Plan) -> None:
    accepted = [delay for delay, _, end in plan if end == "accepted"]
    counted = counted_by_server(starts_per_minute, plan)
    assert len(counted) == len(accepted)
    assert max(counted, default=0.0) <= sum(delay + 60.0 for delay, _, _ in plan)


def test_a_start_is_free_again_a_minute_after_its_reply_not_after_its_grant() -> None:
    pace = StartPace(1)
    pace.started()
    assert pace.wait_s(59.0) > 0
    pace.replied(30.0)
    assert pace.wait_s(89.0) == pytest.approx(1.0)
    assert pace.wait_s(90.0) == 0.0


def test_a_start_that_was_never_sent_costs_nothing() -> None:
    pace = StartPace(1)
    pace.started()
    pace.unsent()
    assert pace.wait_s(0.0) == 0.0


@unhurried
@given(st.floats(0.0, 1e9), seconds)
def test_a_penalty_is_never_longer_than_two_minutes(retry_after_s: float, now: float) -> None:
    pace = StartPace(5)
    pace.started()
    pace.refused(now, retry_after_s)
    assert pace.wait_s(now) <= LONGEST_PENALTY_S + 1e-6
    assert pace.wait_s(now + LONGEST_PENALTY_S) == 0.0


def test_the_servers_own_wait_is_honoured() -> None:
    pace = StartPace(5)
    pace.started()
    pace.refused(100.0, 7.0)
    assert pace.wait_s(106.0) == pytest.approx(1.0)
    assert pace.wait_s(107.0) == 0.0


def test_without_a_wait_of_the_servers_ours_doubles_to_two_minutes_and_an_accepted_start_resets_it() -> None:
    pace, now, waits = StartPace(100), 0.0, []
    for _ in range(8):
        pace.started()
        pace.refused(now, None)
        waits.append(pace.wait_s(now))
        now += pace.wait_s(now)
    assert waits == pytest.approx([5, 10, 20, 40, 80, 120, 120, 120])
    assert pace.refusals == 8
    pace.started()
    pace.replied(now)
    assert pace.refusals == 0
    pace.started()
    pace.refused(now, None)
    assert pace.wait_s(now) == pytest.approx(5.0)


def test_a_shorter_penalty_does_not_end_a_longer_one() -> None:
    pace = StartPace(5)
    for retry_after_s in (60.0, 1.0):
        pace.started()
        pace.refused(0.0, retry_after_s)
    assert pace.wait_s(1.0) == pytest.approx(59.0)


def test_ten_thousand_refusals_do_not_overflow() -> None:
    pace = StartPace(5)
    for _ in range(10_000):
        pace.started()
        pace.refused(0.0, None)
    assert pace.wait_s(0.0) == LONGEST_PENALTY_S
