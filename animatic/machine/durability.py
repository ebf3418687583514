"""Every sync of files that a power cut must not take.

On macOS fsync leaves the data in the drive's cache, from which a power cut takes it; F_FULLFSYNC empties that too.
"""

import errno
import fcntl
import functools
import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

Sync = Callable[[int], object]

_UNSUPPORTED = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY, errno.ENOSYS})
"""Errors of file systems that know no F_FULLFSYNC: network shares, some USB drives."""


def _fcntl(command: int, descriptor: int) -> object:
    return fcntl.fcntl(descriptor, command)


_COMMAND: int | None = getattr(fcntl, "F_FULLFSYNC", None)  # None on Linux, whose fsync is enough
_full_sync: Sync | None = None if _COMMAND is None else functools.partial(_fcntl, _COMMAND)


def sync(descriptor: int, full_sync: Sync | None = _full_sync) -> None:
    """Sync a file or folder with all that belongs to it. Raises OSError.

    Args:
        descriptor: of the open file or folder.
        full_sync: what empties the drive's cache too; None where fsync does.
    """
    _sync(descriptor, full_sync, os.fsync)


def sync_data(descriptor: int, full_sync: Sync | None = _full_sync) -> None:
    """Sync what was written into a file that has its size already, which may be quicker. Raises OSError."""
    _sync(descriptor, full_sync, getattr(os, "fdatasync", os.fsync))  # macOS has only the latter


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacement(path: Path) -> Generator[BinaryIO]:
    """Open a file, for its owner alone, that takes the place of `path` once the block ends, synced with its name.

    After an error or a kill the old file is as it was. Raises OSError.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=".animatic-", suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            yield file
            file.flush()
            sync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    sync_folder(path.parent)


def _sync(descriptor: int, full_sync: Sync | None, usual_sync: Sync) -> None:
    """Sync, and raise the drive's error instead of hiding it behind a second sync that finds nothing left to write."""
    if full_sync is not None:
        try:
            full_sync(descriptor)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    usual_sync(descriptor)
