"""The ideal makespan, against cases worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ideal import ideal_makespan_s, ideal_starts, most_at_once, most_in_window


def test_no_takes_take_no_time() -> None:
    assert ideal_makespan_s([], 60, 100) == 0.0


def test_where_nothing_binds_the_slowest_take_is_the_makespan() -> None:
    assert ideal_starts([5.0, 9.0, 7.0], 60, 100) == [0.0, 0.0, 0.0]
    assert ideal_makespan_s([5.0, 9.0, 7.0], 60, 100) == 9.0


def test_one_more_than_the_pace_allows_waits_a_minute() -> None:
    assert ideal_starts([1.0] * 5, 2, 100) == [0.0, 0.0, 60.0, 60.0, 120.0]
    assert ideal_makespan_s([1.0] * 5, 2, 100) == 121.0


def test_one_more_than_there_are_places_waits_for_the_first_that_ends() -> None:
    # Two places: 10 and 4 start at once, 3 at 4, 6 at 7, and the last, 1, at 10: all is done at 13.
    assert ideal_starts([10.0, 4.0, 3.0, 6.0, 1.0], 60, 2) == [0.0, 0.0, 4.0, 7.0, 10.0]
    assert ideal_makespan_s([10.0, 4.0, 3.0, 6.0, 1.0], 60, 2) == 13.0


def test_places_and_pace_bind_together() -> None:
    # Two starts a minute, two places, 45 s each: the third waits for its minute, the fifth again.
    assert ideal_starts([45.0] * 5, 2, 2) == [0.0, 0.0, 60.0, 60.0, 120.0]
    # With 90 s the places bind.
    assert ideal_starts([90.0] * 5, 2, 2) == [0.0, 0.0, 90.0, 90.0, 180.0]


@given(
    st.lists(st.floats(0.1, 300), max_size=60), st.integers(1, 20), st.integers(1, 20)
)  # fmt: skip
def test_an_ideal_keeps_the_limits_that_it_is_given(latencies_s: list[float], pace: int, places: int) -> None:
    starts = ideal_starts(latencies_s, pace, places)
    assert starts == sorted(starts)
    assert all(later - earlier > 60 - 1e-9 for earlier, later in zip(starts, starts[pace:], strict=False))
    spans = [(start, start + latency_s) for start, latency_s in zip(starts, latencies_s, strict=True)]
    assert most_at_once(spans) <= places


@pytest.mark.parametrize(
    ("moments", "most"), [([], 0), ([0.0], 1), ([0.0, 59.9], 2), ([0.0, 60.0], 1), ([0.0, 1.0, 60.5, 61.5, 62.0], 3)]
)
def test_the_far_end_of_a_window_is_outside(moments: list[float], most: int) -> None:
    assert most_in_window(moments) == most


def test_a_take_that_ends_as_another_starts_does_not_overlap_it() -> None:
    assert most_at_once([(0, 2), (2, 3)]) == 1
    assert most_at_once([(0, 2), (1, 3), (1.5, 4)]) == 3
