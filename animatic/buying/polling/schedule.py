"""Times of polls: where the latencies seen so far make a poll worth most. Pure.

A poll costs a request; a take that is done and not polled costs lag. The cheapest mix of the two polls with an
intensity (polls a second) in proportion to the square root of the hazard: of the chance that a take which is not done
yet is done in the next second. `docs/polling.md` derives it, and what no schedule can beat.

    latencies are seen      a log-normal is fitted to the newest of them; the mean number of polls is MEAN_POLLS, or
                            fewer where the floor would bind around the time at which most takes are done
    none are seen           a few takes are polled as pilots, each time later by half of their age; the others wait
                            until a third of the pilots are done, but no longer than UNTOLD_S

Never closer than the floor. Beyond the age at which nearly all are done the log-normal says nothing any more: polls are
a tenth of the age apart there, whatever holds that take up. The last takes of a run are polled as often as the floor
allows once they may be done: their lag is the run's.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, pairwise
from statistics import NormalDist, fmean

MEAN_POLLS = 3.0
LONGEST_S = 60.0
"""No poll comes later than this after the one before, but where the floor is longer."""

REMEMBERED = 400
WAVES_REMEMBERED = 2
"""Latencies that are remembered: REMEMBERED, or WAVES_REMEMBERED for each slot if that is more. Of takes that began
together the slow ones end last: with fewer, only slow ones would be remembered."""

FEWEST = 3
PILOTS = 16
PILOTS_DONE = 6
"""Number of pilots that must be done before the other takes are polled: the very fastest alone would mislead."""

UNTOLD_S = 60.0
"""The age at which a take is polled even if too few pilots are done."""

LAST_TAKES = 20
"""With so few takes left in a run, polls cost little, and everybody waits for them."""

USUALLY_UNSEEN = 0.06
"""The share of takes in flight that are done and not seen yet, where nothing is known: what polls usually come to."""

_PRIOR_WEIGHT, _PRIOR_SIGMA, _LEAST_SIGMA = 3.0, 0.2, 0.02
_STANDARD, _FAR_OFF_Z = NormalDist(), 2.05
_LOWEST_Z, _HIGHEST_Z, _STEPS = -4.5, 6.0, 300
_ROOT_HALF = math.sqrt(0.5)
_TAIL_Z = 2.9
"""Standard deviations beyond which all but 2 in 1,000 are done."""


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A distribution of latencies: seconds of which half are shorter, and the standard deviation of their logarithm."""

    median_s: float
    sigma: float

    @property
    def mean_s(self) -> float:
        """The mean, in seconds."""
        return self.median_s * math.exp(self.sigma**2 / 2)

    def survival(self, age_s: float) -> float:
        """Return the share of takes that need longer."""
        share = age_s / self.median_s
        return math.erfc(math.log(share) / self.sigma * _ROOT_HALF) / 2 if share > 0 else 1.0


def fit(latencies_s: Sequence[float], not_done_at_s: Iterable[float] = ()) -> LogNormal | None:
    """Fit a distribution to latencies, robust to outliers; None if they are too few.

    `not_done_at_s` are the ages at which other takes of the same time were not done: without them, those that are done
    first would pass for all. A line through the probability plot, after Kaplan and Meier.
    """
    done = sorted(math.log(each) for each in latencies_s if each > 0)
    if len(done) < FEWEST:
        return None
    plotted = list(_plotted(done, not_done_at_s))
    points = [each for each in plotted if abs(each[0]) <= _FAR_OFF_Z] or plotted
    middle_z, middle = fmean(z for z, _ in points), fmean(log for _, log in points)
    spread = math.fsum((z - middle_z) ** 2 for z, _ in points)
    slope = math.fsum((z - middle_z) * (log - middle) for z, log in points) / spread if spread else 0.0
    degrees = len(points) - 1
    sigma = math.sqrt((degrees * slope**2 + _PRIOR_WEIGHT * _PRIOR_SIGMA**2) / (degrees + _PRIOR_WEIGHT))
    sigma = max(sigma, _LEAST_SIGMA)
    return LogNormal(math.exp(middle - sigma * middle_z), sigma)


