"""Contents of a video file: enough to check that a clip is the one that was asked for. Reads, never writes."""

import io
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """Properties of a clip. `frames` were decoded and counted, not read from the header."""

    codec: str
    width: int
    height: int
    fps: float
    duration_s: float
    frames: int


def probe_clip(clip: bytes | Path) -> ClipInfo:
    """Return the facts of the first video stream. Raises ValueError, with a sentence, if it is no playable video."""
    name = "the clip" if isinstance(clip, bytes) else str(clip)
    try:
        source = io.BytesIO(clip) if isinstance(clip, bytes) else str(clip)
        with av.open(source, "r") as container:
            if not container.streams.video:
                raise ValueError(f"{name} has no video in it")
            stream = container.streams.video[0]
            frames = sum(1 for _ in container.decode(stream))
            length = stream.duration * stream.time_base if stream.duration and stream.time_base else 0
            return ClipInfo(
                codec=stream.codec_context.name,
                width=stream.width,
                height=stream.height,
                fps=float(stream.average_rate or 0),
                duration_s=float(length),
                frames=frames,
            )
    except (FFmpegError, OSError) as error:
        raise ValueError(f"{name} is not a playable video: {error}") from None
