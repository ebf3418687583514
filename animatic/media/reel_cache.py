"""Segments of reels that were encoded before, in a folder, each under the hash of its spec and of its own bytes.

What is in the folder may be damaged or removed at any time: it is looked at before it is used, and encoded again.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from animatic.errors import LocationError
from animatic.machine import kept_files
from animatic.media.reel_segments import write_segment
from animatic.media.reel_shots import SegmentSpec
from animatic.storage.folder import Folder

MOST_CACHE_BYTES = 4 << 30
"""Of all segments together; those that were not used for longest are removed first."""

_NAME = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{64})\.mkv")


class SegmentCache:
    """The segments in one folder on this machine's disk. All methods block.

    Raises:
        LocationError: the folder cannot be read.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_CACHE_BYTES) -> None:
        self.folder, self._most_bytes = folder, most_bytes
        self._names: dict[str, list[str]] = {}
        try:
            Folder(str(folder)).sweep()
            sizes = Folder(str(folder)).sizes()
        except OSError as error:
            raise LocationError(f"{folder}: cannot be used for segments of reels: {error.strerror}") from None
        for name in sizes:
            found = _NAME.fullmatch(name)
            if found is not None:
                self._names.setdefault(found[1], []).append(name)

    def find(self, key: str) -> Path | None:
        """Return a whole segment by the key of its spec, None where there is none; a damaged one is removed."""
        return kept_files.first_whole(self.folder / name for name in self._names.get(key, ()))

    def trim(self, used: Collection[Path]) -> None:
        """Remove segments until all together are small enough; never those that are used now."""
        kept_files.trim(self.folder.glob("*.mkv"), self._most_bytes, used)


def make_segment(spec: SegmentSpec, medium: Path | None, folder: Path) -> Path:
    """Encode a segment into the folder of a cache, and return its path. A job for `Processes`.

    Raises:
        ValueError: the medium cannot be used; in words that follow its name.
        OSError: the folder cannot be written to.
    """
    with Folder(str(folder)).incoming() as incoming:
        written = write_segment(spec, medium, incoming.path)
        name = f"{spec.key}.{written.sha256}.mkv"
        with suppress(FileExistsError):
            incoming.put(name)
    return folder / name
