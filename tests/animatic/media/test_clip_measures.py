"""Measures of real clips, each with one kind of damage; and files that are no clips."""

import io
from collections.abc import Callable, Iterable
from dataclasses import asdict

import av
import numpy as np
import pytest
from PIL import Image

from animatic.media.clip_measures import UndecodableError, measure
from animatic.media.frames import MOST_FRAME_PIXELS

FPS, FRAMES = 24, 48
RNG = np.random.default_rng(3)
CANVAS, OTHER = (
    np.asarray(Image.fromarray(RNG.uniform(0, 255, (30, 60, 3)).astype(np.uint8)).resize((640, 320))) for _ in range(2)
)
BLACK = np.zeros((180, 320, 3), np.uint8)


def moving(number: int, canvas: np.ndarray = CANVAS) -> np.ndarray:
    return canvas[40:220, 2 * number : 2 * number + 320]


def clip(frames: Iterable[np.ndarray], *, rate: int = FPS, container: str = "mp4", codec: str = "libx264") -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as made:
        stream = None
        options = {"preset": "veryfast", "threads": "1"} if codec == "libx264" else {}
        for each in frames:
            if stream is None:
                stream = made.add_stream(codec, rate=rate, options=options)
                stream.height, stream.width = each.shape[:2]
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            made.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(each), format="rgb24")))
        assert stream is not None
        made.mux(stream.encode(None))
    return file.getvalue()


GOOD = clip(moving(number) for number in range(FRAMES))


def measured(data: bytes, still: Image.Image | None = None) -> dict[str, float]:
    return asdict(measure(io.BytesIO(data), "mov", still))


def stretch(start: float, end: float, instead: Callable[[int], np.ndarray]) -> bytes:
    """A clip with other frames in a share of its time."""
    return clip(instead(n) if start <= n / FRAMES < end else moving(n) for n in range(FRAMES))


def test_a_good_clip_is_neither_black_nor_frozen_nor_cut() -> None:
    found = measured(GOOD, Image.fromarray(moving(0)))
    assert found["first_frame_similarity"] > 0.9
    assert (found["black_fraction"], found["frozen_fraction"], found["cuts"]) == (0, 0, 0)
    assert found["duration_s"] == pytest.approx(2.0)
    assert (found["width"], found["height"]) == (320, 180)
    assert found["motion"] > 1


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.25), (0.25, 0.5), (0.5, 1.0), (0.0, 1.0)])
def test_black_counts_to_the_last_frame_and_is_not_frozen(start: float, end: float) -> None:
    found = measured(stretch(start, end, lambda _: BLACK))
    assert found["black_fraction"] == pytest.approx(end - start, abs=0.02)
    assert (found["frozen_fraction"], found["cuts"]) == (0, 0)


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.0, 1.0)])
def test_frozen_counts_to_the_last_frame(start: float, end: float) -> None:
    found = measured(stretch(start, end, lambda _: moving(round(start * FRAMES))))
    assert found["frozen_fraction"] == pytest.approx(end - start, abs=0.06)
    assert found["black_fraction"] == 0


def test_a_freeze_of_just_the_shortest_length_does_not_reach_the_end() -> None:
    found = measured(clip(moving(max(n - 13, 0)) for n in range(FRAMES)))
    assert found["frozen_fraction"] == pytest.approx(14 / FRAMES, abs=0.06)


def test_cuts_are_counted_and_a_fade_to_black_is_none() -> None:
    assert measured(stretch(0.25, 0.5, lambda n: moving(n, OTHER)))["cuts"] == 2
    fading = clip((moving(n) * max(1 - n / 40, 0)).astype(np.uint8) for n in range(FRAMES))
    assert measured(fading)["cuts"] == 0


def test_the_first_frame_is_held_against_the_still() -> None:
    assert measured(GOOD, Image.fromarray(moving(0, OTHER)))["first_frame_similarity"] < 0.5
    assert measured(GOOD)["first_frame_similarity"] is None


def test_one_frame_and_one_frame_a_second_are_measured_too() -> None:
    assert measured(clip([moving(0)]))["duration_s"] == pytest.approx(1 / FPS)
    slow = measured(clip((moving(0) for _ in range(5)), rate=1))
    assert (slow["duration_s"], slow["frozen_fraction"]) == (pytest.approx(5.0), pytest.approx(1.0))


def overwritten(data: bytes, by: bytes) -> bytes:
    at = data.rfind(b"mdat") + (len(data) - data.rfind(b"mdat")) // 3
    return data[:at] + by + data[at + len(by) :]


def sound_only() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as made:
        stream = made.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\x20ftypisom" + bytes(100),
        b"#EXTM3U\nfile:///etc/passwd\n",
        GOOD[: len(GOOD) // 2],
        overwritten(GOOD, np.random.default_rng(1).bytes(1_500)),
        overwritten(GOOD, bytes(1_500)),
        sound_only(),
    ],
    ids=["empty", "header only", "playlist", "cut off", "noise within", "zeros within", "sound only"],
)
def test_what_is_no_whole_video_cannot_be_decoded(data: bytes) -> None:
    with pytest.raises(UndecodableError):
        measured(data)


def test_another_format_than_the_suffix_says_is_not_tried() -> None:
    mkv = clip((moving(n) for n in range(5)), container="matroska")
    assert asdict(measure(io.BytesIO(mkv), "matroska"))["width"] == 320
    with pytest.raises(UndecodableError):
        measured(mkv)


def test_bounds_of_pixels_and_frames_hold() -> None:
    huge = clip((np.zeros((4_400, 8_400, 3), np.uint8) for _ in range(1)), codec="mjpeg")
    assert MOST_FRAME_PIXELS < 8_400 * 4_400
    with pytest.raises(UndecodableError, match="more than 36,000,000 pixels"):
        measured(huge)
    with pytest.raises(UndecodableError, match="more than 47 frames"):
        measure(io.BytesIO(GOOD), "mov", most_frames=FRAMES - 1)
    assert measure(io.BytesIO(GOOD), "mov", most_frames=FRAMES).cuts == 0
