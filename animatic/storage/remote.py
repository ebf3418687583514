"""Files anywhere else, through fsspec: object stores, memory, web pages to read, sftp."""

import functools
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from posixpath import normpath
from typing import Any, Protocol, cast
from urllib.parse import quote, urlsplit
from uuid import uuid4

import aiohttp

from animatic.storage.locations import Location
from animatic.web.network import DIRECT, Network
from animatic.web.public_web import open_session

# Stores that take an object in one request, or show it only when the last part is there: an upload that fails
# half-way leaves the old object. Elsewhere a temporary name comes first.
_WHOLE_PUT = frozenset({"memory", "s3", "gs", "gcs", "az", "abfs", "abfss"})
_CHUNK_BYTES = 4 << 20


class _Readable(Protocol):
    def read(self, length: int) -> bytes: ...


def read(location: Location, max_bytes: int, network: Network) -> bytes:
    """Return the bytes, at most `max_bytes` and one more. Raises what the file system raises."""
    with _open(location, network) as file:
        return _read_up_to(cast("_Readable", file), max_bytes + 1)


def chunks(location: Location, network: Network) -> Generator[bytes]:
    """Yield the bytes, some MiB at a time. Raises what the file system raises."""
    with _open(location, network) as file:
        while chunk := cast("_Readable", file).read(_CHUNK_BYTES):
            yield chunk


def replace(location: Location, data: bytes) -> None:
    """Put `data` in the place of what is there, whole or not at all. Raises what the file system raises."""
    system, path = _open_system(location)
    if location.scheme in _WHOLE_PUT:
        system.pipe_file(path, data)
        return
    folder = path.rpartition("/")[0]
    temporary = f"{folder}/.animatic-{uuid4().hex}.tmp"
    system.makedirs(folder, exist_ok=True)
    try:
        system.pipe_file(temporary, data)
        system.mv(temporary, path)
    except BaseException:
        # The first error is the one to tell; what is left behind is hidden and harmless.
        with suppress(Exception):
            system.rm_file(temporary)
        raise


def exists(location: Location) -> bool:
    """Tell if a file is there. Raises what the file system raises when it cannot tell."""
    system, path = _open_system(location)
    system.invalidate_cache()
    try:
        return system.info(path)["type"] == "file"
    except FileNotFoundError:
        return False


def kind_of(location: Location) -> str | None:
    """Return `a file` or `a folder`; None if there is nothing. Raises what the file system raises."""
    system, path = _open_system(location)
    system.invalidate_cache()
    try:
        return "a folder" if system.info(path)["type"] == "directory" else "a file"
    except FileNotFoundError:
        return None


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


def _open(location: Location, network: Network) -> Any:
    system, path = _open_system(location, network)
    # A web page is streamed in one request; asking for its size first would be another, and may not be answered.
    options: dict[str, Any] = {"block_size": 0, "size": 1} if location.is_web else {}
    return system.open(path, "rb", **options)


def _open_system(location: Location, network: Network = DIRECT) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # noqa: PLC0415 - files on disk need none of it

    parts = urlsplit(location.path)
    options = {"get_client": _client_for(f"{parts.scheme}://{parts.netloc}", network)} if location.is_web else {}
    return url_to_fs(location.path, **options)


@functools.cache
def _client_for(origin: str, network: Network) -> Callable[..., Awaitable[aiohttp.ClientSession]]:
    """Return a maker of sessions for web pages: the operator's own origin may be private, others may not.

    Cached, for fsspec keeps one file system for equal options.
    """

    async def get_client(**options: Any) -> aiohttp.ClientSession:
        options.pop("loop", None)
        return open_session(origin, network=network, **options)

    return get_client


def _read_up_to(file: _Readable, max_bytes: int) -> bytes:
    """Streams may give less than asked for; only nothing is the end."""
    parts: list[bytes] = []
    left = max_bytes
    while left and (part := file.read(min(left, _CHUNK_BYTES))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
