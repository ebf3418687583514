"""Forecasts of a run's end, held against simulated runs at each level."""

import bisect
import heapq
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest

from animatic.pace.duration import Forecast, Latencies, Work, in_words, left_s, next_start_s, planned_duration_s, tail
from animatic.pace.limits import LEVELS, Limits


@dataclass(frozen=True)
class Run:
    """A run in which every take starts as early as the account allows; moments in seconds from its first start."""

    starts: list[float]
    latencies: list[float]

    @cached_property
    def ends(self) -> list[float]:
        return [start + latency for start, latency in zip(self.starts, self.latencies, strict=True)]

    def works_at(self, moments: Iterable[float], usual_s: float) -> Iterator[tuple[float, Work]]:
        """The state at each of these moments, which must rise."""
        seen, ended = Latencies(usual_s), sorted(range(len(self.ends)), key=self.ends.__getitem__, reverse=True)
        for now in moments:
            begun = bisect.bisect_right(self.starts, now)
            while ended and self.ends[ended[-1]] <= now:
                seen.add(self.latencies[ended.pop()])
            ages_s = [now - start for start, end in zip(self.starts[:begun], self.ends, strict=False) if end > now]
            window = [now - start for start in self.starts[bisect.bisect_right(self.starts, now - 60) : begun]]
            yield now, Work(len(self.starts) - begun, ages_s, window, seen.mean_s(ages_s), seen.spread(len(ages_s)))


def simulated(limits: Limits, takes: int, median_s: float, spread: float, seed: int) -> Run:
    chance = random.Random(seed)
    latencies = [median_s * math.exp(chance.gauss(0, spread)) for _ in range(takes)]
    starts: list[float] = []
    in_flight: list[float] = []
    for number, latency_s in enumerate(latencies):
        start = starts[-1] if starts else 0.0
        if number >= limits.starts_per_minute:
            start = max(start, starts[number - limits.starts_per_minute] + 60)
        if len(in_flight) >= limits.max_in_flight:
            start = max(start, heapq.heappop(in_flight))
        starts.append(start)
        heapq.heappush(in_flight, start + latency_s)
    return Run(starts, latencies)


@pytest.mark.parametrize(
    ("level", "takes"), [("bronze", 20), ("bronze", 60), ("silver", 500), ("gold", 5_000), ("ultra", 12_000)]
)
@pytest.mark.parametrize("median_s", [30.0, 60.0, 120.0])
def test_the_error_is_below_a_fifth_from_a_tenth_of_the_run_on(level: str, takes: int, median_s: float) -> None:
    limits = LEVELS[level]
    run = simulated(limits, takes, median_s, 0.2, seed=takes)
    end, forecast = max(run.ends), Forecast()
    moments = (end * step / 40 for step in range(1, 40))
    for step, (now, work) in enumerate(run.works_at(moments, median_s), start=1):
        foreseen = forecast.update(work, limits, now)
        if step >= 4:
            assert abs(foreseen - (end - now)) < 0.2 * end, (level, step, foreseen, end - now)


@pytest.mark.parametrize("level", ["bronze", "silver"])
def test_the_forecast_falls_steadily_while_starts_are_the_limit(level: str) -> None:
    limits = LEVELS[level]
    run = simulated(limits, limits.starts_per_minute * 12, 30.0, 0.2, seed=1)
    forecast, before = Forecast(), math.inf
    for now, work in run.works_at(map(float, range(1, int(max(run.starts)))), 30.0):
        left = forecast.update(work, limits, now)
        assert left <= before
        before = left


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
    assert in_words(seconds) == words