def _plotted(done: Sequence[float], not_done_at_s: Iterable[float]) -> Iterator[tuple[float, float]]:
    """For each logarithm of a latency, ascending, the standard deviations from the mean at which it should lie."""
    others = sorted(math.log(each) for each in not_done_at_s if each > 0)
    survival, gone = 1.0, 0
    for number, log in enumerate(done):
        while gone < len(others) and others[gone] < log:
            gone += 1
        before = survival
        survival *= 1.0 - 1.0 / (len(done) - number + len(others) - gone)
        yield _STANDARD.inv_cdf(1.0 - (before + survival) / 2), log


class Schedule:
    """The ages at which a take is polled, all counted from its submission, in seconds.

    Attributes:
        cost_bound_s: (mean polls) x (mean lag in seconds) that no schedule gets below, by about: (integral of the root
            of density x survival) squared, halved.
    """

    def __init__(self, latency: LogNormal | None, floor_s: float, mean_polls: float = MEAN_POLLS) -> None:
        self._floor_s = floor_s
        self._latency = latency
        self._ages_s, self._polls, self._last_rate, self._tail_s = (0.0,), (0.0,), 0.0, 0.0
        self.cost_bound_s = 0.0
        if latency is not None:
            self._tabulate(latency, mean_polls)

    def next_age_s(self, age_s: float, *, is_last: bool = False) -> float:
        """Return the age at the next poll, given the age at the last one (0.0: none). `is_last`: the run waits."""
        soonest = age_s + self._floor_s
        if not self._last_rate:
            return max(soonest, min(1.5 * age_s, age_s + LONGEST_S))
        if is_last and 0.0 < age_s < 2.0 * self._tail_s:
            return soonest
        wanted = self._age_after(self._polls_until(age_s) + 1.0)
        if age_s > self._tail_s:
            wanted = max(wanted, 1.1 * age_s)
        return max(soonest, min(wanted, age_s + LONGEST_S) if age_s else wanted)

    def done_since(self, not_done_at_s: float, age_s: float) -> float:
        """Return the probability that a take of this age is done, given that it was not at an earlier one."""
        if self._latency is None or not_done_at_s >= self._tail_s:
            return USUALLY_UNSEEN
        if age_s <= self._ages_s[0]:
            return 0.0
        return 1.0 - self._latency.survival(age_s) / self._latency.survival(not_done_at_s)

    def _tabulate(self, latency: LogNormal, mean_polls: float) -> None:
        """Tabulate how many polls are due until each of many ages, so that they are one apart."""
        step = (_HIGHEST_Z - _LOWEST_Z) / _STEPS
        zs = [_LOWEST_Z + step * number for number in range(_STEPS + 1)]
        ages = [latency.median_s * math.exp(latency.sigma * z) for z in zs]
        density = [
            math.exp(-z * z / 2) / (math.sqrt(math.tau) * latency.sigma * age) for z, age in zip(zs, ages, strict=True)
        ]
        survival = [math.erfc(z / math.sqrt(2)) / 2 for z in zs]
        root = [math.sqrt(f * s) for f, s in zip(density, survival, strict=True)]
        total = _integrals(ages, root)[-1]
        self.cost_bound_s = total**2 / 2
        self._tail_s = latency.median_s * math.exp(_TAIL_Z * latency.sigma)
        hazard_root = [math.sqrt(f / s) for f, s in zip(density, survival, strict=True)]
        busiest = max(h for h, s in zip(hazard_root, survival, strict=True) if s > 1 - _MOST_ARE_DONE)
        factor = min(mean_polls / total, 1.0 / (self._floor_s * busiest) if self._floor_s else math.inf)
        rate = [factor * h for h in hazard_root]
        self._ages_s, self._polls, self._last_rate = tuple(ages), tuple(_integrals(ages, rate)), rate[-1]

    def _polls_until(self, age_s: float) -> float:
        if age_s >= self._ages_s[-1]:
            return self._polls[-1] + (age_s - self._ages_s[-1]) * self._last_rate
        return _between(age_s, self._ages_s, self._polls)

    def _age_after(self, polls: float) -> float:
        if polls >= self._polls[-1]:
            return self._ages_s[-1] + (polls - self._polls[-1]) / self._last_rate
        return _between(polls, self._polls, self._ages_s)


