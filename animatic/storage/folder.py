"""A folder that files are put into, on disk or elsewhere: each is there whole, or not there.

No file that is there is replaced. What a killed process left half done has a hidden name on disk, and none elsewhere.
"""

import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from animatic.errors import LocationError
from animatic.machine.durability import sync, sync_folder
from animatic.machine.privacy import file_mode, make_folder
from animatic.storage import disk, remote
from animatic.storage.failures import location_errors
from animatic.storage.locations import Location, absolute_uri, anchor_in, locate
from animatic.storage.spool import nameless_file
from animatic.web.network import DIRECT

_PREFIX, _END = ".animatic-", ".tmp"
_MARK = ".animatic-folder"
_LEFT_BEHIND_AFTER_S = 3_600.0
_RESERVE_BYTES = 256 << 20
"""Left free, or a fiftieth of a small disk: a disk that is full of clips could not hold a ledger's next commit."""

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})
"""Errors of file systems without hard links, such as exFAT, or between two file systems."""


class Folder:
    """A folder of files. All methods block.

    Args:
        uri: of the folder; made with the first file.

    Raises:
        LocationError: it is no place to write to.
    """

    def __init__(self, uri: str) -> None:
        self._location = locate(anchor_in(uri))
        if self._location.is_web:
            raise LocationError(
                f"{locate(uri).shown}: cannot write to a web page; allowed: a path, or a URI such as s3://"
            )
        self.uri = absolute_uri(uri).rstrip("/")
        if not self._location.is_local:
            with location_errors(self._location, "write to"):
                remote.require_installed(self._location)

    @property
    def is_local(self) -> bool:
        """Tell if it is on this machine's disk."""
        return self._location.is_local

    @property
    def path(self) -> Path:
        """Its path on this machine's disk."""
        return Path(self._location.folder)

    @property
    def place(self) -> str:
        """Return its path where it is on this machine's disk, as a shell takes it; else its URI."""
        return str(self.path) if self.is_local else self.uri

    def sizes(self) -> dict[str, int]:
        """Return the sizes in bytes of the files in it, by name; none where there is no folder. Raises OSError."""
        if not self.is_local:
            return remote.sizes_in(self._location)
        try:
            with os.scandir(self.path) as entries:
                return {entry.name: entry.stat().st_size for entry in entries if entry.is_file(follow_symlinks=False)}
        except FileNotFoundError:
            return {}

    def size_of(self, name: str) -> int:
        """Return the size in bytes of one of its files. Raises OSError, or what the file system raises."""
        return (self.path / name).lstat().st_size if self.is_local else remote.size_of(self.location_of(name))

    def mark(self) -> str:
        """Return the mark by which another machine knows this folder, made if it has none; empty in a store.

        Its path may be that of another folder there. Raises OSError.
        """
        if not self.is_local:
            return ""
        make_folder(self.path)
        with suppress(FileExistsError), self.incoming() as incoming:
            incoming.file.write(secrets.token_hex(16).encode())
            incoming.put(_MARK)
        return self.find_mark()

    def find_mark(self) -> str:
        """Return the mark of this folder; empty where it has none. Raises OSError."""
        if not self.is_local:
            return ""
        try:
            return (self.path / _MARK).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""

    def room_bytes(self) -> int | None:
        """Return the room on its disk, without a reserve for the ledger and the results; None where it is not known.

        Raises OSError.
        """
        if not self.is_local:
            return None
        nearest = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
        disk_usage = shutil.disk_usage(nearest)
        return disk_usage.free - min(_RESERVE_BYTES, disk_usage.total // 50)

    def sweep(self) -> None:
        """Remove what killed processes left half done long ago."""
        if not self.is_local or not self.path.is_dir():
            return
        for path in self.path.glob(f"{_PREFIX}*{_END}"):
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime > _LEFT_BEHIND_AFTER_S:
                    path.unlink()

    @contextmanager
    def incoming(self) -> Generator["Incoming"]:
        """Open an empty file that can be put into the folder; it is gone at the end otherwise. Raises OSError."""
        if not self.is_local:
            with nameless_file() as file:
                yield Incoming(self, file, None)
            return
        make_folder(self.path)
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_END, dir=self.path)
        try:
            with open(descriptor, "w+b") as file:  # noqa: PTH123 - a descriptor, not a path
                os.fchmod(descriptor, file_mode())
                yield Incoming(self, cast("BinaryIO", file), Path(name))
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()

    def failure(self, error: Exception, deed: str) -> str:
        """Return an error of a file in it for people: the place, what went wrong, and what to do about a store's."""
        try:
            with location_errors(self._location, deed):
                raise error
        except LocationError as shown:
            return str(shown)

    def sync(self) -> None:
        """Let the names of the files that were put so far outlast a power cut. Raises OSError."""
        if self.is_local:
            sync_folder(self.path)

    def holds(self, name: str, sha256: str, size_bytes: int) -> bool:
        """Tell if one of its files is just this one. What is no file, has another size or cannot be read is not."""
        try:
            if self.is_local:
                found = (self.path / name).lstat()
                if not stat.S_ISREG(found.st_mode) or found.st_size != size_bytes:
                    return False
            return self.sha256_of(name) == sha256
        except Exception:  # noqa: BLE001 - file systems raise whatever their clients raise
            return False

    def sha256_of(self, name: str) -> str:
        """Return the SHA-256 of one of its files, in hex. Raises OSError, or what the file system raises."""
        return disk.hash_of(_chunks(self.location_of(name)))

    def location_of(self, name: str) -> Location:
        """Return the location of one of its files."""
        return locate(f"{self._location.folder}/{name}")


class Incoming:
    """A file on its way into a folder.

    Attributes:
        file: open for reading and writing.
        path: on disk; elsewhere that of the open file.
    """

    def __init__(self, folder: Folder, file: BinaryIO, path: Path | None) -> None:
        self._folder, self.file, self._path = folder, file, path

    @property
    def path(self) -> Path:
        """Path that other code can open it by, while it is open."""
        return self._path or Path(f"/dev/fd/{self.file.fileno()}")

    def fill_from(self, uri: str) -> None:
        """Copy a file from anywhere into this one; on one disk as a link to it. Raises OSError."""
        origin = locate(uri)
        if self._path is not None and origin.is_local:
            with suppress(OSError):
                link = self._path.with_name(f"{self._path.name}-link")
                os.link(origin.path, link, follow_symlinks=False)
                link.replace(self._path)
                return
        for chunk in _chunks(origin):
            self.file.write(chunk)

    def sha256(self) -> str:
        """Return the SHA-256 of what is in it so far, in hex. Raises OSError."""
        self.file.flush()
        return disk.hash_of(disk.chunks(str(self.path)))

    def put(self, name: str) -> None:
        """Put it into the folder under a name, which no file may have yet. `Folder.sync` lets the name last.

        Raises:
            FileExistsError: there is such a file.
            OSError: it cannot be put there.
        """
        self.file.flush()
        if self._path is None:
            location = self._folder.location_of(name)
            if remote.kind_of(location) is not None:
                raise FileExistsError(errno.EEXIST, "there is such a file", name)
            remote.replace(location, self.file)
            return
        sync(self.file.fileno())
        target = self._path.with_name(name)
        try:
            os.link(self._path, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if target.exists():
                raise FileExistsError(errno.EEXIST, "there is such a file", name) from None
            self._path.rename(target)


def _chunks(location: Location) -> Generator[bytes]:
    return disk.chunks(location.path) if location.is_local else remote.chunks(location, DIRECT)
