"""What time it is for the API, from the `Date` of its answers and a clock of ours that never jumps."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

KNOWN_MARGIN_S = 10.0
"""How wrong it may be once an answer told it: `Date` has whole seconds, and an answer takes a while to get here."""

GUESSED_MARGIN_S = 3_600.0
"""How wrong our own clock may be, where no answer told us better."""


class ServerClock:
    """The API's clock. `clock` is any number of seconds that only grows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: tuple[datetime, float] | None = None
        self._began = (datetime.now(UTC), clock())

    def told(self, date: str) -> None:
        """Learn from a `Date` header; what is none teaches nothing."""
        try:
            moment = parsedate_to_datetime(date)
        except (ValueError, TypeError, OverflowError):
            return
        if moment.tzinfo is not None:
            self._told = (moment.astimezone(UTC), self._clock())

    @property
    def is_told(self) -> bool:
        """Whether an answer has told the time."""
        return self._told is not None

    @property
    def margin_s(self) -> float:
        """How far `now` may be from the truth, either way."""
        return KNOWN_MARGIN_S if self._told else GUESSED_MARGIN_S

    def now(self) -> datetime:
        """The API's time, in UTC; our own where it never told us."""
        moment, at = self._told or self._began
        return moment + timedelta(seconds=self._clock() - at)
