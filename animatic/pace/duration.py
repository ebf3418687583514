"""Duration of runs at the account's limits. Pure: seconds of any one clock."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Self

from animatic.pace.limits import MINUTE_S, Limits

USUAL_LATENCY_S = 75.0
"""Latency of a take where none was seen yet: WaveSpeed's page says a minute or more."""

USUAL_SPREAD = 0.2
"""Standard deviation of the logarithm of latencies, where too few were seen."""

LEAST_SEEN = 10
"""So many latencies say how much they differ."""

RISES_BY = 0.2
"""A forecast that the account's limits bound rises only if it was wrong by more than this share."""


@dataclass(frozen=True, slots=True)
class Work:
    """State of a run at one moment.

    Attributes:
        to_start: takes that are not submitted yet.
        ages_s: seconds since the submission of each take in flight.
        started_ago_s: seconds since each start of the last minute, oldest first.
        latency_s: mean latency of a take, as far as it is known.
        spread: standard deviation of the logarithm of latencies.
    """

    to_start: int
    ages_s: Sequence[float]
    started_ago_s: Sequence[float]
    latency_s: float
    spread: float = USUAL_SPREAD


class Latencies:
    """Latencies seen so far: their mean and how much they differ."""

    def __init__(self, latency_s: float = USUAL_LATENCY_S) -> None:
        self._usual_s = latency_s
        self._count, self._sum_s, self._logs, self._squares = 0, 0.0, 0.0, 0.0

    @classmethod
    def after(cls, history: Iterable[Iterable[float]]) -> Self:
        """Return no latencies yet, after those of earlier runs, by latency class: their mean is the usual one."""
        seen_s = [latency_s for latencies_s in history for latency_s in latencies_s]
        return cls(fmean(seen_s)) if seen_s else cls()

    def add(self, latency_s: float) -> None:
        """Count the latency of a take that has ended."""
        log = math.log(max(latency_s, 0.001))
        self._count, self._sum_s = self._count + 1, self._sum_s + latency_s
        self._logs, self._squares = self._logs + log, self._squares + log * log

    def mean_s(self, ages_s: Sequence[float]) -> float:
        """Return the mean latency, given the ages of takes in flight.

        The first to end are the short ones, so those in flight count as usual ones, or as old as they are.
        """
        usual_s = self._sum_s / self._count if self._count > len(ages_s) else self._usual_s
        open_s = sum(max(age_s, usual_s) for age_s in ages_s)
        count = self._count + len(ages_s)
        return (self._sum_s + open_s) / count if count else self._usual_s

    def spread(self, in_flight: int) -> float:
        """Return the standard deviation of their logarithm; the usual one while most are still in flight."""
        if self._count < max(LEAST_SEEN, in_flight):
            return USUAL_SPREAD
        mean = self._logs / self._count
        return math.sqrt(max(self._squares / self._count - mean * mean, 0.0))


def tail(takes: int, spread: float) -> float:
    """Return by which factor the longest of so many latencies is about longer than their mean."""
    return math.exp(spread * 0.85 * math.sqrt(2 * math.log(max(takes, 1) + 0.5)))


def planned_duration_s(to_start: int, in_flight: int, limits: Limits, latency_s: float) -> float:
    """Return the seconds that a run takes which has not begun, if each take starts as early as the account allows."""
    return left_s(Work(to_start, [latency_s / 2] * in_flight, [], latency_s), limits)


def left_s(work: Work, limits: Limits) -> float:
    """Return the seconds until the last take is done, if each starts as early as the account allows."""
    latency_s = max(work.latency_s, 0.001)
    ending_s = [max(latency_s - age_s, 0.0) for age_s in work.ages_s]
    together = min(work.to_start + len(work.ages_s), limits.max_in_flight)
    if not work.to_start:
        longest_s = max((latency_s * tail(together, work.spread) - age_s for age_s in work.ages_s), default=0.0)
        return max(longest_s, min(latency_s / 10, 5.0)) if work.ages_s else 0.0
    together = min(together, math.ceil(limits.starts_per_minute * latency_s / MINUTE_S))
    last_start_s = max(_last_start_by_pace_s(work, limits), _last_start_by_slots_s(work, limits, ending_s, latency_s))
    return last_start_s + latency_s * tail(together, work.spread)


def _last_start_by_pace_s(work: Work, limits: Limits) -> float:
    """Return when the last take may start: a start counts for a minute, and so many count at once."""
    most, window = limits.starts_per_minute, work.started_ago_s[-limits.starts_per_minute :]
    waiting = work.to_start - (most - len(window))
    if waiting <= 0:
        return 0.0
    times, rest = divmod(waiting - 1, most)
    oldest_s = window[rest] if rest < len(window) else 0.0
    return max(MINUTE_S - oldest_s, 0.0) + times * MINUTE_S


def _last_start_by_slots_s(work: Work, limits: Limits, ending_s: Sequence[float], latency_s: float) -> float:
    """Return when the last take finds a slot: as many are in flight as may be, and each makes room for the next."""
    most = limits.max_in_flight
    waiting = work.to_start - max(most - len(ending_s), 0)
    if waiting <= 0:
        return 0.0
    free_s = sorted([*ending_s, *([latency_s] * max(most - len(ending_s), 0))])
    times, rest = divmod(waiting - 1, most)
    return free_s[min(rest, len(free_s) - 1)] + times * latency_s


def next_start_s(work: Work, limits: Limits) -> float:
    """Return the seconds until the account allows the next start; 0 where it allows one now."""
    window = work.started_ago_s
    return max(MINUTE_S - window[-limits.starts_per_minute], 0.0) if len(window) >= limits.starts_per_minute else 0.0


class Forecast:
    """The end of a run, as it was last foreseen. It does not rise by itself while the account is the limit."""

    def __init__(self) -> None:
        self._ends_at = math.inf
        self._to_start = 0

    def update(self, work: Work, limits: Limits, now: float) -> float:
        """Return the seconds that are left, given the state at this moment."""
        seen_s, held_s = left_s(work, limits), max(self._ends_at - now, 0.0)
        is_wrong = seen_s > held_s * (1 + RISES_BY) + min(work.latency_s, 5.0)
        if work.to_start > self._to_start or is_wrong or seen_s < held_s:
            self._ends_at = now + seen_s
        self._to_start = work.to_start
        return max(self._ends_at - now, 0.0)


def in_words(seconds: float) -> str:
    """Return a duration as people say it: `40 s`, `12 min`, `1.7 h`, `3.2 days`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
