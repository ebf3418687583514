"""Time since this machine was started."""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def uptime_s() -> float:
    """Return seconds that only grow, while a process stands still and while the machine sleeps too."""
    return time.clock_gettime(_CLOCK)
