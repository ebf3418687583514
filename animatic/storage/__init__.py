"""Bytes in and out, wherever they are: the only user of fsspec.

Locations come from operators and are judged by `locations`; paths of stills come from cells, and are judged again by
the manifest's own rule before anything is opened. Everything that goes wrong is a LocationError that says what was
found, what is allowed and what to do; no error of a file system or of its client gets out.

What reads takes a `network`: by which proxy, and trusting whom, a page on the web is reached.
"""

import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from animatic.errors import LocationError
from animatic.errors.text import quoted
from animatic.manifest.images import ALLOWED, MAX_STILL_BYTES, media_path, relative_path
from animatic.storage import disk, names, remote
from animatic.storage.disk import hash_of, write_chunks
from animatic.storage.failures import location_errors
from animatic.storage.locations import (
    Location,
    absolute_uri,
    anchor_in,
    beside,
    locate,
    name_of,
    require_lasting,
    stem_of,
    uri_below,
)
from animatic.storage.sheets import SHARE, SIGN_IN
from animatic.storage.spool import nameless_file, no_room
from animatic.storage.unpacked import unpacked
from animatic.web.network import DIRECT, Network

__all__ = [
    "absolute_uri",
    "anchor_in",
    "beside",
    "changing",
    "copy_of",
    "copy_to",
    "exists",
    "files_in",
    "files_matching",
    "find_near_still",
    "hash_of",
    "is_pattern",
    "is_same_file",
    "kind_of",
    "mark_of",
    "marks_below",
    "name_of",
    "open_copy",
    "open_existing",
    "open_found",
    "open_still",
    "read_bytes",
    "real_path",
    "remove",
    "replace_bytes",
    "replace_with",
    "require_lasting",
    "require_writable",
    "sha256_of",
    "stem_of",
    "still_chunks",
    "unpacked",
    "uri_below",
    "version_of_still",
    "write_chunks",
]

_CHUNK_BYTES = 1 << 20
_MOST_FILES = 10_000


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


@dataclass(frozen=True, slots=True)
class Found:
    """A copy of a file, and its server's words about it.

    Attributes:
        file: the copy.
        host: the web server that it came from, redirects followed; empty where it came from elsewhere.
        headers: of the server's reply.
    """

    file: BinaryIO
    host: str
    headers: Mapping[str, str]


@contextmanager
def open_found(uri: str, *, max_bytes: int, network: Network = DIRECT) -> Generator[Found]:
    """Copy the file like `open_copy`; for one from the web, say what its server said.

    Raises LocationError as `open_copy` does, and for a Google sheet that is not shared.
    """
    replies: list[tuple[str, Mapping[str, str]]] = []
    location = locate(uri)
    with copy_of(_chunks(uri, max_bytes, network, lambda *reply: replies.append(reply))) as copy:
        host, headers = replies[-1] if replies else ("", {})
        if location.sheet is not None and (host == SIGN_IN or "html" in headers.get("Content-Type", "")):
            raise LocationError(f"{location.shown}: Google asks for a sign-in: the sheet is not shared; {SHARE}")
        yield Found(copy, host, headers)


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
    return hash_of(_chunks(uri, max_bytes, network))


def copy_to(target: Path, uri: str, *, max_bytes: int, network: Network = DIRECT) -> str:
    """Copy a file to a path, and return the SHA-256 of the copy, in hex.

    Raises:
        LocationError: as `open_copy` does.
        OSError: the target cannot be written.
    """
    return write_chunks(target, _chunks(uri, max_bytes, network))


def _chunks(uri: str, max_bytes: int, network: Network, on_reply: remote.OnReply | None = None) -> Generator[bytes]:
    location = locate(uri)
    chunks = disk.chunks(location.path) if location.is_local else remote.chunks(location, network, on_reply)
    yield from _bounded(location, chunks, max_bytes)


def _bounded(location: Location, chunks: Iterator[bytes], max_bytes: int) -> Generator[bytes]:
    """Yield at most `max_bytes`; errors on the way name the location."""
    left = max_bytes
    while True:
        with location_errors(location, "read"):
            chunk = next(chunks, b"")
        left -= len(chunk)
        if left < 0:
            raise LocationError(f"{location.shown}: found more than {max_bytes:,} bytes; allowed: up to {max_bytes:,}")
        if not chunk:
            return
        yield chunk


