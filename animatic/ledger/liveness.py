"""Whether a run is alive: a lock on a file that the kernel frees when the process ends, however it ends.

Never a timestamp: a stopped (SIGSTOP) run is alive, a killed one is not, and no clock has a say in it.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def _lock_path(ledger: Path, run_id: str) -> Path:
    return ledger.with_name(ledger.name + ".runs") / f"{run_id}.lock"


@contextmanager
def alive(ledger: Path, run_id: str) -> Generator[None]:
    """Hold the run's lock for the length of the block."""
    path = _lock_path(ledger, run_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
        path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def is_alive(ledger: Path, run_id: str) -> bool:
    """Whether some process holds the run's lock now."""
    try:
        handle = os.open(_lock_path(ledger, run_id), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)
