"""Bundles (.otioz): a timeline and its clips in one file, which needs nothing else to be opened.

A clip is put in only if it is the one that the results name, by its SHA-256: a table from elsewhere may name any file
of this machine.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from animatic import storage
from animatic.errors import LocationError
from animatic.errors.text import counted
from animatic.media.clip_names import safe_name, same_name_key
from animatic.review.timeline.cut import Cut, Media
from animatic.web.network import DIRECT, Network

MAX_BYTES = 20 << 30


def size_of(cut: Cut) -> int:
    """Return the bytes of all clips of a cut, as the results say.

    Raises:
        LocationError: they are too many, or not known.
    """
    clips = {shot.media.uri: shot.media for shot in cut.shots if shot.media is not None}
    unknown = sum(media.size_bytes is None or media.sha256 is None for media in clips.values())
    if unknown:
        raise LocationError(
            f"{cut.name}: the results have no size and SHA-256 of {counted(unknown, 'clip')}; archive them first, or "
            "write .otio, which only names the clips"
        )
    total = sum(media.size_bytes or 0 for media in clips.values())
    if total > MAX_BYTES:
        raise LocationError(
            f"{cut.name}: found {total:,} bytes of clips; allowed in a bundle: {MAX_BYTES:,}; write .otio, which only "
            "names the clips, or choose fewer shots with --only"
        )
    return total


def gathered(cut: Cut, folder: Path, network: Network = DIRECT) -> Cut:
    """Copy all clips of a cut into a folder, under names that differ; return the cut of the copies.

    Raises:
        LocationError: a clip is not there, is not the one that the results name, or there is no room.
    """
    need, free = size_of(cut), shutil.disk_usage(folder).free
    if 2 * need > free:
        raise LocationError(
            f"{folder}: {free:,} bytes are free, and a bundle needs {2 * need:,} for a while; make room"
        )
    copies: dict[str, Media] = {}
    taken: set[str] = set()
    shots: list[Any] = []
    for shot in cut.shots:
        media = shot.media
        if media is not None:
            if media.uri not in copies:
                target = folder / _free_name(shot.name, taken, _suffix_of(media.uri))
                _copy(media, target, network)
                copies[media.uri] = replace(media, uri=storage.absolute_uri(str(target)))
            media = copies[media.uri]
        shots.append(replace(shot, media=media))
    return replace(cut, shots=tuple(shots))


def _copy(media: Media, target: Path, network: Network) -> None:
    if storage.copy_to(target, media.uri, max_bytes=media.size_bytes or 0, network=network) != media.sha256:
        raise LocationError(
            f"{storage.name_of(media.uri)}: is not the clip that the results name (another SHA-256); archive it again"
        )


def _suffix_of(uri: str) -> str:
    suffix = Path(storage.name_of(uri)).suffix.lower()
    return suffix if suffix in {".mp4", ".mov", ".webm"} else ".bin"


def _free_name(name: str, taken: set[str], suffix: str) -> str:
    found, number = safe_name(name), 1
    while same_name_key(found) in taken:
        number += 1
        found = safe_name(name, f"_{number}")
    taken.add(same_name_key(found))
    return found + suffix
