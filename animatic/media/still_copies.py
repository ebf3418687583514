"""Copies of stills that lie in an object store, or in the manifest itself, each content once, in one nameless file.

One of an object store is not read again while the store says that it is the same. The room for these is bounded: one
that has none is read again. Those of the manifest are all kept; `manifest.embedded` bounds them.
"""

import io
import os
import threading
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import BinaryIO, NamedTuple

from animatic.errors import LocationError
from animatic.manifest.embedded import embedded_name
from animatic.storage.spool import nameless_file, no_room
from animatic.takes.stills import MAX_STILL_BYTES, Still

MOST_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20


class _Seen(NamedTuple):
    version: str
    still: Still


class StillCopies:
    """Copies of stills, and what was found at their paths. Any number of threads may use it.

    Args:
        most_bytes: the most that the copies may take on disk together.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._room_bytes = most_bytes
        self._file: BinaryIO | None = None
        self._end = 0
        self._lock = threading.Lock()
        self._places: dict[str, tuple[int, int]] = {}  # by SHA-256: offset and size
        self._seen: dict[str, _Seen] = {}
        self._embedded: dict[str, str | None] = {}

    def find(self, path: str, version: str | None) -> Still | None:
        """Return the still that was read at a path, if it is still this version; None where that is not known."""
        seen = self._seen.get(path)
        return seen.still if seen is not None and seen.version == version else None

    def keep(self, path: str, version: str | None, still: Still, file: BinaryIO) -> None:
        """Remember a still, and copy its bytes where there is room."""
        if version is not None:
            self._seen[path] = _Seen(version, still)
        with self._lock:
            if still.sha256 in self._places or still.size_bytes > self._room_bytes:
                return
            try:
                self._copy(still.sha256, file)
                self._room_bytes -= still.size_bytes
            except (OSError, LocationError):  # without room it is read again
                self._room_bytes = 0

    @property
    def embedded(self) -> Mapping[str, str | None]:
        """SHA-256 of each still that lies in the manifest, by the name that stands for it.

        It is None for one that is larger than a still may be.
        """
        return self._embedded

    def embed(self, path: str | None, data: bytes) -> str:
        """Keep a still that lies in the manifest; return the name that stands for it. Raises LocationError."""
        digest = sha256(data).hexdigest()
        name = embedded_name(path, digest, data)
        with self._lock:
            if name in self._embedded and self._embedded[name] not in {digest, None}:
                name = f"{digest}-{name}"  # another content with the same 12 digits
            if len(data) > MAX_STILL_BYTES:
                self._embedded[name] = None
                return name
            if digest not in self._places:
                try:
                    self._copy(digest, io.BytesIO(data))
                except OSError as error:
                    raise no_room(error) from None
            self._embedded[name] = digest
        return name

    def _copy(self, digest: str, file: BinaryIO) -> None:
        if self._file is None:
            self._file = nameless_file()
        file.seek(0)
        self._file.seek(self._end)
        size_bytes = 0
        while chunk := file.read(_CHUNK_BYTES):
            self._file.write(chunk)
            size_bytes += len(chunk)
        self._file.flush()
        self._places[digest] = self._end, size_bytes
        self._end += size_bytes

    def chunks(self, digest: str) -> Iterator[bytes] | None:
        """Return the bytes of a content, a MiB at a time; None where there is no copy of it."""
        place, file = self._places.get(digest), self._file
        if place is None or file is None:
            return None
        start, size_bytes = place
        return (
            os.pread(file.fileno(), min(_CHUNK_BYTES, size_bytes - at), start + at)
            for at in range(0, size_bytes, _CHUNK_BYTES)
        )

    def __del__(self) -> None:
        """Give the file up."""
        if getattr(self, "_file", None) is not None:
            self._file.close()  # pyright: ignore[reportOptionalMemberAccess]
