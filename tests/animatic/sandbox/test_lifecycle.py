"""The life of a prediction is settled when it is accepted; its status is arithmetic."""

import math

from hypothesis import given
from hypothesis import strategies as st

from animatic.sandbox.lifecycle import Lifecycle, WorkerSlots, draw_latency_s


def test_the_status_follows_the_time() -> None:
    life = Lifecycle(accepted_at=0.0, started_at=5.0, finishes_at=8.0)
    seen = [life.status_at(now, "failed") for now in (0.0, 4.9, 5.0, 7.9, 8.0, 9e9)]
    assert seen == ["created", "created", "processing", "processing", "failed", "failed"]


def test_who_finds_no_place_starts_when_the_first_one_gets_free() -> None:
    places, starts = WorkerSlots(2), []
    for latency_s in (10.0, 4.0, 5.0, 1.0):
        start = places.start_of(0.0)
        places.take(Lifecycle(0.0, start, start + latency_s))
        starts.append(start)
    assert starts == [0.0, 0.0, 4.0, 9.0]
    assert [places.unfinished_at(now) for now in (0.0, 4.0, 9.5, 10.0)] == [4, 3, 2, 0]


@given(
    count=st.integers(1, 5),
    jobs=st.lists(st.tuples(st.floats(0, 20), st.floats(0.001, 30)), max_size=40),
)
def test_no_more_at_work_than_slots_and_no_slot_idle(count: int, jobs: list[tuple[float, float]]) -> None:
    places, lives, now = WorkerSlots(count), list[Lifecycle](), 0.0
    for gap_s, latency_s in jobs:
        now += gap_s
        start = places.start_of(now)
        life = Lifecycle(now, start, start + latency_s)
        places.take(life)
        lives.append(life)
    for moment in {each.started_at for each in lives}:
        assert sum(each.status_at(moment, "completed") == "processing" for each in lives) <= count
    for place, life in enumerate(lives):
        earlier = lives[:place]
        just_before = math.nextafter(life.started_at, 0.0)
        if life.started_at > life.accepted_at:
            assert sum(e.started_at <= just_before < e.finishes_at for e in earlier) == count


def test_latencies_are_repeatable_and_have_the_given_median_and_spread() -> None:
    drawn = sorted(draw_latency_s(str(seed), 60.0, 0.3) for seed in range(4_000))
    assert draw_latency_s("a", 60.0, 0.3) == draw_latency_s("a", 60.0, 0.3) != draw_latency_s("b", 60.0, 0.3)
    mean = sum(drawn) / len(drawn)
    deviation = math.sqrt(sum((each - mean) ** 2 for each in drawn) / len(drawn))
    assert abs(drawn[2_000] - 60.0) < 2.0
    assert abs(deviation / mean - 0.3) < 0.03


def test_no_spread_is_the_median_itself() -> None:
    assert draw_latency_s("any", 4.0, 0.0) == 4.0
