"""Permissions: our own files are for their owner alone; those that a user asked for follow the user's umask.

The user's umask is noted in the environment before it is replaced, so that runs in child processes know it too.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

OWNER_ONLY = 0o077
"""The umask of all our processes: logs, ledger and receipts hold prompts and ids, and are private."""

_NOTED = "_ANIMATIC_USERS_UMASK"


def keep_private() -> None:
    """Make every file of this process private that is not meant for the user. Call it once, before any thread."""
    before = os.umask(OWNER_ONLY)
    os.environ.setdefault(_NOTED, f"{before:03o}")


def users_umask() -> int:
    """Return the umask that the user started us with."""
    try:
        return int(os.environ[_NOTED], 8) & 0o777
    except (KeyError, ValueError):  # it was not replaced: a worker, or a program that imports us
        umask = os.umask(OWNER_ONLY)
        os.umask(umask)
        return umask


def make_folder(path: Path) -> None:
    """Make a folder for the user, with its parents, by the user's umask. Raises OSError."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        each.chmod(0o777 & ~users_umask())


def file_mode() -> int:
    """Return the mode of a new file for the user."""
    return 0o666 & ~users_umask()


def open_to_user(path: Path) -> None:
    """Give a file that a process of ours made for its owner alone the mode of a new file for the user."""
    with suppress(OSError):
        if stat.S_IMODE(path.stat().st_mode) == 0o666 & ~OWNER_ONLY:
            path.chmod(file_mode())
