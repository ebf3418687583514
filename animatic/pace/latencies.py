"""Latencies of takes, as far as they are known: by latency class, seen in this run, in earlier ones, or assumed. Pure.

A log-normal is fitted to each class: to the takes that have ended, to the ages at which others were seen not to be done
(the first to end are the short ones, so those alone would say too little), and to an assumption that weighs little.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

USUAL_LATENCY_S = 75.0
"""Latency of a take where none was seen yet: WaveSpeed's page says a minute or more."""

USUAL_SPREAD = 0.2
"""Standard deviation of the logarithm of latencies, where too few were seen."""

MOST_AGES = 50
"""Of more takes in flight so many stand for all."""

_SPREAD_WEIGHT, _WEAK, _LIKE_OTHERS, _LIKE_BEFORE = 10.0, 0.3, 1.0, 10.0
"""Number of takes that an assumption counts for: the usual spread, the usual latency, other classes, earlier runs."""

_STEPS, _REACH, _ROUNDS = 25, 3.0, 3
_FAR, _FAR_OFF = 30.0, 1e-300


@dataclass(slots=True)
class _Seen:
    """Latencies of one class: their number, their sum, and the sums of their logarithms and of the squares of those."""

    count: int = 0
    sum_s: float = 0.0
    logs: float = 0.0
    squares: float = 0.0

    def add(self, latency_s: float) -> None:
        log = math.log(max(latency_s, 0.001))
        self.count, self.sum_s = self.count + 1, self.sum_s + latency_s
        self.logs, self.squares = self.logs + log, self.squares + log * log

    def scatter(self, middle: float) -> float:
        """Return the sum of the squared distances of the logarithms from a middle."""
        return max(self.squares - 2 * middle * self.logs + self.count * middle * middle, 0.0)


_NONE = _Seen()


class Latencies:
    """Latencies seen so far, by latency class. A class of which none was seen is assumed to be like the others.

    `usual_s` is the latency where nothing is known, `lengths_s` the lengths of clips by class: of two classes, the one
    with the longer clips is assumed to take longer in proportion until it was seen.
    """

    def __init__(self, usual_s: float = USUAL_LATENCY_S, lengths_s: Mapping[Any, float] | None = None) -> None:
        self._usual_s, self._lengths_s = usual_s, lengths_s or {}
        self._here: dict[Hashable, _Seen] = {}
        self._failed: dict[Hashable, _Seen] = {}
        self._before: dict[Hashable, _Seen] = {}

    @classmethod
    def after(
        cls,
        history: Mapping[Any, Iterable[float]],
        usual_s: float = USUAL_LATENCY_S,
        lengths_s: Mapping[Any, float] | None = None,
    ) -> Self:
        """Return no latencies yet, after those of earlier runs."""
        latencies = cls(usual_s, lengths_s)
        for latency_class, seen_s in history.items():
            for each in seen_s:
                latencies._before.setdefault(latency_class, _Seen()).add(each)
        return latencies

    def add(self, latency_s: float, latency_class: Hashable = None, *, is_failure: bool = False) -> None:
        """Count the latency of a take that has ended. Failures come early, and say nothing of the others."""
        (self._failed if is_failure else self._here).setdefault(latency_class, _Seen()).add(latency_s)

    def fitted(self, not_done_at_s: Mapping[Any, Sequence[float]] | None = None) -> "Fitted":
        """Return what they come to, given the ages at which takes in flight were not done, by class."""
        ages_s, spread = not_done_at_s or {}, USUAL_SPREAD
        classes = {*self._here, *ages_s}
        known = {each: _Open.of(ages_s.get(each, ())) for each in classes}
        middles: dict[Hashable, float] = {}
        for _ in range(_ROUNDS):
            for each in classes:
                assumed_s, weight = self._assumed(each)
                middles[each] = _middle(self.seen(each), known[each], (math.log(assumed_s), weight), spread)
            squares, count = _SPREAD_WEIGHT * USUAL_SPREAD**2, _SPREAD_WEIGHT
            for each in classes:
                squares += self.seen(each).scatter(middles[each]) + known[each].scatter(middles[each], spread)
                count += self.seen(each).count + known[each].count
            spread = math.sqrt(squares / count)
        made_s = {each: self._made_s(each, known[each], middles[each], spread) for each in classes}
        return Fitted(self, made_s, {each: len(ages) for each, ages in ages_s.items()}, spread)

    def seen(self, latency_class: Hashable) -> _Seen:
        """Return the latencies of a class that this run saw."""
        return self._here.get(latency_class, _NONE)

    def failed(self, latency_class: Hashable) -> _Seen:
        """Return those of its takes that failed."""
        return self._failed.get(latency_class, _NONE)

    def assumed_s(self, latency_class: Hashable) -> float:
        """Return the latency that a class is assumed to have while none of it was seen."""
        return self._assumed(latency_class)[0]

    def _made_s(self, latency_class: Hashable, in_flight: "_Open", middle: float, spread: float) -> float:
        seen, (assumed_s, weight) = self.seen(latency_class), self._assumed(latency_class)
        open_s = in_flight.step * sum(_mean_beyond(log, middle, spread) for log in in_flight.logs)
        return (seen.sum_s + open_s + weight * assumed_s) / (seen.count + in_flight.count + weight)

    def _assumed(self, latency_class: Hashable) -> tuple[float, float]:
        """Return the latency that a class is assumed to have, and for how many takes that counts.

        It is that of before; else that of the others, now or before, by length; else the usual one.
        """
        before = self._before.get(latency_class)
        if before is not None:
            return before.sum_s / before.count, min(before.count, _LIKE_BEFORE)
        others = {each: seen for each, seen in self._here.items() if each != latency_class} or self._before
        if not others:
            return self._usual_s, _WEAK
        length_s = self._lengths_s.get(latency_class)
        scaled = (
            seen.sum_s * (length_s / self._lengths_s[each] if length_s and each in self._lengths_s else 1.0)
            for each, seen in others.items()
        )
        return sum(scaled) / sum(seen.count for seen in others.values()), _LIKE_OTHERS


