"""Files anywhere else, through fsspec: object stores, memory, web pages to read, sftp."""

import errno
import glob
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from posixpath import normpath
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import quote, urlsplit
from uuid import uuid4

from animatic.storage.locations import Location
from animatic.storage.stores import STORES, NoBucketError, options_of
from animatic.web.network import DIRECT, Network
from animatic.web.public_web import session_maker

_CHUNK_BYTES = 4 << 20
_PART_BYTES = 8 << 20
_VERSIONS = ("ETag", "etag", "generation")
"""Names that s3fs, gcsfs and adlfs have for what is another one after each change of an object."""

_BESIDE = ("size", "LastModified", "last_modified", "updated")
_MOMENTS = ("mtime", "created")
"""Names that sftp and memory have for the moment at which a file was changed."""


class _Readable(Protocol):
    def read(self, length: int) -> bytes: ...


OnReply = Callable[[str, Mapping[str, str]], object]
"""Gets the host that a web page came from, redirects followed, and the headers of its reply."""


def chunks(location: Location, network: Network, on_reply: OnReply | None = None) -> Generator[bytes]:
    """Yield the bytes, some MiB at a time. Raises what the file system raises."""
    system, path = _open_system(location, network)
    # A web page is streamed in one request; asking for its size first would be another, and may not be answered.
    options: dict[str, Any] = {"block_size": 0, "size": 1} if location.is_web else {"block_size": _PART_BYTES}
    with system.open(path, "rb", **options) as file:
        if on_reply is not None and location.is_web:
            on_reply(str(file.r.url.host), file.r.headers)
        while chunk := cast("_Readable", file).read(_CHUNK_BYTES):
            yield chunk


def replace(location: Location, original: BinaryIO) -> None:
    """Put a file on disk in the place of what is there, whole or not at all. Raises what the file system raises."""
    system, path = _open_system(location)
    original.seek(0)  # and write what is buffered
    if location.scheme == "memory":
        system.pipe_file(path, original.read())
        return
    store, descriptor = STORES.get(location.scheme), os.dup(original.fileno())  # though the file be closed
    name = f"/dev/fd/{descriptor}"  # `put_file` wants a name, which our files do not have
    try:
        if store is None:
            _replace_by_name(system, name, path)
        else:
            system.put_file(name, path, **store.upload)
    except FileNotFoundError:
        _require_bucket(location, system, path)
        raise
    finally:
        os.close(descriptor)


def _replace_by_name(system: Any, name: str, path: str) -> None:
    temporary = f"{path.rpartition('/')[0]}/.animatic-{uuid4().hex}.tmp"
    try:
        system.put_file(name, temporary)  # makes folders
        system.mv(temporary, path)
    except BaseException:
        # The first error is the one to tell; what is left behind is hidden and harmless.
        with suppress(Exception):
            system.rm_file(temporary)
        raise


def _require_bucket(location: Location, system: Any, path: str) -> None:
    """Raise NoBucketError where an object store has no such bucket or container."""
    store = STORES.get(location.scheme)
    if store is not None and not system.exists(path.partition("/")[0]):
        raise NoBucketError(errno.ENOENT, f"there is no such {store.root}")


def kind_of(location: Location) -> str | None:
    """Return `a file` or `a folder`; None if there is nothing. Raises what the file system raises."""
    system, path = _open_system(location)
    system.invalidate_cache()
    try:
        return "a folder" if system.info(path)["type"] == "directory" else "a file"
    except FileNotFoundError:
        return None


def size_of(location: Location) -> int:
    """Return the size of a file in bytes. Raises what the file system raises."""
    system, path = _open_system(location)
    system.invalidate_cache()
    return int(system.info(path)["size"])


def version_of(location: Location) -> str | None:
    """Return the marks by which an object store tells versions of an object apart, as one text; None where it has none.

    Raises what the file system raises.
    """
    if location.scheme not in STORES:
        return None
    system, path = _open_system(location)
    system.invalidate_cache()
    found: dict[str, Any] = system.info(path)
    if not any(map(found.get, _VERSIONS)):
        return None
    return " ".join(str(found.get(name)) for name in (*_VERSIONS, *_BESIDE))


def sizes_in(location: Location) -> dict[str, int]:
    """Return the sizes in bytes of the files beside a location, by name.

    Raises what the file system raises, and NoBucketError.
    """
    system, path = _open_system(location)
    system.invalidate_cache()
    try:
        found: list[dict[str, Any]] = system.ls(path.rpartition("/")[0], detail=True)
    except FileNotFoundError:
        _require_bucket(location, system, path)
        return {}
    return {str(each["name"]).rpartition("/")[2]: int(each["size"] or 0) for each in found if each["type"] == "file"}


def matching(location: Location) -> list[str]:
    """Return the URIs of files that a pattern matches. Raises what the file system raises."""
    system, pattern = _open_system(location)
    system.invalidate_cache()
    found: dict[str, dict[str, Any]] = system.glob(pattern, detail=True)
    return [_uri_of(location, pattern, name) for name, about in found.items() if about["type"] == "file"]


def _uri_of(location: Location, pattern: str, name: str) -> str:
    """Return the URI of a file that a location's pattern matched: with the account, host and user of that."""
    if location.path.endswith(pattern):
        return f"{location.path.removesuffix(pattern)}{name}"
    return f"{location.scheme}://{urlsplit(location.path).netloc}/{name.lstrip('/').partition('/')[2]}"


def marks_below(location: Location, pattern: str) -> Generator[tuple[str, str]]:
    """Yield the paths below a location's folder, and the marks, of files that a pattern matches.

    Raises what the file system raises.
    """
    system, anchor = _open_system(location)
    system.invalidate_cache()
    folder = anchor.rpartition("/")[0]
    found: dict[str, dict[str, Any]] = system.glob(f"{glob.escape(folder)}/{pattern}", detail=True)
    for name, about in found.items():
        path = name.removeprefix(f"{folder}/")
        if about["type"] == "file" and not any(part.startswith(".") for part in path.split("/")):
            yield path, " ".join(str(about.get(each)) for each in (*_VERSIONS, *_BESIDE, *_MOMENTS))


def remove(location: Location) -> None:
    """Remove a file. Raises what the file system raises."""
    system, path = _open_system(location)
    system.rm_file(path)


def is_same(one: Location, other: Location) -> bool:
    """Tell if two locations are one file of one file system, by their names."""
    (system, path), (other_system, other_path) = _open_system(one), _open_system(other)
    return type(system) is type(other_system) and system == other_system and normpath(path) == normpath(other_path)


def require_installed(location: Location) -> None:
    """Raise ImportError if the package behind the scheme is missing."""
    _open_system(location)


def below(folder: str, relative_path: str, *, is_web: bool) -> str:
    """Return the URI of a checked relative path below the URI of a folder."""
    return f"{folder}/{quote(relative_path) if is_web else relative_path}"


def _open_system(location: Location, network: Network = DIRECT) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # noqa: PLC0415 - files on disk need none of it

    parts = urlsplit(location.path)
    if location.is_web:
        return url_to_fs(location.path, get_client=session_maker(f"{parts.scheme}://{parts.netloc}", network))
    return url_to_fs(location.path, **options_of(location.scheme))
