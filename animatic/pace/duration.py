"""How long takes last at the account's limits. Pure: seconds of any one clock."""

import math

from animatic.pace.limits import MINUTE_S, Limits

USUAL_LATENCY_S = 75.0
"""Latency of a take where none was seen yet: WaveSpeed's page says a minute or more."""


def duration_s(to_start: int, in_flight: int, limits: Limits, latency_s: float, waited_s: float = 0.0) -> float:
    """Return the seconds until the last of the takes is done, if each starts as early as the account allows.

    Starts come in bursts, since the account counts those of the last 60 s: so many at once, and as many each minute
    later. Slots turn over once per latency.

    Args:
        to_start: takes that are not submitted yet.
        in_flight: takes that are submitted and not final.
        limits: of the account.
        latency_s: mean latency of a take.
        waited_s: seconds since the last burst of starts.
    """
    if not to_start:
        return latency_s / 2 if in_flight else 0.0
    bursts = (to_start - 1) // limits.starts_per_minute
    by_pace = bursts * MINUTE_S + max(MINUTE_S - waited_s, 0.0) * bool(in_flight)
    rounds = math.ceil((to_start + in_flight) / limits.max_in_flight) - 1
    return max(by_pace, rounds * latency_s) + latency_s


def in_words(seconds: float) -> str:
    """Return a duration as people say it: `40 s`, `12 min`, `1.7 h`, `3.2 days`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
