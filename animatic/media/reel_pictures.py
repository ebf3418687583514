"""Pictures of one segment of a reel, in yuv420p on the reel's canvas: of a clip, or of a slate that moves."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from PIL import Image

from animatic.media.fonts import Lettering
from animatic.media.frames import frames_of, opened_clip, pixel_ratio, shown_size
from animatic.media.reel_marks import Mark, bar_mark, even, planes_of, shown_with, text_mark, unit_of
from animatic.media.reel_shots import MOST_SHOT_S, Canvas, SegmentSpec, fitting, picture_at
from animatic.media.strips import load_still

PUSH_IN = 0.08
"""Share of a still's width that its slate loses while it lasts."""

CARD_LUMA, _BLACK, _NO_COLOUR = 40, 16, 128
PROMPT_LINES = 4

_HD_FROM = 720
"""Clips whose shorter side has so many pixels and that do not say what their colours mean are taken for BT.709."""


def pictures_of_clip(clip: Path, canvas: Canvas) -> Iterator[tuple[Any, int]]:
    """Yield pictures of a clip and how often each is shown, at the canvas's rate, undistorted on black.

    Raises:
        ValueError: it cannot be decoded, or is longer than a shot may be; in words that follow its name.
    """
    with opened_clip(clip) as container:
        stream = container.streams.video[0]
        ratio, usual = pixel_ratio(container), 1 / Fraction(stream.average_rate or canvas.fps)
        conformer = Conformer(canvas, ratio)
        for frame, times in _paced(frames_of(container), canvas.fps, usual):
            yield conformer.conform(frame), times


def _paced(frames: Iterable[Any], fps: Fraction, usual: Fraction) -> Iterator[tuple[Any, int]]:
    """Yield frames with the number of pictures that show each; a frame that has no picture of its own is left out.

    A frame without a moment comes `usual` seconds after the one before it, and the last is shown as long as it says.
    """
    held, held_at, start, shown = None, Fraction(-1), None, 0
    for frame in frames:
        stated = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        start = stated if start is None else start
        at = held_at + usual if stated is None or start is None else stated - start
        if held is None:
            held, held_at = frame, Fraction(0)
            continue
        if at <= held_at:
            continue
        until = _within_bounds(at, fps)
        if until > shown:
            yield held, until - shown
            shown = until
        held, held_at = frame, at
    if held is None:
        raise ValueError("has no frame that can be decoded")
    lasts = held.duration * held.time_base if held.duration and held.time_base else usual
    until = max(_within_bounds(held_at + min(lasts, 2 * usual), fps), 1)
    if until > shown:
        yield held, until - shown


def _within_bounds(seconds: Fraction, fps: Fraction) -> int:
    if seconds > MOST_SHOT_S:
        raise ValueError(f"is longer than {MOST_SHOT_S} s")
    return picture_at(seconds, fps)


class Conformer:
    """Puts frames on a canvas: square pixels, the right way up, as large as they go, BT.709 in TV range.

    Args:
        ratio: width of the frames' pixels to 1 high.
    """

    def __init__(self, canvas: Canvas, ratio: float) -> None:
        self._canvas, self._ratio = canvas, ratio
        self._reformatter = VideoReformatter()

    def conform(self, frame: Any) -> Any:
        """Return a new frame that nothing else holds."""
        turned = round(frame.rotation) % 360 // 90
        width, height = fitting(shown_size(frame, self._ratio), self._canvas)
        stored = (height, width) if turned % 2 else (width, height)
        scaled = self._reformatter.reformat(
            frame, *stored, "yuv420p",
            src_colorspace=self._colorspace(frame), dst_colorspace=Colorspace.ITU709,
            src_color_range=_range_of(frame), dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC, threads=1,
        )  # fmt: skip
        picture = blank(self._canvas, _BLACK)
        x, y = even((self._canvas.width - width) / 2), even((self._canvas.height - height) / 2)
        for number, (into, plane) in enumerate(zip(planes_of(picture), planes_of(scaled), strict=True)):
            upright = np.rot90(plane, turned)
            left, top = (x, y) if number == 0 else (x // 2, y // 2)
            into[top : top + upright.shape[0], left : left + upright.shape[1]] = upright
        return picture

    def _colorspace(self, frame: Any) -> Colorspace:
        if "rgb" in frame.format.name or frame.colorspace == Colorspace.ITU709:
            return Colorspace.ITU709
        if frame.colorspace in {Colorspace.ITU601, Colorspace.FCC, Colorspace.SMPTE240M}:
            return Colorspace(frame.colorspace)
        return Colorspace.ITU709 if min(frame.width, frame.height) >= _HD_FROM else Colorspace.ITU601


def _range_of(frame: Any) -> ColorRange:
    is_full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith(("yuvj", "rgb", "gbr", "bgr"))
    return ColorRange.JPEG if is_full else ColorRange.MPEG


def blank(canvas: Canvas, luma: int) -> Any:
    """Return a new grey picture."""
    picture = VideoFrame(canvas.width, canvas.height, "yuv420p")
    for plane, value in zip(planes_of(picture), (luma, _NO_COLOUR, _NO_COLOUR), strict=True):
        plane[:] = value
    return picture


def pictures_of_slate(spec: SegmentSpec, still: Path | None) -> Iterator[tuple[Any, int]]:
    """Yield the pictures of a slate: a slow push-in on its still, or a card; text, and a bar that grows.

    Raises:
        ValueError: the still cannot be decoded.
    """
    canvas = spec.canvas
    text = _text_of(spec, is_card=still is None)
    picture = None if still is None else _loaded(still, canvas)
    size = None if picture is None else fitting(picture.size, canvas)
    conformer = Conformer(canvas, 1.0)
    for number in range(spec.pictures):
        share = number / max(spec.pictures - 1, 1)
        if picture is None or size is None:
            frame = blank(canvas, CARD_LUMA)
        else:
            cut = PUSH_IN * share / 2
            box = (picture.width * cut, picture.height * cut, picture.width * (1 - cut), picture.height * (1 - cut))
            frame = conformer.conform(VideoFrame.from_image(picture.resize(size, Image.Resampling.HAMMING, box=box)))
        with shown_with(frame, [*text, bar_mark(canvas, (number + 1) / spec.pictures)]):
            yield frame, 1


def _loaded(still: Path, canvas: Canvas) -> Image.Image:
    box = (round(canvas.width / (1 - PUSH_IN)), round(canvas.height / (1 - PUSH_IN)))
    with still.open("rb") as file:
        return load_still(file, box)


def _text_of(spec: SegmentSpec, *, is_card: bool) -> list[Mark]:
    """Return the text of a slate in a box: below on a still, in the middle of a card."""
    canvas, unit = spec.canvas, unit_of(spec.canvas)
    padding = max(round(28 * unit), 4)
    width = canvas.width - 2 * padding
    title, small = Lettering(max(round(34 * unit), 10), is_bold=True), Lettering(max(round(24 * unit), 9))
    lines: Sequence[tuple[Lettering, str]] = [
        (title, title.cut(spec.title, width)),
        *((small, line) for line in small.wrapped(spec.status, width, 2)),
        *((small, line) for line in small.wrapped(spec.prompt, width, PROMPT_LINES)),
    ]
    height = min(even(sum(lettering.line_height for lettering, _ in lines) + 1.5 * padding), canvas.height)
    top = (canvas.height - height) // 2 if is_card else canvas.height - height
    return [text_mark(lines, (0, even(top)), (canvas.width, height), (padding, padding // 2))]
