"""Copies of clips that say in their own metadata where they came from; pictures and sound are those of the clip.

The packets of every track are copied as they are, and compared afterwards. The archive's clips are never touched: their
SHA-256 is how ledger and results know them, and a copy carries it.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from animatic.errors.text import one_line
from animatic.media.frames import SAFELY

SUFFIXES = (".mp4", ".mov")
"""Containers that have a place for any key."""

COPY_WITHIN_S = 300.0
_MAX_CHARS = 20_000
_TRACKS = ("video", "audio")


def tags_of(row: Mapping[str, Any], sha256: str) -> dict[str, str]:
    """Return what a clip's metadata says, by key, of a row of the results and the clip's own SHA-256."""
    known = {
        "animatic.fingerprint": row["fingerprint"],
        "animatic.prompt": row["prompt"],
        "animatic.model": row["model"],
        "animatic.prediction": row["prediction_id"],
        "animatic.run": row["run_id"],
        "animatic.sha256": sha256,
    }
    return {key: str(value).replace("\0", "")[:_MAX_CHARS] for key, value in known.items() if value}


def copy_with(tags: Mapping[str, str], source: Path, target: Path) -> None:
    """Write a copy of a clip with these tags; the same bytes for the same clip and tags. A job of a media process.

    Raises:
        ValueError: it cannot be read, or would not be the same clip.
        OSError: it cannot be written.
    """
    try:
        with (
            av.open(str(source), "r", options=SAFELY, metadata_errors="ignore") as clip,
            av.open(
                str(target), "w", format=target.suffix[1:],
                options={"movflags": "use_metadata_tags+faststart", "fflags": "+bitexact"},
            ) as copy,
        ):  # fmt: skip
            tracks = [stream for stream in clip.streams if stream.type in _TRACKS]
            if not tracks:
                raise ValueError("has neither picture nor sound in it")
            of_track = {stream.index: copy.add_stream_from_template(stream) for stream in tracks}
            for key, value in {**clip.metadata, **tags}.items():
                copy.metadata[key] = value
            for packet in clip.demux(tracks):
                if packet.dts is not None:
                    packet.stream = of_track[packet.stream.index]
                    copy.mux(packet)
        if _packets(source) != _packets(target):
            raise ValueError("would not keep its pictures or sound as they are")
        kept = _metadata(target)
        lost = [key for key, value in tags.items() if kept.get(key) != value]
        if lost:
            raise ValueError(f"would not keep {', '.join(lost)}")
    except FFmpegError as error:
        raise ValueError(f"cannot be copied: {one_line(str(error), 200)}") from None


def _packets(path: Path) -> list[str]:
    """Return a digest of each track: moments in seconds, and bytes, of all its packets in order."""
    with av.open(str(path), "r", options=SAFELY, metadata_errors="ignore") as clip:
        tracks = [stream for stream in clip.streams if stream.type in _TRACKS]
        digests = {stream.index: hashlib.sha256() for stream in tracks}
        for packet in clip.demux(tracks):
            if packet.size:
                moment = None if packet.pts is None else packet.pts * packet.time_base
                digests[packet.stream.index].update(f"{moment} {packet.is_keyframe} {packet.size} ".encode())
                digests[packet.stream.index].update(bytes(packet))
        return [digest.hexdigest() for digest in digests.values()]


def _metadata(path: Path) -> Mapping[str, str]:
    with av.open(str(path), "r", options=SAFELY, metadata_errors="ignore") as clip:
        return dict(clip.metadata)
