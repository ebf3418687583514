"""Times of polls: near the bound that no schedule beats, never closer than the floor, and quick to learn."""

import math
import random
from collections.abc import Iterator
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.buying.polling.schedule import (
    FEWEST,
    LONGEST_S,
    REMEMBERED,
    USUALLY_UNSEEN,
    Experience,
    LogNormal,
    Schedule,
    fit,
    latency_of,
)

LATENCIES = st.none() | st.builds(LogNormal, st.floats(0.01, 1e5), st.floats(0.02, 2.0))


def log_normal(mean_s: float, spread: float) -> LogNormal:
    sigma = math.sqrt(math.log(1 + spread**2))
    return LogNormal(mean_s / math.exp(sigma**2 / 2), sigma)


def ages(schedule: Schedule) -> Iterator[float]:
    age = 0.0
    while True:
        age = schedule.next_age_s(age)
        yield age


def cost(schedule: Schedule, latency: LogNormal) -> tuple[float, float]:
    """Mean polls and mean lag, worked out from the distribution."""
    polls = found_at = done = 0.0
    for number, age in enumerate(islice(ages(schedule), 1_000), 1):
        until = math.erfc(-math.log(age / latency.median_s) / latency.sigma / math.sqrt(2)) / 2
        polls, found_at, done = polls + number * (until - done), found_at + age * (until - done), until
    assert done > 0.999_999
    return polls, found_at - latency.mean_s


@pytest.mark.parametrize("spread", [0.1, 0.2, 0.4])
@pytest.mark.parametrize("floor_s", [0.05, 1.0, 5.0])
def test_polls_times_lag_are_within_a_fifth_of_what_no_schedule_beats(spread: float, floor_s: float) -> None:
    latency = log_normal(60.0, spread)
    schedule = Schedule(latency, floor_s)
    polls, lag_s = cost(schedule, latency)
    assert polls * lag_s < 1.2 * schedule.cost_bound_s
    assert polls < 5.0


def test_the_bound_is_the_known_one() -> None:
    assert Schedule(log_normal(60.0, 0.2), 5.0).cost_bound_s == pytest.approx(10.8, abs=0.05)


def test_it_is_the_same_schedule_at_every_time_scale() -> None:
    minute, second = (Schedule(log_normal(mean_s, 0.2), mean_s / 12) for mean_s in (60.0, 1.0))
    for long, short in islice(zip(ages(minute), ages(second), strict=True), 8):
        assert long == pytest.approx(60 * short, rel=1e-6)


def test_with_nothing_known_seven_polls_find_a_take_of_a_minute() -> None:
    polls, _ = cost(Schedule(None, 5.0), log_normal(60.0, 0.2))
    assert polls < 7.0


@given(
    LATENCIES,
    st.floats(0.05, 600.0),
    st.floats(0.0, 1e6),
)
def test_polls_keep_the_floor_and_come_within_a_minute(latency: LogNormal | None, floor_s: float, age_s: float) -> None:
    following = Schedule(latency, floor_s).next_age_s(age_s)
    assert following >= age_s + floor_s
    assert math.isfinite(following)
    if age_s:
        assert following <= age_s + max(floor_s, LONGEST_S) + 1e-6


def test_a_take_that_hangs_is_polled_less_and_less() -> None:
    late = [age for age in islice(ages(Schedule(log_normal(60.0, 0.1), 0.5)), 200) if age > 200.0]
    gaps = [after - before for before, after in pairwise(late)]
    assert gaps == pytest.approx(sorted(gaps))
    assert gaps[0] >= 20.0
    assert gaps[-1] == pytest.approx(LONGEST_S)


def test_the_last_takes_of_a_run_are_polled_at_the_floor() -> None:
    schedule = Schedule(log_normal(60.0, 0.2), 5.0)
    first = schedule.next_age_s(0.0, is_last=True)
    assert first == schedule.next_age_s(0.0)
    assert schedule.next_age_s(110.0, is_last=True) == 115.0 < schedule.next_age_s(110.0)
    assert schedule.next_age_s(600.0, is_last=True) == 660.0, "one that hangs"
    assert Schedule(None, 5.0).next_age_s(60.0, is_last=True) == 90.0, "nobody knows when it may be done"


def test_a_fit_finds_the_distribution_despite_outliers() -> None:
    chance = random.Random(1)
    seen = [chance.lognormvariate(math.log(60.0), 0.2) for _ in range(400)]
    for samples in (seen, [*seen[:-6], 0.001, 0.002, 0.003, 9e4, 8e4, 7e4]):
        found = fit(samples)
        assert found is not None
        assert found.median_s == pytest.approx(60.0, rel=0.05)
        assert found.sigma == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("spread", [0.1, 0.2, 0.4])
