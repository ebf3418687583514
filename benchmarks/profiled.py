"""`python -m benchmarks.profiled STATS ARGUMENT…`: the `animatic` command, its CPU by function, all threads.

Time is that of the thread's own CPU, so that waiting costs nothing; what the profiler costs is in it.
"""

import cProfile
import os
import pstats
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any


def main() -> None:
    """Run the command; the stats are written however it ends."""
    stats, sys.argv = sys.argv[1], ["animatic", *sys.argv[2:]]
    profiles = [cProfile.Profile(time.thread_time)]
    run = threading.Thread.run

    def profiled(self: threading.Thread) -> Any:
        profile = cProfile.Profile(time.thread_time)
        profiles.append(profile)
        try:
            return profile.runcall(run, self)
        except ValueError:  # another profiler is at work
            return run(self)

    threading.Thread.run = profiled
    os._exit = sys.exit  # the command ends its process by it, before any `finally`
    from flows.command.cli import main as animatic  # noqa: PLC0415 - its imports are profiled too

    try:
        profiles[0].runcall(animatic)
    finally:
        merged = pstats.Stats()
        for profile in profiles:
            profile.snapshot_stats()  # to end it would book our own time on what a thread that lives on waits for
            merged.add(SimpleNamespace(stats=profile.stats, create_stats=lambda: None))
        merged.dump_stats(stats)


if __name__ == "__main__":
    main()
