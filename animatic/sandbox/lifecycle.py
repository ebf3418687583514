"""The life of a prediction, as a function of time. Pure: no clock, no sleep, no thread; the moment is an argument.

All moments are seconds since 1970, UTC.
"""

import heapq
import math
import random
from dataclasses import dataclass

CREATED, PROCESSING, COMPLETED, FAILED, DELETED = "created", "processing", "completed", "failed", "deleted"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Times at which a prediction is accepted, gets its slot, and frees it."""

    accepted_at: float
    started_at: float
    finishes_at: float

    def status_at(self, now: float, final: str) -> str:
        """Return `created` while it waits for a slot, `processing` while it has one, then `final`."""
        if now < self.started_at:
            return CREATED
        return PROCESSING if now < self.finishes_at else final


class WorkerSlots:
    """The slots that an account has for predictions at work; who comes when all are taken waits for the next free one.

    A prediction's whole life is settled when it is accepted, from those accepted before it. Ask in order of acceptance.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._free_at: list[float] = []  # a heap of at most `count` moments, one for each slot ever used
        self._ends: list[float] = []  # a heap of the ends of all that are not finished, waiting ones included

    def start_of(self, accepted_at: float) -> float:
        """Return when a prediction accepted now would get a slot."""
        if len(self._free_at) < self._count:
            return accepted_at
        return max(accepted_at, self._free_at[0])

    def take(self, life: Lifecycle) -> None:
        """Give a slot to a life that begins at `start_of` its acceptance (or did, before a restart)."""
        heapq.heappush(self._free_at, life.finishes_at)
        while len(self._free_at) > self._count:
            heapq.heappop(self._free_at)
        heapq.heappush(self._ends, life.finishes_at)

    def unfinished_at(self, now: float) -> int:
        """Return how many are waiting or at work. Time must not go back between calls."""
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)


def draw_latency_s(seed: str, median_s: float, spread: float) -> float:
    """Seconds of work, log-normal around the median; the same seed draws the same.

    `spread` is the coefficient of variation, so that 0.2 is about a fifth of the median either way.
    """
    sigma = math.sqrt(math.log1p(spread * spread))
    return median_s * math.exp(sigma * random.Random(seed).gauss(0.0, 1.0))  # noqa: S311 - repeatable, not secret