@pytest.mark.parametrize("age_s", [55.0, 60.0, 70.0])
def test_those_that_are_not_done_yet_count_as_well(spread: float, age_s: float) -> None:
    chance = random.Random(2)
    sigma = log_normal(60.0, spread).sigma
    takes = [chance.lognormvariate(math.log(60.0), sigma) for _ in range(600)]
    done = [each for each in takes if each < age_s]
    found, naive = fit(done, [age_s] * (len(takes) - len(done))), fit(done)
    assert found is not None
    assert naive is not None
    assert found.median_s == pytest.approx(60.0, rel=0.06)
    assert found.sigma == pytest.approx(sigma, rel=0.25)
    assert naive.median_s < found.median_s


@given(st.lists(st.floats(0.001, 1e6), min_size=FEWEST, max_size=30), st.lists(st.floats(0.0, 1e6), max_size=300))
def test_whatever_is_seen_there_is_a_fit(done: list[float], not_done: list[float]) -> None:
    found = fit(done, not_done)
    assert found is not None
    assert 0 < found.median_s < math.inf
    assert found.sigma > 0
    Schedule(found, 5.0)


def test_from_three_takes_on_it_is_known_what_to_expect() -> None:
    assert fit([60.0] * (FEWEST - 1)) is None
    found = fit([50.0, 60.0, 70.0])
    assert found is not None
    assert 50.0 < found.median_s < 70.0
    assert found.sigma > 0.1, "three that agree prove no certainty"


def test_a_schedule_learned_from_a_few_takes_is_nearly_as_good() -> None:
    chance, latency = random.Random(3), log_normal(60.0, 0.2)
    for count in (5, 30):
        learned = fit([chance.lognormvariate(math.log(latency.median_s), latency.sigma) for _ in range(count)])
        polls, lag_s = cost(Schedule(learned, 5.0), latency)
        assert polls * lag_s < 1.3 * Schedule(latency, 5.0).cost_bound_s


def test_experience_grows_within_a_run_and_forgets_what_is_long_ago() -> None:
    experience = Experience(5.0)
    assert experience.schedule("a").next_age_s(0.0) == 5.0
    experience.learn("a", [58.0, 60.0, 62.0])
    first_s = experience.schedule("a").next_age_s(0.0)
    assert 30.0 < first_s < 60.0
    assert experience.schedule("b").next_age_s(0.0) == 5.0
    for _ in range(REMEMBERED):
        experience.learn("a", [300.0])
    assert experience.schedule("a").next_age_s(0.0) > 200.0


def test_the_memory_is_not_biased_towards_slow_takes() -> None:
    chance = random.Random(5)
    wave_s = sorted(chance.lognormvariate(math.log(60.0), 0.2) for _ in range(5_000))  # they end in this order
    experience, forgetful = Experience(5.0, slots=5_000), Experience(5.0)
    for each in (experience, forgetful):
        each.learn("a", wave_s)
        each.learn("a", wave_s)
    best_s = Schedule(LogNormal(60.0, 0.2), 5.0).next_age_s(0.0)
    assert experience.schedule("a").next_age_s(0.0) == pytest.approx(best_s, abs=1.0)
    assert forgetful.schedule("a").next_age_s(0.0) > best_s + 20.0, "the check can fail"


def test_a_schedule_is_not_made_anew_for_every_take() -> None:
    experience, made = Experience(5.0), set[int]()
    kept: list[Schedule] = []
    for _ in range(1_000):
        experience.learn("a", [60.0])
        schedule = experience.schedule("a")
        kept.append(schedule)
        made.add(id(schedule))
    assert len(made) < 80


def test_a_latency_is_the_inference_time_unless_polls_contradict() -> None:
    assert latency_of(60.0, 58.0, 63.0) == 60.0
    assert latency_of(55.0, 58.0, 63.0) == 60.5  # it waited for a place first
    assert latency_of(90.0, 58.0, 63.0) == 60.5
    assert latency_of(0.0, 0.0, 50.0) == 25.0  # the latency is not reported


def test_the_number_done_but_unseen_follows_from_their_ages() -> None:
    experience = Experience(5.0)
    assert experience.unseen([("a", 0.0, 10.0), ("a", 0.0, 99.0)]) == 2 * USUALLY_UNSEEN, "nothing is known"
    chance = random.Random(1)
    experience.learn("a", [chance.lognormvariate(math.log(60.0), 0.2) for _ in range(400)])
    assert experience.unseen([]) == 0.0
    assert experience.unseen([("a", 0.0, 10.0)] * 100) == pytest.approx(0.0, abs=0.01)
    assert experience.unseen([("a", 0.0, 60.0)] * 100) == pytest.approx(50.0, abs=5.0)
    assert experience.unseen([("a", 60.0, 61.0)] * 100) == pytest.approx(7.0, abs=2.0)
    assert experience.unseen([("a", 500.0, 600.0)] * 100) == pytest.approx(100 * USUALLY_UNSEEN), "those hang"


@given(
    LATENCIES,
    st.floats(0.0, 1e6),
    st.floats(0.0, 1e6),
)
def test_how_likely_a_take_is_done_is_a_probability(
    latency: LogNormal | None, not_done_at_s: float, more: float
) -> None:
    assert 0.0 <= Schedule(latency, 5.0).done_since(not_done_at_s, not_done_at_s + more) <= 1.0