_MOST_ARE_DONE = 0.75
"""The share of takes that are done while the floor must not bind."""


@dataclass(slots=True)
class Experience:
    """Latencies seen lately, by latency class, and the schedule that they make. Learns while it is used.

    Attributes:
        floor_s: between two polls of the same take.
        slots: how many takes may be in flight at once.
        not_done_at_s: tells the ages at which the takes of a latency_class in flight were last seen not to be done.
    """

    floor_s: float
    slots: int = 0
    not_done_at_s: Callable[[Hashable], Iterable[float]] = lambda _: ()
    _seen: dict[Hashable, deque[float]] = field(default_factory=dict[Hashable, deque[float]])
    _schedules: dict[Hashable, tuple[int, Schedule]] = field(default_factory=dict[Hashable, tuple[int, Schedule]])
    _counts: dict[Hashable, int] = field(default_factory=dict[Hashable, int])

    def learn(self, latency_class: Hashable, latencies_s: Iterable[float]) -> None:
        """Take note of latencies, the newest last."""
        seen = self._seen.setdefault(latency_class, deque(maxlen=self._most))
        before = len(seen)
        for each in latencies_s:
            seen.append(each)
            self._counts[latency_class] = self._counts.get(latency_class, before) + 1

    def is_known(self, latency_class: Hashable) -> bool:
        """Tell if enough was seen of takes of this latency class to schedule polls."""
        return self._counts.get(latency_class, 0) >= PILOTS_DONE

    def schedule(self, latency_class: Hashable) -> Schedule:
        """Return the schedule for takes of this latency class, fitted again when a fifth more has been seen."""
        count = self._counts.get(latency_class, 0)
        made_at, schedule = self._schedules.get(latency_class, (-1, None))
        if schedule is None or count >= made_at + max(1, min(made_at, self._most) // 5):
            is_few = count < self._most  # beyond, fast and slow ones are remembered
            others = self.not_done_at_s(latency_class) if is_few else ()
            schedule = Schedule(fit(self._seen.get(latency_class, ()), others), self.floor_s)
            self._schedules[latency_class] = (count, schedule)
        return schedule

    @property
    def _most(self) -> int:
        return max(REMEMBERED, WAVES_REMEMBERED * self.slots)

    def unseen(self, in_flight: Iterable[tuple[Hashable, float, float]]) -> float:
        """Return the expected number of takes that are done and not yet polled.

        Each with its latency class, its age at the last poll, which showed that it was not done, and its age now.
        """
        schedule = cache(self.schedule)
        return math.fsum(
            schedule(latency_class).done_since(not_done_at_s, age_s)
            for latency_class, not_done_at_s, age_s in in_flight
        )


def latency_of(inference_s: float, not_done_at_s: float, seen_at_s: float) -> float:
    """Return the age at which a take was done, given its ages at the last two polls.

    That is its inference time, if it is given (not 0) and lies between the polls; else the middle between them.
    """
    is_possible = inference_s > 0 and not_done_at_s <= inference_s <= seen_at_s
    return inference_s if is_possible else (not_done_at_s + seen_at_s) / 2


def _integrals(xs: Sequence[float], ys: Sequence[float]) -> list[float]:
    """Integrate y over x up to each x, by trapezoids."""
    parts = ((x2 - x1) * (y1 + y2) / 2 for (x1, x2), (y1, y2) in zip(pairwise(xs), pairwise(ys), strict=True))
    return list(accumulate(parts, initial=0.0))


def _between(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Y at x, linearly between the known points; the first y before them."""
    at = bisect_right(xs, x) - 1
    if at < 0:
        return ys[0]
    if at >= len(xs) - 1:
        return ys[-1]
    span = xs[at + 1] - xs[at]
    share = (x - xs[at]) / span if span else 0.0
    return ys[at] + share * (ys[at + 1] - ys[at])
