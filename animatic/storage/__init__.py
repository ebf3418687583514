"""Bytes in and out, wherever they are: the only user of fsspec.

Locations come from operators and are judged by `locations`; paths of stills come from cells, and are judged again by
the manifest's own rule before anything is opened. Everything that goes wrong is a LocationError that says what was
found, what is allowed and what to do; no error of a file system or of its client gets out.

What reads takes a `network`: by which proxy, and trusting whom, a page on the web is reached.
"""

import hashlib
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from animatic.errors import LocationError, NoSuchFileError
from animatic.manifest.images import ALLOWED, MAX_STILL_BYTES, relative_path
from animatic.storage import disk, names, remote
from animatic.storage.locations import Location, absolute_uri, beside, locate, name_of, stem_of
from animatic.storage.spool import nameless_file, no_room
from animatic.storage.unpacked import unpacked
from animatic.text import escaped, quoted
from animatic.web.network import DIRECT, Network

__all__ = [
    "absolute_uri",
    "beside",
    "copy_of",
    "exists",
    "find_near_still",
    "is_same_file",
    "kind_of",
    "name_of",
    "open_copy",
    "open_existing",
    "open_still",
    "read_bytes",
    "real_path",
    "replace_bytes",
    "replace_with",
    "require_writable",
    "sha256_of",
    "stem_of",
    "still_chunks",
    "unpacked",
]

_CHUNK_BYTES = 1 << 20


def read_bytes(uri: str, *, max_bytes: int, network: Network = DIRECT) -> bytes:
    """Return the whole file. Raises LocationError as `open_copy` does."""
    with open_copy(uri, max_bytes=max_bytes, network=network) as copy:
        return copy.read()


@contextmanager
def open_copy(uri: str, *, max_bytes: int, network: Network = DIRECT) -> Generator[BinaryIO]:
    """Copy the file as it is now into a nameless file of our own; no more than a MiB of it is ever in memory.

    Raises LocationError if it is not there, not readable, or larger than `max_bytes`, and where there is no room for
    the copy.
    """
    with copy_of(_chunks(uri, max_bytes, network)) as copy:
        yield copy


@contextmanager
def open_existing(uri: str, *, max_bytes: int) -> Generator[BinaryIO | None]:
    """Copy the file like `open_copy`; None if there is no file, or an empty one.

    Raises LocationError as `open_copy` does, and where there is anything but a file.
    """
    kind = kind_of(uri)
    if kind is None:
        yield None
        return
    if kind != "a file":
        raise LocationError(f"{locate(uri).shown}: found {kind}; allowed: a file, or a name that nothing has yet")
    with open_copy(uri, max_bytes=max_bytes) as copy:
        is_empty = not copy.read(1)
        copy.seek(0)
        yield None if is_empty else copy


def sha256_of(uri: str, *, max_bytes: int, network: Network = DIRECT) -> str:
    """Return the SHA-256 of a file, in hex. Raises LocationError as `open_copy` does."""
    digest = hashlib.sha256()
    for chunk in _chunks(uri, max_bytes, network):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(uri: str, max_bytes: int, network: Network) -> Generator[bytes]:
    location = locate(uri)
    chunks = disk.chunks(location.path) if location.is_local else remote.chunks(location, network)
    yield from _bounded(location, chunks, max_bytes)


def _bounded(location: Location, chunks: Iterator[bytes], max_bytes: int) -> Generator[bytes]:
    """Yield at most `max_bytes`; errors on the way name the location."""
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


def still_chunks(
    manifest_uri: str, path: str, *, max_bytes: int = MAX_STILL_BYTES, network: Network = DIRECT
) -> Generator[bytes]:
    """Yield the still that a manifest names by the relative `path`, from the manifest's folder, a few MiB at a time.

    A file whose name is the same text in another Unicode form is found too: macOS writes accents apart.
    Raises LocationError as `open_copy` does, and for a path or a link that leads anywhere else.
    """
    manifest, still, checked = _still_of(manifest_uri, path)
    if not manifest.is_local:
        yield from _bounded(still, remote.chunks(still, network), max_bytes)
        return
    with _told(still, "read"):
        file = disk.open_below(manifest.folder, checked)
    with file:
        yield from _bounded(still, iter(lambda: file.read(_CHUNK_BYTES), b""), max_bytes)


@contextmanager
def open_still(
    manifest_uri: str, path: str, *, max_bytes: int = MAX_STILL_BYTES, network: Network = DIRECT
) -> Generator[BinaryIO]:
    """Open the still: a local one itself, which others may change, or a copy of any other.

    Raises LocationError as `still_chunks` does, but for a local file that is too large.
    """
    manifest, still, checked = _still_of(manifest_uri, path)
    if not manifest.is_local:
        with copy_of(still_chunks(manifest_uri, path, max_bytes=max_bytes, network=network)) as copy:
            yield copy
        return
    with _told(still, "read"):
        file = disk.open_below(manifest.folder, checked)
    with file:
        yield file


