"""Last frames of real clips: the very last picture, as players show it."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from animatic.media.last_frames import MOST_PIXELS, last_frame

pytestmark = pytest.mark.sandbox

FRAMES = 30


def clip(path: Path, *, codec: str = "libx264", gop: int = 12, ratio: Fraction | None = None, tail: int = 2) -> Path:
    """Write a clip whose frames grow lighter: the last one is the lightest."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=24, options={"g": str(gop), "bf": str(tail)} if codec != "mpeg4" else {}
        )
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        if ratio is not None:
            stream.codec_context.sample_aspect_ratio = ratio
        for number in range(FRAMES):
            picture = np.full((180, 320, 3), 8 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def shown(path: Path) -> Image.Image:
    with path.open("rb") as file:
        return Image.open(io.BytesIO(last_frame(file, path.name)))


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("gop", [1, 12, 250])
def test_the_last_frame_is_the_last_that_is_shown(tmp_path: Path, suffix: str, gop: int) -> None:
    picture = shown(clip(tmp_path / f"clip.{suffix}", gop=gop))
    assert (picture.format, picture.size) == ("PNG", (320, 180))
    assert abs(int(np.asarray(picture).mean()) - 8 * (FRAMES - 1)) <= 3


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    assert shown(clip(tmp_path / "wide.mp4", ratio=Fraction(4, 3))).size == (427, 180)


def test_a_cut_off_clip_shows_its_last_whole_frame_or_is_refused(tmp_path: Path) -> None:
    whole = clip(tmp_path / "clip.mkv", gop=1).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    picture = shown(cut)
    assert 8 < int(np.asarray(picture).mean()) < 8 * (FRAMES - 1)
    cut.write_bytes(whole[:200])
    with pytest.raises(ValueError, match=r"cut\.mkv "):
        shown(cut)


@pytest.mark.parametrize("data", [b"", b"<html>no clip</html>", b"\0" * 4_096])
def test_what_is_no_video_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.mp4").write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.mp4 cannot be decoded"):
        shown(tmp_path / "x.mp4")


def test_a_sound_without_a_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1_024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match=r"tone\.mp4 has no video in it"):
        shown(path)


def test_no_still_is_larger_than_a_picture_may_be() -> None:
    assert MOST_PIXELS >= 7_680 * 4_320
