"""Contents of a video file, read from its container without decoding. Reads, never writes."""

import io
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError


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
        with av.open(source, "r") as container:
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