@dataclass(frozen=True, slots=True)
class Fitted:
    """Latencies of a run at one moment.

    Attributes:
        spread: standard deviation of the logarithm of latencies within a class.
    """

    _latencies: Latencies
    _made_s: Mapping[Hashable, float]
    _in_flight: Mapping[Hashable, int]
    spread: float

    def made_s(self, latency_class: Hashable = None) -> float:
        """Return the mean latency of takes of a class that do not fail."""
        found = self._made_s.get(latency_class)
        return self._latencies.assumed_s(latency_class) if found is None else found

    def mean_s(self, latency_class: Hashable = None) -> float:
        """Return the mean latency of takes of a class, failures among them."""
        failed, made_s = self._latencies.failed(latency_class), self.made_s(latency_class)
        others = self._latencies.seen(latency_class).count + self._in_flight.get(latency_class, 0)
        return (made_s * others + failed.sum_s) / (others + failed.count) if failed.count else made_s

    def mean_of(self, takes: Mapping[Any, int]) -> float:
        """Return the mean latency of so many takes of each class that have not begun."""
        total = sum(takes.values())
        return sum(count * self.mean_s(each) for each, count in takes.items()) / total if total else self.mean_s()


@dataclass(frozen=True, slots=True)
class _Open:
    """Ages at which takes in flight were not done: their logarithms, each of which stands for `step` of them."""

    logs: Sequence[float]
    step: int

    @classmethod
    def of(cls, ages_s: Sequence[float]) -> Self:
        step = max(len(ages_s) // MOST_AGES, 1)
        return cls([math.log(age_s) for age_s in ages_s[::step] if age_s > 0], step)

    @property
    def count(self) -> int:
        return self.step * len(self.logs)

    def scatter(self, middle: float, spread: float) -> float:
        """Return the sum of the squared distances that their logarithms will have from a middle, on average."""
        zs = [(log - middle) / spread for log in self.logs]
        return self.step * spread * spread * sum(1.0 + z * _hazard(z) for z in zs)


def _middle(seen: _Seen, in_flight: _Open, assumed: tuple[float, float], spread: float) -> float:
    """Return the mean logarithm that fits best, by halving."""
    at, weight = assumed
    known = [at, *([seen.logs / seen.count] if seen.count else []), *in_flight.logs]
    low, high = min(known), max(known) + _REACH

    def is_too_high(middle: float) -> bool:
        late = in_flight.step * spread * sum(_hazard((log - middle) / spread) for log in in_flight.logs)
        return weight * (middle - at) + seen.count * middle - seen.logs > late

    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_too_high(middle) else (middle, high)
    return (low + high) / 2


def _mean_beyond(log: float, middle: float, spread: float) -> float:
    """Return the mean of latencies that are longer than one, given the logarithm of that one."""
    z = (log - middle) / spread
    mean_s = math.exp(middle + spread * spread / 2)
    return max(mean_s * survival(z - spread) / survival(z), math.exp(log))


def survival(z: float) -> float:
    """Return the share of a normal distribution beyond z; beyond `_FAR`, where it vanishes, something small."""
    return math.erfc(z / math.sqrt(2)) / 2 if z < _FAR else _FAR_OFF


def _hazard(z: float) -> float:
    """Return the density of a normal distribution at z as a share of what is beyond; far out that is z itself."""
    return math.exp(-z * z / 2) / math.sqrt(math.tau) / survival(z) if z < _FAR else z
