"""Starts that WaveSpeed accepts: how many lately, and how many it allows where it refuses more. Pure."""

from collections import deque

from animatic.pace.limits import MINUTE_S

FORGETS_AFTER_S = 300.0
"""So long after the last refusal the account's limits count again."""

SAME_REFUSAL_S = 5.0
"""Refusals so close to each other are one: of takes that were sent together."""

MOST_REFUSALS = 6
LEAST_SPAN_S = 30.0


class SeenPace:
    """Starts and refusals (429) of one run; moments in seconds of any one clock."""

    def __init__(self) -> None:
        self._starts: deque[float] = deque()
        self._count = 0
        self._refusals: deque[tuple[float, int]] = deque(maxlen=MOST_REFUSALS)
        self._refused_at = 0.0
        self._in_a_minute = 0

    def started(self, now: float) -> None:
        """Record a start that was accepted."""
        self._count += 1
        self._starts.append(now)
        while self._starts[0] <= now - MINUTE_S:
            self._starts.popleft()

    def refused(self, now: float) -> None:
        """Record a start that was refused. As many as were accepted in the minute before it are allowed in a minute."""
        self._refused_at = now
        last_at, last_count = self._refusals[-1] if self._refusals else (-SAME_REFUSAL_S, -1)
        if now - last_at < SAME_REFUSAL_S:
            self._refusals[-1] = (last_at, self._count)
        elif self._count == last_count:
            return  # nothing was accepted since: this is only the wait that was too short
        else:
            self._refusals.append((now, self._count))
        self._in_a_minute = max(len(self.ago_s(now)), 1)

    def ago_s(self, now: float) -> list[float]:
        """Return the seconds since each start of the last minute, oldest first."""
        return [now - each for each in list(self._starts) if each > now - MINUTE_S]

    def allowed_per_minute(self, now: float) -> float | None:
        """Return how many starts a minute WaveSpeed allows, seen by what it refuses; None while it refuses none."""
        if not self._refusals or now - self._refused_at > FORGETS_AFTER_S:
            return None
        (first_at, first), (last_at, last) = self._refusals[0], self._refusals[-1]
        if last_at - first_at < LEAST_SPAN_S:
            return float(self._in_a_minute)
        return MINUTE_S * (last - first) / (last_at - first_at)