def still_chunks(
    anchor: str, path: str, *, max_bytes: int = MAX_STILL_BYTES, network: Network = DIRECT
) -> Generator[bytes]:
    """Yield the still that a manifest names by the relative `path`, from the folder that `anchor` is in, in chunks.

    `anchor` is the URI of a file, such as the manifest, or of one that need not exist (`anchor_in`).
    A file whose name is the same text in another Unicode form is found too: macOS writes accents apart.
    Raises LocationError as `open_copy` does, and for a path or a link that leads anywhere else.
    """
    origin, still, checked = _still_of(anchor, path)
    if not origin.is_local:
        yield from _bounded(still, remote.chunks(still, network), max_bytes)
        return
    with location_errors(still, "read"):
        file = disk.open_below(origin.folder, checked)
    with file:
        yield from _bounded(still, iter(lambda: file.read(_CHUNK_BYTES), b""), max_bytes)


@contextmanager
def open_still(
    anchor: str, path: str, *, max_bytes: int = MAX_STILL_BYTES, network: Network = DIRECT
) -> Generator[BinaryIO]:
    """Open the still: a local one itself, which others may change, or a copy of any other.

    Raises LocationError as `still_chunks` does, but for a local file that is too large.
    """
    origin, still, checked = _still_of(anchor, path)
    if not origin.is_local:
        with copy_of(still_chunks(anchor, path, max_bytes=max_bytes, network=network)) as copy:
            yield copy
        return
    with location_errors(still, "read"):
        file = disk.open_below(origin.folder, checked)
    with file:
        yield file


def version_of_still(anchor: str, path: str) -> str | None:
    """Return what an object store calls the still as it is now; another one after each change. None elsewhere.

    Raises LocationError as `still_chunks` does.
    """
    _, still, _ = _still_of(anchor, path)
    with location_errors(still, "look at"):
        return remote.version_of(still)


def find_near_still(anchor: str, path: str) -> str | None:
    """Return the path of a still that may be meant where there is none at `path`: in another case, or nearly so called.

    Looks on local disk only, and only where it may. Raises LocationError for a path that leads out of the folder.
    """
    origin, _, checked = _still_of(anchor, path)
    near = None
    if origin.is_local:
        with suppress(OSError):
            near = names.find_near(origin.folder, checked)
    return None if near is None else relative_path(near) or media_path(near)


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


def _still_of(anchor: str, path: str) -> tuple[Location, Location, str]:
    """Return the anchor, the still, and the still's path after the check."""
    checked = relative_path(path) or media_path(path)
    if checked is None:
        raise LocationError(f"found {quoted(path)} as a still; allowed: {ALLOWED}")
    origin = locate(anchor)
    if origin.sheet is not None:
        raise LocationError("a Google sheet has no folder; name the one that the stills are in: --stills FOLDER")
    still = _below(origin, checked)
    if checked.isascii() or origin.is_local or origin.is_web:
        return origin, still, checked
    others = (_below(origin, form) for form in names.unicode_forms(checked))
    with location_errors(still, "look for"):
        return origin, next((each for each in (still, *others) if remote.kind_of(each) == "a file"), still), checked


def _below(origin: Location, path: str) -> Location:
    return locate(remote.below(origin.folder, path, is_web=origin.is_web))


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
    with location_errors(location, "write"):
        if location.is_local:
            disk.replace_file(location.path, original, None if like is None else locate(like).path)
        else:
            remote.replace(location, original)


@contextmanager
def changing(uri: str) -> Generator[None]:
    """Keep others who ask the same from changing files in the folder of one, on local disk, while the block runs.

    Raises LocationError if it cannot be had within 10 s, or `uri` is no place to write to.
    """
    location = _writable(uri)
    if not location.is_local:
        yield
        return
    with ExitStack() as stack:
        with location_errors(location, "write"):
            stack.enter_context(disk.locked_folder(location.path))
        yield


def exists(uri: str) -> bool:
    """Tell if there is a file. Raises LocationError if it cannot tell."""
    return kind_of(uri) == "a file"


def kind_of(uri: str) -> str | None:
    """Return `a file`, `a folder` and the like; None if there is nothing. Raises LocationError if it cannot tell."""
    location = locate(uri)
    with location_errors(location, "look at"):
        return disk.kind_of(location.path) if location.is_local else remote.kind_of(location)


