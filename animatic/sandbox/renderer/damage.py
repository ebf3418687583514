"""Damage that models do to clips, done on purpose: the same clip, but black for a while, frozen, cut, and so on."""

import io
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from animatic.sandbox.renderer.render import ENCODER
from animatic.sandbox.scenarios import ClipDamage

Picture = NDArray[np.uint8]
BLACK_FROM, BLACK_TO, FROZEN_FROM, CUT_AT, SHORTER_BY = 0.4, 0.6, 0.3, 0.5, 0.3
"""Shares of the clip."""

BROKEN_FROM, BROKEN_TO = 0.3, 0.6
"""Shares of the data."""


def damaged(clip: bytes, damage: ClipDamage) -> bytes:
    """Return an MP4 with this damage done to it."""
    if damage is ClipDamage.BROKEN:
        return _broken(clip)
    out = io.BytesIO()
    with (
        av.open(io.BytesIO(clip), "r") as source,
        av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as made,
    ):
        video = source.streams.video[0]
        count, rate = video.frames, video.average_rate or Fraction(24)
        stream: Any = None
        for number, picture in enumerate(_pictures(source.decode(video), count, damage)):
            if stream is None:
                stream = made.add_stream("libx264", rate=rate, options=ENCODER)
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return out.getvalue()


def _pictures(  # noqa: C901 - a case for each
    frames: Iterator[Any], count: int, damage: ClipDamage
) -> Iterator[Picture]:
    held: Picture | None = None
    for number, frame in enumerate(frames):
        share = number / count
        picture: Picture = frame.to_ndarray(format="rgb24")
        match damage:
            case ClipDamage.BLACK:
                yield picture * 0 if BLACK_FROM <= share < BLACK_TO else picture
            case ClipDamage.FROZEN:
                held = picture if held is None or share < FROZEN_FROM else held
                yield held
            case ClipDamage.CUT:
                yield picture if share < CUT_AT else picture[::-1]
            case ClipDamage.OTHER:
                yield picture[::-1]
            case ClipDamage.SHORTER:
                if share < 1 - SHORTER_BY:
                    yield picture
            case ClipDamage.SMALL:
                yield frame.to_ndarray(format="rgb24", width=frame.width // 4 * 2, height=frame.height // 4 * 2)
            case ClipDamage.SQUARE:
                side = min(picture.shape[:2])
                top, left = ((length - side) // 2 for length in picture.shape[:2])
                yield picture[top : top + side, left : left + side]
            case ClipDamage.BROKEN:
                yield picture


def _broken(clip: bytes) -> bytes:
    """Put noise in place of a part of the coded pictures; all that stands around them stays."""
    start, end = clip.rfind(b"mdat") + 4, len(clip)
    if clip.find(b"moov", start) > 0:
        end = clip.find(b"moov", start) - 4
    first, last = (start + round((end - start) * share) for share in (BROKEN_FROM, BROKEN_TO))
    return clip[:first] + random.Random(len(clip)).randbytes(last - first) + clip[last:]  # noqa: S311 - no secret
