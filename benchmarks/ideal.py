"""Best that an account allows: the earliest starts and ends of takes. Pure."""

import heapq
from collections.abc import Iterable, Sequence

WINDOW_S = 60.0


def ideal_starts(latencies_s: Iterable[float], starts_per_minute: int, in_flight: int) -> list[float]:
    """Return when each take starts, in seconds after the first, if none ever waits without need.

    In order; no more than `starts_per_minute` in any 60 s, no more than `in_flight` at once, and a take that gets a
    place knows at once that it is free.
    """
    starts: list[float] = []
    ends: list[float] = []
    for number, latency_s in enumerate(latencies_s):
        start = starts[-1] if starts else 0.0
        if number >= starts_per_minute:
            start = max(start, starts[number - starts_per_minute] + WINDOW_S)
        if len(ends) >= in_flight:
            start = max(start, heapq.heappop(ends))
        starts.append(start)
        heapq.heappush(ends, start + latency_s)
    return starts


def ideal_makespan_s(latencies_s: Sequence[float], starts_per_minute: int, in_flight: int) -> float:
    """Seconds from the first start to the end of the last take."""
    starts = ideal_starts(latencies_s, starts_per_minute, in_flight)
    return max((start + latency_s for start, latency_s in zip(starts, latencies_s, strict=True)), default=0.0)


def most_in_window(moments: Sequence[float], window_s: float = WINDOW_S) -> int:
    """The most of these moments, in order, that any window holds; its far end is outside."""
    most = first = 0
    for number, moment in enumerate(moments):
        while moments[first] <= moment - window_s:
            first += 1
        most = max(most, number - first + 1)
    return most


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """The most spans (start, end) that overlap at any moment; one that ends as another starts does not overlap it."""
    most = now = 0
    for _, change in sorted(edge for start, end in spans for edge in ((start, 1), (end, -1))):
        now += change
        most = max(most, now)
    return most
