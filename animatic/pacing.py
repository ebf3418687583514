"""When to start the next take. Pure: the time is an argument, in seconds of any one clock.

Sources: WaveSpeed's account-levels page (two copies disagree, so every number is a setting) and its advice to look at
a video no sooner than every 5 s, growing; neither was tried live.
"""

from collections import deque
from dataclasses import dataclass, field

MINUTE_S = 60.0
LONGEST_PENALTY_S = 120.0
SHORTEST_PENALTY_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the account allows.

    Attributes:
        starts_per_minute: more than this within any 60 s gets 429.
        max_in_flight: more than this waits in WaveSpeed's own queue.
    """

    starts_per_minute: int
    max_in_flight: int


LEVELS: dict[str, Limits] = {
    "bronze": Limits(2, 2),
    "silver": Limits(60, 100),
    "gold": Limits(600, 2_000),
    "ultra": Limits(5_000, 5_000),
}
"""Account levels, with the lower figure where WaveSpeed's pages disagree."""


@dataclass(slots=True)
class StartPace:
    """Grants starts so that no 60 s ever hold more than the account allows.

    A start counts from its grant until a minute after its reply came, since only the reply proves that the server has
    counted it; so the server's own minute can't see one more, however long the network took.
    """

    starts_per_minute: int
    _pending: int = 0
    _replied_at: deque[float] = field(default_factory=deque[float])
    _not_before: float = 0.0
    _refusals: int = 0

    def wait_s(self, now: float) -> float:
        """How long to wait before asking again; 0.0 if a start may be made at once."""
        while self._replied_at and self._replied_at[0] <= now - MINUTE_S:
            self._replied_at.popleft()
        if now < self._not_before:
            return self._not_before - now
        if self._pending + len(self._replied_at) < self.starts_per_minute:
            return 0.0
        if self._replied_at:
            return max(self._replied_at[0] + MINUTE_S - now, 0.001)
        return 0.05  # all are on their way: the first reply decides

    def started(self) -> None:
        """Count a start that is about to be sent."""
        self._pending += 1

    def replied(self, now: float) -> None:
        """The start was counted by the server, or may have been."""
        self._pending -= 1
        self._refusals = 0
        self._replied_at.append(now)

    def unsent(self) -> None:
        """The start never reached the server."""
        self._pending -= 1

    def refused(self, now: float, retry_after_s: float | None) -> None:
        """429: nobody starts until the server's own time is up, or a wait that doubles from 5 s to 2 minutes."""
        self._pending -= 1
        doubled_s = SHORTEST_PENALTY_S * 2.0 ** min(self._refusals, 8)
        penalty_s = min(doubled_s if retry_after_s is None else retry_after_s, LONGEST_PENALTY_S)
        self._refusals += 1
        self._not_before = max(self._not_before, now + penalty_s)

    @property
    def refusals(self) -> int:
        """429s since the last start that was not refused."""
        return self._refusals
