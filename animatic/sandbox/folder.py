"""The sandbox's folder, served by one sandbox at a time: an flock, which dies with its process, says so."""

import fcntl
import json
import os
from pathlib import Path

from animatic.errors import SettingsError

_NAME = "sandbox.lock"


class FolderServedError(SettingsError):
    """Another live sandbox serves the folder."""


class FolderLock:
    """Holds the folder until `release`, or until this process ends however it ends."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SettingsError(f"sandbox: cannot use the folder {folder}: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            url = _url_in(self._file)
            os.close(self._file)
            raise FolderServedError(
                f"sandbox: the folder {folder} is already served at {url}; use that one, or give another folder"
            ) from None
        os.ftruncate(self._file, 0)

    def announce(self, url: str) -> None:
        """Write down where the folder is served, for whoever finds it locked."""
        os.pwrite(self._file, json.dumps({"url": url, "pid": os.getpid()}).encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


def _url_in(file: int) -> str:
    try:
        return str(json.loads(os.pread(file, 4_096, 0))["url"])
    except (ValueError, KeyError, TypeError):
        return "a URL that it has not told yet"
