"""Frames of clips that others made: decoded within bounds, and shown the right way up. Reads a local file, no address.

A clip is opened as one of a few containers, and by FFmpeg's reader of files: a playlist that is named like a clip could
have it read other files, or ask other hosts.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from PIL.Image import Image, Resampling

MOST_FRAME_PIXELS = 36_000_000
"""8K and a little more; FFmpeg refuses larger frames before it has room made for them."""

MOST_FRAMES = 20_000
"""Of one clip; ten minutes at 30 a second are 18,000."""

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,flv"
SAFELY = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file,pipe,fd"}
"""Options of FFmpeg for a clip that others made."""


@contextmanager
def opened_clip(clip: Path) -> Generator[Any]:
    """Open a clip that has a picture, as PyAV's container; errors of decoding in the block are ValueErrors too.

    Raises:
        ValueError: it cannot be read, has no picture, or too large a one; in words that follow the clip's name.
    """
    try:
        with av.open(str(clip), "r", options=SAFELY, metadata_errors="ignore") as container:
            if not container.streams.video:
                raise ValueError("has no video in it")
            stream: Any = container.streams.video[0]
            if not 0 < stream.width * stream.height <= MOST_FRAME_PIXELS:
                raise ValueError(
                    f"has frames of {stream.width} x {stream.height}, more than {MOST_FRAME_PIXELS:,} pixels"
                )
            stream.codec_context.options = {"max_pixels": str(MOST_FRAME_PIXELS)}
            stream.codec_context.thread_count = 1
            yield container
    except FFmpegError as error:
        raise ValueError(f"cannot be decoded: {error.strerror or error}") from None


def frames_of(container: Any) -> Iterator[Any]:
    """Decode the first video stream of an open clip, frame by frame.

    Raises:
        ValueError: it has more frames than a clip may have, or a frame that is too large.
    """
    for number, frame in enumerate(container.decode(container.streams.video[0])):
        if number >= MOST_FRAMES:
            raise ValueError(f"has more than {MOST_FRAMES:,} frames")
        if frame.width * frame.height > MOST_FRAME_PIXELS:
            raise ValueError(f"has frames of {frame.width} x {frame.height}, more than {MOST_FRAME_PIXELS:,} pixels")
        yield frame


def pixel_ratio(container: Any) -> float:
    """Return the width of a clip's pixels to 1 high; 1 where it says nothing that can be believed."""
    ratio = float(container.streams.video[0].sample_aspect_ratio or 1)
    return ratio if 0.1 < ratio < 10 else 1.0


def shown_size(frame: Any, ratio: float) -> tuple[int, int]:
    """Return width and height of a frame as it is shown: with square pixels, the right way up."""
    width, height = max(round(frame.width * ratio), 1), frame.height
    return (height, width) if round(frame.rotation) % 180 else (width, height)


def as_shown(frame: Any, ratio: float) -> Image:
    """Return a frame with square pixels and the right way up; `ratio` is the width of its pixels to 1 high."""
    return fitted(frame, ratio, shown_size(frame, ratio))


def fitted(frame: Any, ratio: float, box: tuple[int, int]) -> Image:
    """Return a frame as shown, made smaller so that it fits into a box, never larger."""
    width, height = shown_size(frame, ratio)
    scale = min(box[0] / width, box[1] / height, 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    turned = round(frame.rotation) % 360
    stored = (size[1], size[0]) if turned % 180 else size
    picture: Image = frame.to_image()
    if picture.size != stored:
        picture = picture.resize(stored, Resampling.BOX if scale < 0.5 else Resampling.BICUBIC, reducing_gap=2.0)
    return picture.rotate(turned, expand=True) if turned else picture