def is_pattern(uri: str) -> bool:
    """Tell if a URI is a pattern: it has `*`, `?` or `[`, and on local disk there is no file of just that name."""
    if not any(char in uri for char in "*?["):
        return False
    location = locate(uri)
    return not location.is_web and not (location.is_local and exists(uri))


def files_matching(pattern: str) -> list[str]:
    """Return the URIs of the files that a pattern matches, in any order; `*` does not match a slash.

    Raises LocationError for `**`, for more than 10,000 files, and if it cannot tell.
    """
    location = locate(pattern)
    if "**" in pattern:
        raise LocationError(f"{location.shown}: found **; allowed: *, ? and [ ] in the names of files and folders")
    with location_errors(location, "look for"):
        found = disk.matching(location.path) if location.is_local else remote.matching(location)
        files = list(itertools.islice(found, _MOST_FILES + 1))
    if len(files) > _MOST_FILES:
        raise LocationError(f"{location.shown}: found more than {_MOST_FILES:,} files; give a narrower pattern")
    return files


def files_in(folder: str) -> list[str]:
    """Return the URIs of the files in a folder, in any order; none where there is none. Raises LocationError."""
    location = locate(anchor_in(folder))
    with location_errors(location, "look at"):
        names = disk.files_in(location.folder) if location.is_local else list(remote.sizes_in(location))
    return [f"{folder.rstrip('/')}/{name}" for name in names if not name.startswith(".")]


def mark_of(uri: str) -> str:
    """Return a text that is another one after each change of a file, as far as its place can tell; empty for none.

    Raises LocationError if it cannot be looked at.
    """
    location = locate(uri)
    with location_errors(location, "look at"):
        if not location.is_local:
            return remote.version_of(location) or ""
        return disk.mark_of(location.path)


def listed_mark_of(uri: str) -> str:
    """Return the mark of a file as `marks_below` has it; empty where there is none.

    Raises LocationError if it cannot be looked at.
    """
    location = locate(uri)
    with location_errors(location, "look at"):
        if location.is_local:
            return disk.mark_of(location.path)
        return dict(remote.marks_below(location, "*")).get(location.name, "")  # a single file is described otherwise


def marks_below(folder: str, pattern: str) -> dict[str, str]:
    """Return the files below a folder that a pattern matches: by their path below it, a mark as `mark_of` returns it.

    Places that have no versions are told apart by size and moment. `*` does not match a slash, nor what is hidden.
    Raises LocationError for `**`, for more than 10,000 files, and if it cannot tell.
    """
    location = locate(anchor_in(folder))
    if "**" in pattern or location.is_web:
        raise LocationError(
            f"{locate(folder).shown}: found the pattern {quoted(pattern)}; allowed: *, ? and [ ] in names, below a "
            "folder or a URI such as s3://bucket/folder"
        )
    with location_errors(location, "look into"):
        found = (
            disk.marks_below(location.folder, pattern) if location.is_local else remote.marks_below(location, pattern)
        )
        marks = dict(itertools.islice(found, _MOST_FILES + 1))
    if len(marks) > _MOST_FILES:
        raise LocationError(f"{locate(folder).shown}: found more than {_MOST_FILES:,} files; give a narrower pattern")
    return marks


def remove(uri: str) -> None:
    """Remove a file; one that is not there is no error. Raises LocationError if it cannot be removed."""
    location = _writable(uri)
    with location_errors(location, "remove"), suppress(FileNotFoundError):
        if location.is_local:
            Path(location.path).unlink()
        else:
            remote.remove(location)


def is_same_file(uri: str, other: str) -> bool:
    """Tell if two URIs name one file, also by links, another spelling, or on a disk that knows no case.

    Raises LocationError if it cannot tell.
    """
    here, there = locate(uri), locate(other)
    with location_errors(here, "look at"):
        if here.is_local and there.is_local:
            paths = (Path(here.path), Path(there.path))
            if all(path.exists() for path in paths):
                return paths[0].samefile(paths[1])
            return paths[0].resolve() == paths[1].resolve()
        return here.is_local == there.is_local and remote.is_same(here, there)


def real_path(uri: str) -> Path | None:
    """Return the path on local disk, links followed; None for a place elsewhere. Raises LocationError."""
    location = locate(uri)
    with location_errors(location, "look at"):
        return Path(location.path).resolve() if location.is_local else None


def require_writable(uri: str) -> None:
    """Raise LocationError if `uri` can be seen to be no place to write to. To be asked before money is spent."""
    location = _writable(uri)
    with location_errors(location, "write"):
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
