"""Stills that clips were made from, as files: the first picture among a take's inputs, from wherever it still is.

A still that cannot be had is no fault of a clip: there is none then. What is fetched comes by the guarded client for
clips, which has no key, and is held to its hash where that is known.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from animatic import storage
from animatic.errors import AnimaticError
from animatic.ledger import Bought, Clip
from animatic.media.downloads import MAX_CLIP_BYTES, ClipDownloader
from animatic.media.last_frames import LastFrames
from animatic.media.local_stills import LocalStills
from animatic.takes.chains import source_of
from animatic.takes.inputs import parts_of
from animatic.takes.stills import MAX_STILL_BYTES
from animatic.web.network import Network

FETCHED_WITHIN_S = 20.0
MOST_KEPT = 64
"""So many stills stay on disk: the takes of one shot come one after the other."""

OF_A_CLIP = ".clip"
"""Suffix of a clip whose last frame is the still."""

_CHUNK_BYTES = 1 << 20
_NAMES = (
    "image",
    "image_url",
    "first_frame_image",
    "first_frame",
    "start_image",
    "first_image",
    "images",
    "image_urls",
)


def first_still(bought: Bought) -> str | None:
    """Return what identifies the picture that the clip should begin with; None where there is none."""
    for name in _NAMES:
        parts: list[Any] = parts_of(bought.inputs.get(name))
        if parts and isinstance(parts[0], str) and parts[0]:
            return parts[0]
    return None


class ClipStills:
    """Stills in a folder of ours, by what identifies them.

    Args:
        folder: that they are put into.
        last_frames: of the ledger's takes.
        origin: scheme, host and port that may be fetched from though they are private; empty for none.
        local: the manifest's stills; None where there is no manifest.
        downloader: an open one, with the bounds of stills.
    """

    def __init__(
        self, folder: Path, last_frames: LastFrames, downloader: ClipDownloader, local: LocalStills | None = None
    ) -> None:
        self._folder, self._last_frames, self._downloader, self._local = folder, last_frames, downloader, local
        self._found: dict[str, asyncio.Task[Path | None]] = {}

    async def find(self, bought: Bought, paths: Mapping[str, str]) -> Path | None:
        """Return the file of a take's still; None where it cannot be had. `paths` are of local ones in the manifest."""
        identity = first_still(bought)
        if identity is None:
            return None
        known = self._found.get(identity)
        if known is None:
            known = self._found[identity] = asyncio.create_task(self._fetch(identity, bought, paths))
            while len(self._found) > MOST_KEPT:
                await self._drop(next(iter(self._found)))
        return await asyncio.shield(known)

    async def _drop(self, identity: str) -> None:
        path = await self._found.pop(identity)
        if path is not None:
            path.unlink(missing_ok=True)

    async def _fetch(self, identity: str, bought: Bought, paths: Mapping[str, str]) -> Path | None:
        place = self._folder / sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
        digest, source = identity.removeprefix("sha256:") if identity.startswith("sha256:") else "", source_of(identity)
        if source is not None:
            return await self._copy_clip(source, place.with_suffix(OF_A_CLIP))
        if digest and self._local is not None and identity in paths:
            with contextlib.suppress(AnimaticError, OSError):
                await asyncio.to_thread(self._local.copy, paths[identity], digest, place)
                return place
        url = bought.uploads.get(identity, identity)
        if "://" not in url:
            return None
        with contextlib.suppress(AnimaticError, OSError), place.open("wb") as file:
            found = await self._downloader.download(url, file, bought.fingerprint[:12])
            return place if digest in {"", found.sha256} else None
        place.unlink(missing_ok=True)
        return None

    async def _copy_clip(self, source: str, place: Path) -> Path | None:
        """Copy the clip of a take whose last frame is the still; the process that checks takes it from there."""
        for clip in (await self._last_frames.clips_of([source])).get(source, ()):
            with contextlib.suppress(AnimaticError, OSError):
                await asyncio.to_thread(copy_clip, clip, place, self._last_frames.network)
                return place
        return None


def copy_clip(clip: Clip, place: Path, network: Network) -> None:
    """Copy an archived clip to a file of ours. Raises LocationError, OSError."""
    with storage.open_copy(clip.uri or "", max_bytes=MAX_CLIP_BYTES, network=network) as copy, place.open("wb") as file:
        shutil.copyfileobj(copy, file, _CHUNK_BYTES)


def still_downloader(origin: str, network: Network) -> ClipDownloader:
    """Return a downloader with the bounds of stills; to be opened."""
    return ClipDownloader(origin, network=network, deadline_s=FETCHED_WITHIN_S, max_bytes=MAX_STILL_BYTES, at_once=4)
