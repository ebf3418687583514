"""Outages of a ledger's server: how long an operation waits for one that is away, and who is told."""

import threading
import time
from collections.abc import Callable

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
TOLD_AFTER_S = 5.0
CLOSES_WITHIN_S = 60.0
"""Once a ledger is closed, its last operations wait for the server so long at most."""

Warn = Callable[[str], None]


def no_warning(_sentence: str) -> None:
    """Drop a sentence."""


class Patience:
    """Time that all operations of an open ledger wait for its server, which closing the ledger cuts short.

    Args:
        longest_s: so long an operation waits.
        warn: gets a sentence when the server has been away for some seconds, and one when it answers again.
    """

    def __init__(self, longest_s: float, warn: Warn = no_warning) -> None:
        self.longest_s, self.warn = longest_s, warn
        self.closing = threading.Event()
        self._closed_at_s: float | None = None

    def close(self, now_s: float) -> None:
        """Wait for `CLOSES_WITHIN_S` at most from now on; closing it again changes nothing."""
        if self._closed_at_s is None:
            self._closed_at_s = now_s
        self.closing.set()

    def ends_s(self, began_s: float) -> float:
        """Return when an operation gives up that has waited since `began_s`."""
        longest = began_s + self.longest_s
        return longest if self._closed_at_s is None else min(longest, self._closed_at_s + CLOSES_WITHIN_S)


class Outage:
    """One time in which the server is away, as one operation meets it."""

    def __init__(self, patience: Patience) -> None:
        self._patience, self._began_s = patience, time.monotonic()
        self._pause_s, self._is_told = FIRST_PAUSE_S, False

    @property
    def seconds(self) -> float:
        """Seconds since the operation began."""
        return time.monotonic() - self._began_s

    def waits(self, said: str) -> bool:
        """Pause before another attempt; false, at once, where the operation has waited long enough."""
        if time.monotonic() >= self._patience.ends_s(self._began_s):
            return False
        if self.seconds >= TOLD_AFTER_S and not self._is_told:
            self._is_told = True
            longest = f"{self._patience.longest_s:.0f} s"
            self._patience.warn(f"{said}. It is asked again for {longest}, and nothing is bought until it answers")
        if not self._patience.closing.wait(self._pause_s):
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        else:
            time.sleep(FIRST_PAUSE_S)
        return True

    def ended(self, name: str) -> None:
        """Say that the server answers again, where it was said that it does not."""
        if self._is_told:
            self._patience.warn(f"ledger {name}: the server answers again, after {self.seconds:.0f} s")
