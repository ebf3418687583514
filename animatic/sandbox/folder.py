"""The sandbox's folder: who serves it, who uses it, and on which port.

One sandbox serves it at a time, and any number of runs may use that one: two flocks say so, which the kernel frees when
their process ends, however it ends.
"""

import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from animatic.errors import SettingsError

_NAME = "sandbox.lock"
_USERS = "sandbox.users"
_PORTS = "sandbox.ports"

USUAL_PORT = 8787
"""The port of a folder that was never served."""

_MOST_PORTS = 8
_TELLS_WITHIN_S = 30.0


class FolderServedError(SettingsError):
    """Another live sandbox serves the folder."""


class OtherModelsError(SettingsError):
    """A live sandbox serves the folder, with other models than those that are wanted."""


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

    def announce(self, url: str, models: str = "") -> None:
        """Write down where the folder is served and with which models, for processes that find it locked."""
        os.pwrite(self._file, json.dumps({"url": url, "pid": os.getpid(), "models": models}).encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


@contextmanager
def using(folder: Path) -> Generator[None]:
    """Keep the folder's sandbox alive for the length of the block; waits for one that is just ending."""
    file = os.open(folder / _USERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
    finally:
        os.close(file)


def wait_until_unused(folder: Path) -> None:
    """Return once no run uses the folder's sandbox; a run that comes after that waits until this process has ended."""
    file = os.open(folder / _USERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)  # held until the end of the process


def digest_of_models(models: Path | None) -> str:
    """Return a digest of the files in a folder of models; empty for none."""
    if models is None:
        return ""
    found = hashlib.sha256()
    for path in sorted(models.glob("*.json")):
        with suppress(OSError):
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def served_at(folder: Path, models: Path | None = None) -> str:
    """Return the URL of the sandbox that serves the folder; with `models` it must be one that sells those.

    Raises:
        SettingsError: none has written its URL, or it was started with other models.
    """
    until = time.monotonic() + _TELLS_WITHIN_S
    while time.monotonic() < until:
        with suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads((folder / _NAME).read_text())
            url, pid, sold = str(said["url"]), said["pid"], said.get("models", "")
            if models is not None and sold != digest_of_models(models):
                raise OtherModelsError(
                    f"--models: found {models}, but the sandbox that serves {folder} at {url} was started "
                    f"{'with other models' if sold else 'without them'}; wait until the runs that use it have ended, "
                    f"or end it (process {pid}); or give this run a folder of its own (ANIMATIC_HOME)"
                )
            return url
        time.sleep(0.05)
    raise SettingsError(f"sandbox: the folder {folder} is served, but not said where; end that process and try again")


def ports_of(folder: Path) -> list[int]:
    """Return the ports that the folder was served on, first to last: all of them make URLs of earlier outputs good."""
    with suppress(OSError, ValueError):
        ports = [int(line) for line in (folder / _PORTS).read_text(encoding="ascii").split()[:_MOST_PORTS]]
        return [port for port in ports if 0 < port <= 65_535] or [USUAL_PORT]
    return [USUAL_PORT]


def note_port(folder: Path, port: int) -> None:
    """Remember a port for the next times; the oldest is forgotten where there are many."""
    known = ports_of(folder) if (folder / _PORTS).exists() else []
    if port not in known:
        with suppress(OSError):
            lines = [str(each) for each in [*known, port][-_MOST_PORTS:]]
            (folder / _PORTS).write_text("\n".join(lines), encoding="ascii")


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Put a file at its path whole or not at all; a kill leaves a `.part` beside it. Raises OSError."""
    unfinished = path.with_name(f"{secrets.token_hex(8)}.part")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123
            file.write(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _url_in(file: int) -> str:
    try:
        return str(json.loads(os.pread(file, 4_096, 0))["url"])
    except (ValueError, KeyError, TypeError):
        return "a URL that it has not given out yet"
