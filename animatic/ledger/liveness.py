"""Liveness of a run: a lock on a file that the kernel frees when the process ends, however it ends.

Never a timestamp: a stopped (SIGSTOP) run is alive, a killed one is not, and no clock has a say in it. Beside its lock
a run keeps its receipts; both are in the folder `<ledger>.runs`, and stay behind when the run is killed.
"""

import fcntl
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from animatic.errors import LedgerUnusableError
from animatic.ledger.receipts import Receipts

_LOCK, _RECEIPTS = ".lock", ".receipts"
SWEPT_AFTER_S = 86_400.0


def runs_folder(ledger: Path) -> Path:
    """Return the folder in which the runs on a ledger keep their locks and receipts."""
    return ledger.with_name(ledger.name + ".runs")


@contextmanager
def alive(ledger: Path, run_id: str) -> Generator[Receipts]:
    """Hold the run's lock, and its receipts open, for the length of the block.

    Raises:
        LedgerUnusableError: there is no room for the receipts.
    """
    lock = runs_folder(ledger) / f"{run_id}{_LOCK}"
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerUnusableError(
            f"ledger {ledger}: the folder {lock.parent} beside it cannot be written to ({error.strerror}). Nothing was "
            "bought. Give ANIMATIC_LEDGER a path that can be written."
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        receipts = _open_receipts(lock.with_suffix(_RECEIPTS))
        try:
            yield receipts
        finally:
            receipts.close()
            if not receipts.is_owed:
                lock.unlink(missing_ok=True)
    finally:
        os.close(handle)


def is_alive(ledger: Path, run_id: str) -> bool:
    """Tell if a process holds the run's lock now."""
    try:
        handle = os.open(runs_folder(ledger) / f"{run_id}{_LOCK}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look at once must not see each other
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def any_alive(ledger: Path) -> bool:
    """Tell if a process on this machine holds the lock of any run now."""
    return any(is_alive(ledger, path.stem) for path in runs_folder(ledger).glob(f"*{_LOCK}"))


def receipts_left_behind(ledger: Path, is_elsewhere: Callable[[str], bool] = lambda _: False) -> dict[str, Path]:
    """Return the receipts of dead runs, by run id; `is_elsewhere` tells if another machine carries a run out."""
    found = {path.stem: path for path in sorted(runs_folder(ledger).glob(f"*{_RECEIPTS}"))}
    return {run_id: path for run_id, path in found.items() if not is_alive(ledger, run_id) and not is_elsewhere(run_id)}


def remove_run(ledger: Path, run_id: str) -> None:
    """Remove what a dead run left behind, once all of it is in the ledger."""
    for suffix in (_RECEIPTS, _LOCK):
        (runs_folder(ledger) / f"{run_id}{suffix}").unlink(missing_ok=True)


def sweep(ledger: Path) -> None:
    """Remove the leavings of killed runs from the folder: locks without receipts, and half-written files.

    A lock says nothing once its run is dead: what the run was submitting is in the ledger. Receipts stay until all of
    them is in the ledger too. Only what is older than a day goes, so that a run which just begins loses nothing.
    """
    for path in (*runs_folder(ledger).glob(f"*{_LOCK}"), *runs_folder(ledger).glob("*.tmp")):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime < SWEPT_AFTER_S or path.with_suffix(_RECEIPTS).exists():
                continue
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def _open_receipts(path: Path) -> Receipts:
    try:
        return Receipts(path)
    except OSError as error:
        raise LedgerUnusableError(
            f"receipts {path}: cannot be made ({error.strerror}). Nothing was bought. "
            "Replies are kept there when the ledger cannot take them; make room on that disk."
        ) from None
