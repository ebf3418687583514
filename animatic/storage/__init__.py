"""Bytes in and out, wherever they are: the only user of fsspec.

Locations come from operators and are judged by `locations`; paths of stills come from cells, and are judged again by
the manifest's own rule before anything is opened. Everything that goes wrong is a LocationError that says what was
found, what is allowed and what to do; no error of a file system or of its client gets out.

What reads takes a `network`: by which proxy, and trusting whom, a page on the web is reached.
"""

import hashlib
import re
import shutil
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from animatic.errors import LocationError
from animatic.manifest.faults import escaped, quoted
from animatic.manifest.images import ALLOWED, MAX_STILL_BYTES, relative_path
from animatic.network import DIRECT, Network
from animatic.spool import nameless_file, no_room
from animatic.storage import disk, remote
from animatic.storage.locations import Location, absolute_uri, folder_of, locate, name_of, stem_of

__all__ = [
    "absolute_uri",
    "exists",
    "folder_of",
    "name_of",
    "open_copy",
    "read_bytes",
    "read_still",
    "replace_bytes",
    "replace_from",
    "replace_with",
    "require_writable",
    "sha256_of",
    "stem_of",
]


def read_bytes(uri: str, *, max_bytes: int, network: Network = DIRECT) -> bytes:
    """The whole file. Raises LocationError if it is not there, not readable, or larger than `max_bytes`."""
    location = locate(uri)
    with _told(location, "read"):
        if location.is_local:
            data = disk.read_file(location.path, max_bytes)
        else:
            data = remote.read(location, max_bytes, network)
    return _within(data, max_bytes, location.shown)


@contextmanager
def open_copy(uri: str, *, max_bytes: int, network: Network = DIRECT) -> Generator[BinaryIO]:
    """The file as it was at one time, in a nameless file of our own; no more than a MiB of it is ever in memory.

    Raises LocationError as `read_bytes` does, and where there is no room for the copy.
    """
    with nameless_file() as copy:
        for chunk in _chunks(uri, max_bytes, network):
            try:
                copy.write(chunk)
            except OSError as error:
                raise no_room(error) from None
        copy.seek(0)
        yield copy


def sha256_of(uri: str, *, max_bytes: int, network: Network = DIRECT) -> str:
    """What identifies the bytes of a file, in hex. Raises LocationError as `read_bytes` does."""
    digest = hashlib.sha256()
    for chunk in _chunks(uri, max_bytes, network):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(uri: str, max_bytes: int, network: Network) -> Generator[bytes]:
    location = locate(uri)
    chunks = disk.chunks(location.path) if location.is_local else remote.chunks(location, network)
    left = max_bytes
    while True:
        with _told(location, "read"):
            chunk = next(chunks, b"")
        left -= len(chunk)
        if left < 0:
            raise LocationError(f"{location.shown}: found more than {max_bytes:,} bytes; allowed: up to {max_bytes:,}")
        if not chunk:
            return
        yield chunk


def read_still(manifest_uri: str, path: str, *, max_bytes: int = MAX_STILL_BYTES, network: Network = DIRECT) -> bytes:
    """The bytes of the still that a manifest names by the relative `path`, from the manifest's own folder.

    Raises LocationError as `read_bytes` does, and for a path or a link that leads anywhere else.
    """
    checked = relative_path(path)
    if checked is None:
        raise LocationError(f"found {quoted(path)} as a still; allowed: {ALLOWED}")
    manifest = locate(manifest_uri)
    still = locate(remote.below(manifest.folder, checked, is_web=manifest.is_web))
    with _told(still, "read"):
        if manifest.is_local:
            data = disk.read_below(manifest.folder, checked, max_bytes)
        else:
            data = remote.read(still, max_bytes, network)
    return _within(data, max_bytes, still.shown)


def replace_bytes(uri: str, data: bytes) -> None:
    """Put `data` there, in place of what is there now: readers see the old file or the new one, never half of one.

    Folders are made as needed. Raises LocationError; then the old file is as it was.
    """
    location = _writable(uri)
    with _told(location, "write"):
        if location.is_local:
            disk.replace_file(location.path, lambda file: file.write(data))
        else:
            remote.replace(location, data)


def replace_from(uri: str, local_path: str) -> None:
    """The same with the contents of a local file, which for a place that is not local is held in memory once."""
    _writable(uri)
    with ExitStack() as stack:
        with _told(locate(local_path), "read"):
            original = stack.enter_context(Path(local_path).open("rb"))
        replace_with(uri, original)


def replace_with(uri: str, original: BinaryIO) -> None:
    """The same with the contents of an open file, from its start."""
    location = _writable(uri)
    with _told(location, "write"):
        original.seek(0)
        if location.is_local:
            disk.replace_file(location.path, lambda file: shutil.copyfileobj(original, file, 1 << 20))
        else:
            remote.replace(location, original.read())


def exists(uri: str) -> bool:
    """Whether there is a file. Raises LocationError if that cannot be told."""
    location = locate(uri)
    with _told(location, "look at"):
        return Path(location.path).is_file() if location.is_local else remote.exists(location)


def require_writable(uri: str) -> None:
    """Raise LocationError if `uri` can be seen to be no place to write to. To be asked before money is spent."""
    location = _writable(uri)
    with _told(location, "write"):
        if location.is_local:
            disk.require_writable(location.path)
        else:
            remote.require_installed(location)


def _writable(uri: str) -> Location:
    location = locate(uri)
    if location.is_web:
        raise LocationError(f"{location.shown}: cannot write to a web page; allowed: a path, or a URI such as s3://")
    if not location.name:
        raise LocationError(f"{location.shown}: found a folder; allowed: the name of a file in it")
    return location


def _within(data: bytes, max_bytes: int, shown: str) -> bytes:
    if len(data) > max_bytes:
        raise LocationError(f"{shown}: found more than {max_bytes:,} bytes; allowed: up to {max_bytes:,}")
    return data


@contextmanager
def _told(location: Location, deed: str) -> Generator[None]:
    """Turns whatever goes wrong into a LocationError. `from None`: a client's error may hold its request."""
    try:
        yield
    except LocationError:
        raise
    except ImportError:
        package = location.package
        raise LocationError(
            f"{location.shown}: cannot {deed} {location.scheme}:// here, the package {package} is missing; "
            f"install it next to animatic: pip install {package}"
        ) from None
    except FileNotFoundError:
        problem = (
            "there is no such file, or its server cannot be reached" if location.is_web else "there is no such file"
        )
        raise LocationError(f"{location.shown}: {problem}; check the path") from None
    except Exception as error:  # noqa: BLE001 - file systems raise whatever their clients raise
        raise LocationError(f"{location.shown}: cannot {deed} it: {_reason(error, location)}") from None


def _reason(error: Exception, location: Location) -> str:
    """One line of the error, without the location, whose query or user may be a credential."""
    text = getattr(error, "strerror", None) or str(error).replace(location.path, location.shown)
    line = re.sub(r"\?\S*", "", text.strip().partition("\n")[0])
    return escaped(f"{type(error).__name__}: {line}" if line else type(error).__name__, 300)
