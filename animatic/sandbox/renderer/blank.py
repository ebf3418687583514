"""Blank clips, for a sandbox that renders none: real MP4 files of the right format, each with bytes of its own.

Their last part is a box that players pass over. It holds the output's name, and as many zeros as a test wants.
"""

import io
import struct
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
from PIL import Image

from animatic.sandbox.renderer.render import FRAME_SIZES

_HEAD_BYTES = 8


@lru_cache(maxsize=32)
def blank_clip(aspect_ratio: str, duration_s: int, fps: int = 1) -> bytes:
    """Return a grey clip of some frames a second."""
    width, height = FRAME_SIZES[aspect_ratio]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as clip:
        stream = clip.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "threads": "1", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        grey = np.full((height * 3 // 2, width), 128, np.uint8)
        for number in range(duration_s * fps):
            frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode(None))
    return file.getvalue()


@lru_cache(maxsize=1)
def blank_picture() -> bytes:
    """Return a grey PNG."""
    file = io.BytesIO()
    Image.new("RGB", (16, 9), (128, 128, 128)).save(file, "PNG")
    return file.getvalue()


def own_end(name: str, size_bytes: int) -> tuple[bytes, int]:
    """Return the beginning of a last box with an output's name, and the number of zeros that follow it.

    `size_bytes` is that of the whole box, if it is more than its beginning needs.
    """
    mark = name.encode()
    zeros = max(size_bytes - _HEAD_BYTES - len(mark), 0)
    return struct.pack(">I4s", _HEAD_BYTES + len(mark) + zeros, b"free") + mark, zeros