def find_near_still(manifest_uri: str, path: str) -> str | None:
    """Return the path of a still that may be meant where there is none at `path`: in another case, or nearly so called.

    Looks on local disk only, and only where it may. Raises LocationError for a path that leads out of the folder.
    """
    manifest, _, checked = _still_of(manifest_uri, path)
    near = None
    if manifest.is_local:
        with suppress(OSError):
            near = names.find_near(manifest.folder, checked)
    return None if near is None else relative_path(near)


@contextmanager
def copy_of(chunks: Iterable[bytes]) -> Generator[BinaryIO]:
    """Put chunks into a nameless file of our own, which no one else can change. Raises LocationError without room."""
    with nameless_file() as copy:
        for chunk in chunks:
            try:
                copy.write(chunk)
            except OSError as error:
                raise no_room(error) from None
        copy.seek(0)
        yield copy


def _still_of(manifest_uri: str, path: str) -> tuple[Location, Location, str]:
    """Return the manifest, the still, and the still's path after the check."""
    checked = relative_path(path)
    if checked is None:
        raise LocationError(f"found {quoted(path)} as a still; allowed: {ALLOWED}")
    manifest = locate(manifest_uri)
    still = _below(manifest, checked)
    if checked.isascii() or manifest.is_local or manifest.is_web:
        return manifest, still, checked
    others = (_below(manifest, form) for form in names.unicode_forms(checked))
    with _told(still, "look for"):
        return manifest, next((each for each in (still, *others) if remote.kind_of(each) == "a file"), still), checked


def _below(manifest: Location, path: str) -> Location:
    return locate(remote.below(manifest.folder, path, is_web=manifest.is_web))


def replace_bytes(uri: str, data: bytes) -> None:
    """Replace the file by `data`. As `replace_with`."""
    with copy_of([data]) as copy:
        replace_with(uri, copy)


def replace_with(uri: str, original: BinaryIO, *, like: str | None = None) -> None:
    """Replace the file by the contents of an open one, from its start: readers see the old file or the new one.

    Folders are made as needed. On local disk a new file has the mode of the file `like`, where that is given.
    Raises LocationError; then the old file is as it was.
    """
    location = _writable(uri)
    with _told(location, "write"):
        if location.is_local:
            disk.replace_file(location.path, original, None if like is None else locate(like).path)
        else:
            remote.replace(location, original)


def exists(uri: str) -> bool:
    """Tell if there is a file. Raises LocationError if it cannot tell."""
    return kind_of(uri) == "a file"


def kind_of(uri: str) -> str | None:
    """Return `a file`, `a folder` and the like; None if there is nothing. Raises LocationError if it cannot tell."""
    location = locate(uri)
    with _told(location, "look at"):
        return disk.kind_of(location.path) if location.is_local else remote.kind_of(location)


def is_same_file(uri: str, other: str) -> bool:
    """Tell if two URIs name one file, also by links, another spelling, or on a disk that knows no case.

    Raises LocationError if it cannot tell.
    """
    here, there = locate(uri), locate(other)
    with _told(here, "look at"):
        if here.is_local and there.is_local:
            paths = (Path(here.path), Path(there.path))
            if all(path.exists() for path in paths):
                return paths[0].samefile(paths[1])
            return paths[0].resolve() == paths[1].resolve()
        return here.is_local == there.is_local and remote.is_same(here, there)


def real_path(uri: str) -> Path | None:
    """Return the path on local disk, links followed; None for a place elsewhere. Raises LocationError."""
    location = locate(uri)
    with _told(location, "look at"):
        return Path(location.path).resolve() if location.is_local else None


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
    if location.is_local and disk.goes_through_nothing(location.path):
        raise LocationError(
            f"{location.shown}: goes through a folder that does not exist and back (..); give the path without that"
        )
    return location


@contextmanager
def _told(location: Location, deed: str) -> Generator[None]:
    """Turn any error into a LocationError. `from None`: a client's error may hold its request."""
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
        if location.is_web:
            problem = "there is no such file, or its server cannot be reached"
            raise LocationError(f"{location.shown}: {problem}; check the path") from None
        raise NoSuchFileError(f"{location.shown}: there is no such file; check the path") from None
    except disk.NotAFileError as error:
        raise LocationError(f"{location.shown}: cannot {deed} it: {error}; give a file") from None
    except Exception as error:  # noqa: BLE001 - file systems raise whatever their clients raise
        raise LocationError(f"{location.shown}: cannot {deed} it: {_reason(error, location)}") from None


def _reason(error: Exception, location: Location) -> str:
    """One line of the error, without the location, whose query or user may be a credential."""
    text = getattr(error, "strerror", None) or str(error).replace(location.path, location.shown)
    line = re.sub(r"\?\S*", "", text.strip().partition("\n")[0])
    return escaped(f"{type(error).__name__}: {line}" if line else type(error).__name__, 300)
