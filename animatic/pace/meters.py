"""Meters of a run's engine, beside the counts of its takes: durations, requests, starts. Pure.

Each is written by one thread and read by any other, so that reading them never holds up a run.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets that durations are counted in."""


class Durations:
    """A histogram of durations."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self._counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> Iterator[tuple[float, int]]:
        """Yield each upper bound, the last infinite, with the number of durations up to it."""
        return zip((*BOUNDS_S, math.inf), accumulate(list(self._counts)), strict=True)


@dataclass(slots=True)
class Meters:
    """Meters of one run. Moments are seconds of the event loop's clock, which is the monotonic one.

    Attributes:
        requests: sent to WaveSpeed, by call (`submit`, `result`, …) and outcome, as `wavespeed.client` names them.
        request_s: from the first byte to the last of the answer, by call.
        starts_granted: by the account's limits.
        commits: of the ledger.
        commits_failed: transactions of the ledger of which nothing was committed.
        ledger_at: last moment at which the ledger answered.
        poll_lag: from the moment at which a poll is due to its release.
        next_poll_at: when the next poll is due; infinite where none is.
        polled_at: when a poll was last answered.
        loop_lag: how much later than asked for the event loop woke up.
        looped_at: last moment at which the event loop is known to have turned.
    """

    requests: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    request_s: dict[str, Durations] = field(default_factory=dict[str, Durations])
    starts_granted: int = 0
    commits: Durations = field(default_factory=Durations)
    commits_failed: int = 0
    ledger_at: float | None = None
    poll_lag: Durations = field(default_factory=Durations)
    next_poll_at: float = math.inf
    polled_at: float | None = None
    loop_lag: Durations = field(default_factory=Durations)
    looped_at: float | None = None

    def requested(self, call: str, outcome: str, seconds: float) -> None:
        """Count a request to WaveSpeed."""
        self.requests[call, outcome] += 1
        if call not in self.request_s:
            self.request_s[call] = Durations()
        self.request_s[call].add(seconds)

    def committed(self, seconds: float, now: float, *, is_done: bool) -> None:
        """Count a transaction of the ledger that ended now."""
        self.commits.add(seconds)
        if is_done:
            self.ledger_at = now
        else:
            self.commits_failed += 1

    def poll_released(self, due: float, now: float) -> None:
        """Count a poll that was due then and is released now."""
        self.poll_lag.add(max(now - due, 0.0))

    def looped(self, due: float, now: float) -> None:
        """Note that the event loop, which was to wake up then, does so now."""
        self.looped_at = now
        self.loop_lag.add(max(now - due, 0.0))
