"""Rules of reels: which canvas, which pictures, which segment is which."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.media.reel_shots import (
    Canvas,
    ReelClip,
    ReelShot,
    SegmentSpec,
    choose_canvas,
    fitting,
    near_rate,
    read_fps,
    read_size,
    slate_pictures,
    timecode,
)

HD = Canvas(1280, 720, Fraction(24))
NTSC = Fraction(30_000, 1_001)


def shot(width: int | None = None, height: int | None = None, fps: float | None = None, **more: bool) -> ReelShot:
    clip = None if width is None else ReelClip("file:///clip.mp4", "0" * 64, width, height, fps)
    return ReelShot("S01", 1, clip, None, "prompt", "", **more)


def test_most_clips_decide_size_and_rate_apart() -> None:
    shots = [shot(1280, 720, 24.0), shot(1280, 720, 25.0), shot(1920, 1080, 25.0)]
    assert choose_canvas(shots, None, None) == Canvas(1280, 720, Fraction(25))


def test_of_equally_common_sizes_the_larger_wins() -> None:
    shots = [shot(1280, 720, 24.0), shot(1920, 1080, 30.0)]
    assert choose_canvas(shots, None, None) == Canvas(1920, 1080, Fraction(30))


def test_what_is_asked_for_wins() -> None:
    assert choose_canvas([shot(1280, 720, 24.0)], (640, 360), Fraction(25)) == Canvas(640, 360, Fraction(25))


def test_without_clips_a_reel_lies_as_its_shots_do() -> None:
    assert choose_canvas([shot()], None, None) == HD
    assert choose_canvas([shot(is_upright=True)] * 2 + [shot()], None, None) == Canvas(720, 1280, Fraction(24))


def test_odd_sizes_become_even() -> None:
    canvas = choose_canvas([shot(853, 481, 24.0)], None, None)
    assert (canvas.width % 2, canvas.height % 2) == (0, 0)
    assert abs(canvas.width - 853) <= 1 >= abs(canvas.height - 481)


@pytest.mark.parametrize(
    ("fps", "rate"),
    [(23.976, Fraction(24_000, 1_001)), (24.0, 24), (29.97003, NTSC), (12.0, 12), (23.4, 23), (0.2, 1), (1e9, 60)],
)
def test_rates_are_read_as_those_of_film_and_television(fps: float, rate: Fraction) -> None:
    assert near_rate(fps) == rate


@pytest.mark.parametrize(("text", "rate"), [("25", 25), ("23.976", Fraction(24_000, 1_001)), ("30000/1001", NTSC)])
def test_a_rate_may_be_typed_in_any_usual_way(text: str, rate: Fraction) -> None:
    assert read_fps(text) == rate


@pytest.mark.parametrize("text", ["", "0", "61", "fast", "24/0", "23.5", "-24", "1e9", "nan", "9" * 5_000])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: 1 to 60"):
        read_fps(text)


@pytest.mark.parametrize(
    "text", ["", "1280", "1280x", "x720", "1281x720", "32x32", "9999x9999", "1280×720", "-2x-2", "²x²"]
)
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: WIDTHxHEIGHT"):
        read_size(text)


def test_a_size_is_read() -> None:
    assert read_size("1920X1080") == (1920, 1080)


@given(st.integers(16, 8_000), st.integers(16, 8_000))
def test_a_fitted_picture_fills_one_side_and_keeps_its_shape(width: int, height: int) -> None:
    found = fitting((width, height), HD)
    assert found[0] == HD.width or found[1] == HD.height
    assert found[0] <= HD.width
    assert found[1] <= HD.height
    assert all(side % 2 == 0 for side in found)
    exact = min(Fraction(HD.width, width), Fraction(HD.height, height))
    assert max(abs(found[0] - width * exact), abs(found[1] - height * exact)) <= 2


@pytest.mark.parametrize(
    ("number", "fps", "shown"),
    [(0, 24, "00:00:00:00"), (95, 24, "00:00:03:23"), (96, 24, "00:00:04:00"), (30, NTSC, "00:00:01:00"),
     (25 * 3_661, 25, "01:01:01:00")],
)  # fmt: skip
def test_timecodes_count_frames_from_the_start(number: int, fps: Fraction, shown: str) -> None:
    assert timecode(number, Fraction(fps)) == shown


@pytest.mark.parametrize(("wished_s", "pictures"), [(5.0, 120), (0.0, 24), (-1.0, 24), (1e9, 180 * 24)])
def test_slates_are_as_long_as_asked_within_bounds(wished_s: float, pictures: int) -> None:
    assert slate_pictures(wished_s, Fraction(24)) == pictures


def test_a_segment_is_another_one_if_anything_in_it_is() -> None:
    spec = SegmentSpec(HD, "software 1", media_sha256="ab", prompt="a prompt with a lone \ud800", pictures=24)
    others = [
        replace(spec, canvas=replace(HD, width=640)),
        replace(spec, canvas=replace(HD, fps=Fraction(25))),
        replace(spec, software="software 2"),
        replace(spec, is_slate=True),
        replace(spec, media_sha256="cd"),
        replace(spec, label="S01"),
        replace(spec, title="S01"),
        replace(spec, status="failed"),
        replace(spec, prompt="another"),
        replace(spec, pictures=25),
    ]
    assert len({each.key for each in [spec, replace(spec), *others]}) == 1 + len(others)


@pytest.mark.parametrize("size", [(2**31 - 1, 1), (1, 2**31 - 1), (-5, 720), (7_680, 4_320), (20, 20)])
@pytest.mark.parametrize("fps", [math.nan, math.inf, -1.0, 1e300, 1e-300])
def test_a_canvas_stays_within_bounds_whatever_a_table_says(size: tuple[int, int], fps: float) -> None:
    canvas = choose_canvas([shot(*size, fps)], None, None)
    assert all(64 <= side <= 3_840 and side % 2 == 0 for side in (canvas.width, canvas.height))
    assert 1 <= canvas.fps <= 60
