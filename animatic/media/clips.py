"""Contents of a video file, read from its container without decoding. Reads, never writes."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from av.error import FFmpegError

from animatic.media.frames import SAFELY

MOST_SAMPLES = 10_000_000
"""Samples that a track may claim: three minutes of sound as single samples, days of pictures. FFmpeg has room made for
each, 24 bytes, before it looks if the file can hold them."""

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
_MOST_BOXES = 10_000


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """Properties of a clip's first video stream.

    Attributes:
        container: FFmpeg's names of it, such as `mov,mp4,m4a,3gp,3g2,mj2`.
        codec: FFmpeg's name of it, such as `h264`.
        width, height: in pixels.
        fps: on average.
        duration_s: of the stream; of the whole file where that does not say.
        frames: packets of it that hold data. Whether each can be decoded is not looked at.
    """

    container: str
    codec: str
    width: int
    height: int
    fps: float
    duration_s: float
    frames: int


def probe_clip(clip: bytes | Path) -> ClipInfo:
    """Read a clip's properties. Blocks; call it off the event loop.

    Raises:
        ValueError: it is no video that can be read, in a sentence.
    """
    name = str(clip) if isinstance(clip, Path) else "the clip"
    source = io.BytesIO(clip) if isinstance(clip, bytes) else str(clip)
    try:
        with io.BytesIO(clip) if isinstance(clip, bytes) else clip.open("rb") as file:
            if any(samples > MOST_SAMPLES for samples in _claimed_samples(file)):
                raise ValueError(f"{name} claims to have more samples than a clip may have ({MOST_SAMPLES:,})")
        with av.open(source, "r", options=SAFELY, metadata_errors="ignore") as container:
            if not container.streams.video:
                raise ValueError(f"{name} has no video in it")
            stream = container.streams.video[0]
            frames = sum(1 for packet in container.demux(stream) if packet.size)
            if not (frames and stream.width and stream.height):
                raise ValueError(f"{name} has no picture in it")
            length_s = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            return ClipInfo(
                container=container.format.name,
                codec=stream.codec_context.name,
                width=stream.width,
                height=stream.height,
                fps=float(stream.average_rate or 0),
                duration_s=length_s or (container.duration or 0) / av.time_base,
                frames=frames,
            )
    except (FFmpegError, OSError) as error:
        raise ValueError(f"{name} is not a playable video: {error}") from None


def _claimed_samples(file: BinaryIO) -> Iterator[int]:
    """Yield the samples that each track of an MP4 says to have, all of one size; nothing for other files."""
    end = file.seek(0, io.SEEK_END)
    at, boxes = 0, 0
    while at + 8 <= end and boxes < _MOST_BOXES:
        boxes += 1
        file.seek(at)
        head = file.read(20)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind in _CONTAINERS:
            at += 8  # into it: what follows its last box follows it
            continue
        if kind == b"stsz" and len(head) == 20 and head[12:16] != bytes(4):
            yield int.from_bytes(head[16:20], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8:
            return  # to the end of the file, or no MP4
        at += size
