"""Files anywhere else, through fsspec: object stores, memory, web pages to read, sftp."""

from collections.abc import Generator, Mapping
from contextlib import suppress
from posixpath import normpath
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import quote, urlsplit
from uuid import uuid4

from animatic.storage.locations import Location
from animatic.web.network import DIRECT, Network
from animatic.web.public_web import session_maker

_CHUNK_BYTES = 4 << 20
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4

_OBJECT_STORES: Mapping[str, Mapping[str, int]] = {
    "s3": {"chunksize": _PART_BYTES, "max_concurrency": _PARTS_AT_ONCE},
    "gs": {"chunksize": _PART_BYTES},
    "gcs": {"chunksize": _PART_BYTES},
    "az": {"max_concurrency": _PARTS_AT_ONCE},
    "abfs": {"max_concurrency": _PARTS_AT_ONCE},
    "abfss": {"max_concurrency": _PARTS_AT_ONCE},
}
"""Stores that show an object once all of it is there; the values bound what an upload holds in memory.

Their `put_file` sends one request, or parts that it completes or gives up (read in s3fs 2026.9, gcsfs 2026.10, adlfs
2026.8). Their `open(path, "wb")` does not: leaving its `with` completes the file, after an error too.
"""


class _Readable(Protocol):
    def read(self, length: int) -> bytes: ...


def chunks(location: Location, network: Network) -> Generator[bytes]:
    """Yield the bytes, some MiB at a time. Raises what the file system raises."""
    system, path = _open_system(location, network)
    # A web page is streamed in one request; asking for its size first would be another, and may not be answered.
    options: dict[str, Any] = {"block_size": 0, "size": 1} if location.is_web else {"block_size": _PART_BYTES}
    with system.open(path, "rb", **options) as file:
        while chunk := cast("_Readable", file).read(_CHUNK_BYTES):
            yield chunk


def replace(location: Location, original: BinaryIO) -> None:
    """Put a file on disk in the place of what is there, whole or not at all. Raises what the file system raises."""
    system, path = _open_system(location)
    original.seek(0)  # and write what is buffered
    if location.scheme == "memory":
        system.pipe_file(path, original.read())
        return
    name = f"/dev/fd/{original.fileno()}"  # `put_file` wants a name, which our files do not have
    if location.scheme in _OBJECT_STORES:
        system.put_file(name, path, **_OBJECT_STORES[location.scheme])
    else:
        _replace_by_name(system, name, path)


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


def kind_of(location: Location) -> str | None:
    """Return `a file` or `a folder`; None if there is nothing. Raises what the file system raises."""
    system, path = _open_system(location)
    system.invalidate_cache()
    try:
        return "a folder" if system.info(path)["type"] == "directory" else "a file"
    except FileNotFoundError:
        return None


def sizes_in(location: Location) -> dict[str, int]:
    """Return the sizes in bytes of the files beside a location, by name. Raises what the file system raises."""
    system, path = _open_system(location)
    system.invalidate_cache()
    try:
        found: list[dict[str, Any]] = system.ls(path.rpartition("/")[0], detail=True)
    except FileNotFoundError:
        return {}
    return {str(each["name"]).rpartition("/")[2]: int(each["size"] or 0) for each in found if each["type"] == "file"}


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
    options = {"get_client": session_maker(f"{parts.scheme}://{parts.netloc}", network)} if location.is_web else {}
    return url_to_fs(location.path, **options)
