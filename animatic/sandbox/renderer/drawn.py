"""Clips that were drawn before, in a folder that sandboxes share: each under the hash of what it was drawn from.

What is in the folder may be damaged or removed at any time: it is looked at before it is used, and drawn again. No clip
fails because the folder cannot be used.
"""

from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import PIL

from animatic.machine import kept_files
from animatic.sandbox.folder import write_whole

MOST_DRAWN_BYTES = 512 << 20
"""Of all clips together; those that were not used for longest are removed first."""


@cache
def _renderer() -> bytes:
    """Return what stands for the code that draws: our own, and the libraries'."""
    ours = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
    return repr((ours.hexdigest(), av.__version__, av.library_versions, np.__version__, PIL.__version__)).encode()


def key_of(still: bytes, *rest: str | int) -> str:
    """Return the hash of what a clip is drawn from."""
    return sha256(b"\0".join((_renderer(), sha256(still).digest(), repr(rest).encode()))).hexdigest()


def find(folder: Path, key: str) -> bytes | None:
    """Return a clip that was drawn before, whole; None where there is none."""
    with suppress(OSError):
        path = kept_files.first_whole(folder.glob(f"{key}.*.mp4"))
        return None if path is None else path.read_bytes()
    return None


def keep(folder: Path, key: str, clip: bytes, most_bytes: int = MOST_DRAWN_BYTES) -> None:
    """Keep a clip, and remove others until all together are small enough."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(folder / f"{key}.{sha256(clip).hexdigest()}.mp4", clip)
        kept_files.trim(folder.glob("*.mp4"), most_bytes)
