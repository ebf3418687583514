"""Time of the API, from the `Date` of its answers and a clock of ours that never jumps and never stops."""

import functools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

KNOWN_MARGIN_S = 60.0
"""Largest error after an answer: `Date` has whole seconds, an answer takes a while to get here, and the
gateway that dates answers need not agree to the second with the database that dates predictions."""

QUICK_S = 5.0
"""An answer that took longer than this says too little about when its `Date` was true."""

GUESSED_MARGIN_S = 3_600.0
"""Largest error of our own clock, before any answer."""


PLAUSIBLE_YEARS = range(2020, 2200)
"""Others are not believed: arithmetic near the end of time fails."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux's monotonic clock stops while a laptop sleeps


def unstopped_s() -> float:
    """Return seconds that only grow, also while a process stands still and while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


class ServerClock:
    """The API's clock.

    Args:
        clock: seconds that only grow, whatever happens to this process.
        own: what this machine thinks the time is; read once, and believed until an answer gives the API's.
    """

    def __init__(
        self, clock: Callable[[], float] = unstopped_s, own: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._told: tuple[datetime, float] | None = None
        self._began = (own(), clock())

    def observe(self, date: str, took_s: float = 0.0) -> None:
        """Learn the time from an answer's `Date`; ignored if it is not a date, or if the answer took too long."""
        if took_s > QUICK_S:
            return
        moment = _moment_of(date)
        if moment is not None:
            self._told = (moment, self._clock())

    @property
    def is_told(self) -> bool:
        """True once an answer has given the time."""
        return self._told is not None

    @property
    def margin_s(self) -> float:
        """Largest possible error of `now`, either way."""
        return KNOWN_MARGIN_S if self._told else GUESSED_MARGIN_S

    def seconds(self) -> float:
        """Of the clock that never jumps, for telling how long something took."""
        return self._clock()

    def now(self) -> datetime:
        """Return the API's time, in UTC; our own before any answer."""
        moment, at = self._told or self._began
        return moment + timedelta(seconds=self._clock() - at)

    def earliest(self) -> datetime:
        """Return the earliest that the API's time can be."""
        return self.now() - timedelta(seconds=self.margin_s)

    def latest(self) -> datetime:
        """Return the latest that the API's time can be."""
        return self.now() + timedelta(seconds=self.margin_s)


@functools.lru_cache(maxsize=4)
def _moment_of(date: str) -> datetime | None:
    """Parse a `Date`, in UTC; None where that cannot be. Thousands of answers come within the same second."""
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo is not None and moment.year in PLAUSIBLE_YEARS else None
