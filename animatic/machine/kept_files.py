"""Files of a cache on this machine's disk, each named `KEY.SHA256.SUFFIX` by the hash of its own bytes.

They may be damaged or removed at any time: a file is looked at before it is used.
"""

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path


def first_whole(paths: Iterable[Path]) -> Path | None:
    """Return the first of some files that is whole, as one that was just used; a damaged one is removed."""
    for path in paths:
        with suppress(OSError):
            with path.open("rb") as file:
                is_whole = file_digest(file, "sha256").hexdigest() == path.name.split(".")[1]
            if is_whole:
                os.utime(path)
                return path
            path.unlink()
    return None


def trim(paths: Iterable[Path], most_bytes: int, used: Collection[Path] = ()) -> None:
    """Remove files, the longest unused first, until all together are small enough; never those that are used now."""
    found = list[tuple[float, int, Path]]()
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            found.append((stat.st_mtime, stat.st_size, path))
    size_bytes = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if size_bytes <= most_bytes:
            return
        if path not in used:
            with suppress(OSError):
                path.unlink()
            size_bytes -= size
