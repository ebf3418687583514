"""Duration of runs at the account's limits. Pure: seconds of any one clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from animatic.pace.latencies import MOST_AGES, USUAL_SPREAD, survival
from animatic.pace.limits import MINUTE_S, Limits

RISES_BY = 0.2
"""A forecast rises only if it was too low by more than this share."""

LATE = 3.0
"""A take older than this many usual latencies may be stuck: it is expected to take as long again."""

LONGEST = 20.0
"""Upper bound of the latency that a take is expected to have, in usual latencies."""

_STEPS = 30


@dataclass(frozen=True, slots=True)
class Work:
    """State of a run at one moment.

    Attributes:
        to_start: takes that are not submitted yet.
        ages_s: seconds since the submission of each take in flight.
        started_ago_s: seconds since each start of the last minute, oldest first.
        latency_s: mean latency of the takes that are not submitted yet, as far as it is known.
        spread: standard deviation of the logarithm of latencies.
        usual_s: mean latency of takes like each of those in flight; empty where it is that of all.
        leaves_in_s: seconds until each of those in flight is left to the next run; empty where none is.
        longest_s: mean latency of those takes that take longest; 0 where it is that of all.
        allowed_per_minute: starts that WaveSpeed allows where it refuses more, else None.
        chained: length of the longest chain, of takes that each wait for the one before.
    """

    to_start: int
    ages_s: Sequence[float]
    started_ago_s: Sequence[float]
    latency_s: float
    spread: float = USUAL_SPREAD
    usual_s: Sequence[float] = ()
    leaves_in_s: Sequence[float] = ()
    longest_s: float = 0.0
    allowed_per_minute: float | None = None
    chained: int = 0

    @property
    def in_flight(self) -> list[tuple[float, float, float]]:
        """Age, usual latency, and seconds until it is left to the next run, of each take in flight."""
        count = len(self.ages_s)
        usual_s, leaves_in_s = self.usual_s or [self.latency_s] * count, self.leaves_in_s or [math.inf] * count
        return list(zip(self.ages_s, usual_s, leaves_in_s, strict=True))


def tail(takes: int, spread: float) -> float:
    """Return by which factor the longest of so many latencies is about longer than their mean."""
    return math.exp(spread * 0.85 * math.sqrt(2 * math.log(max(takes, 1) + 0.5)))


def planned_duration_s(to_start: int, in_flight: int, limits: Limits, latency_s: float, chained: int = 0) -> float:
    """Return the seconds that a run takes which has not begun, if each take starts as early as the account allows.

    `chained` is as in `Work`.
    """
    left = left_s(Work(to_start, [latency_s / 2] * in_flight, [], latency_s), limits)
    return max(left, (chained + 1) * latency_s) if chained else left


def left_s(work: Work, limits: Limits) -> float:
    """Return the seconds until the last take is done, if each starts as early as the account and its chain allow."""
    if not work.chained:
        return _unchained_s(work, limits)
    before_s = max(work.latency_s - min(work.ages_s), 0.0) if work.ages_s else work.latency_s
    return max(_unchained_s(work, limits), before_s + work.chained * work.latency_s)


def _unchained_s(work: Work, limits: Limits) -> float:
    latency_s = max(work.latency_s, 0.001)
    if not work.to_start:
        return _last_end_s(work.in_flight, work.spread) if work.ages_s else 0.0
    ending_s = [_ending_s(*each) for each in work.in_flight]
    starts = min(limits.starts_per_minute, work.allowed_per_minute or math.inf)
    in_flight = min(work.to_start + len(work.ages_s), limits.max_in_flight)
    together = min(in_flight, math.ceil(starts * latency_s / MINUTE_S))
    last_start_s = max(
        _last_start_by_pace_s(work, limits),
        _last_start_by_refusals_s(work),
        _last_start_by_slots_s(work, limits, ending_s, latency_s),
    )
    return last_start_s + max(work.longest_s, latency_s) * tail(together, work.spread)


def _ending_s(age_s: float, usual_s: float, leaves_in_s: float) -> float:
    """Return the seconds until a take in flight ends, or is left to the next run."""
    return max(min(age_s if age_s > LATE * usual_s else usual_s - age_s, leaves_in_s), 0.0)


def _last_end_s(in_flight: Sequence[tuple[float, float, float]], spread: float) -> float:
    """Return the median time until the last of these takes ends, given the age and usual latency of each."""
    stuck_s = [_ending_s(*each) for each in in_flight if each[0] > LATE * each[1]]
    if stuck_s:
        return max(stuck_s)
    step = max(len(in_flight) // MOST_AGES, 1)
    takes = [(max(age_s, 0.001), math.log(usual_s) - spread * spread / 2) for age_s, usual_s, _ in in_flight[::step]]

    def still_open(after_s: float) -> float:
        """Return how many are not done after so many seconds, on average."""
        return step * sum(
            survival((math.log(age_s + after_s) - middle) / spread) / survival((math.log(age_s) - middle) / spread)
            for age_s, middle in takes
        )

    low, high = 0.0, LONGEST * max(usual_s for _, usual_s, _ in in_flight)
    for _ in range(_STEPS):
        half = (low + high) / 2
        low, high = (half, high) if still_open(half) > math.log(2) else (low, half)
    return high


def _last_start_by_pace_s(work: Work, limits: Limits) -> float:
    """Return when the last take may start: a start counts for a minute, and so many count at once."""
    most, window = limits.starts_per_minute, work.started_ago_s[-limits.starts_per_minute :]
    waiting = work.to_start - (most - len(window))
    if waiting <= 0:
        return 0.0
    times, rest = divmod(waiting - 1, most)
    oldest_s = window[rest] if rest < len(window) else 0.0
    return max(MINUTE_S - oldest_s, 0.0) + times * MINUTE_S


def _last_start_by_refusals_s(work: Work) -> float:
    """Return when the last take may start where WaveSpeed refuses starts that the account's limits would allow."""
    return MINUTE_S * work.to_start / work.allowed_per_minute if work.allowed_per_minute else 0.0


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
    """The time that is left, as it was last foreseen. It stands still rather than rise, unless it was far too low."""

    def __init__(self) -> None:
        self._left_s = 0.0
        self._to_start = 0

    def update(self, work: Work, limits: Limits) -> float:
        """Return the seconds that are left, given the state at this moment."""
        seen_s = left_s(work, limits)
        is_wrong = seen_s > self._left_s * (1 + RISES_BY) + min(work.latency_s, 5.0)
        if work.to_start > self._to_start or is_wrong or seen_s < self._left_s:
            self._left_s = seen_s
        self._to_start = work.to_start
        return self._left_s
