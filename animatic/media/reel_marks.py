"""Text on pictures in YUV: white letters on a dark, see-through box. Needs no RGB, so it costs little a frame."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from animatic.media.fonts import Lettering
from animatic.media.reel_shots import Canvas, timecode

BOX_ALPHA = 150
"""Of 255: how dark the box behind letters is."""

_BLACK, _WHITE, _NO_COLOUR = 16, 235, 128

Plane = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something drawn at an even place of a picture.

    Attributes:
        luma: lightness of each pixel, 16 to 235; rows and columns are even in number.
        alpha: 0 where the picture shows through, 255 where it does not.
    """

    x: int
    y: int
    luma: Plane
    alpha: Plane


def planes_of(frame: Any) -> list[Plane]:
    """Return the three planes of a frame in yuv420p, to be read and written in place."""
    found = list[Plane]()
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        found.append(rows[: plane.height, : plane.width])
    return found


def put(frame: Any, mark: Mark) -> None:
    """Draw a mark on a frame that nothing else holds."""
    for plane, luma, alpha, (x, y) in _parts(frame, mark):
        at = plane[y : y + alpha.shape[0], x : x + alpha.shape[1]]
        share = alpha.astype(np.uint16)
        at[:] = ((at * (255 - share) + luma * share + 127) // 255).astype(np.uint8)


@contextmanager
def shown_with(frame: Any, marks: Sequence[Mark]) -> Generator[Any]:
    """Show marks on a frame for the length of the block; afterwards it is as it was."""
    before = [
        (plane, x, y, plane[y : y + alpha.shape[0], x : x + alpha.shape[1]].copy())
        for mark in marks
        for plane, _, alpha, (x, y) in _parts(frame, mark)
    ]
    for mark in marks:
        put(frame, mark)
    try:
        yield frame
    finally:
        for plane, x, y, pixels in reversed(before):
            plane[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels


def _parts(frame: Any, mark: Mark) -> list[tuple[Plane, Any, Plane, tuple[int, int]]]:
    """Return each plane with what is drawn on it: lightness, alpha, and where."""
    luma, *chroma = planes_of(frame)
    coarse = mark.alpha[::2, ::2]
    colours = [(plane, np.uint16(_NO_COLOUR), coarse, (mark.x // 2, mark.y // 2)) for plane in chroma]
    return [(luma, mark.luma.astype(np.uint16), mark.alpha, (mark.x, mark.y)), *colours]


def text_mark(
    lines: Sequence[tuple[Lettering, str]], at: tuple[int, int], size: tuple[int, int], padding: tuple[int, int]
) -> Mark:
    """Return lines of text on a box; its place and size are even, and the padding is left of the text and above it."""
    picture = Image.new("L", size)
    pen, y = ImageDraw.Draw(picture), padding[1]
    for lettering, line in lines:
        lettering.draw(pen, (padding[0], y), line, 255)
        y += lettering.line_height
    letters = np.asarray(picture)
    luma = (_BLACK + letters.astype(np.uint16) * (_WHITE - _BLACK) // 255).astype(np.uint8)
    return Mark(*at, luma, np.maximum(letters, BOX_ALPHA).astype(np.uint8))


def bar_mark(canvas: Canvas, share: float) -> Mark:
    """Return a thin bar along the lower edge that is as full as a share says."""
    height = max(canvas.height // 180 // 2 * 2, 2)
    luma = np.full((height, canvas.width), 60, np.uint8)
    luma[:, : max(round(canvas.width * share), 1)] = _WHITE - 40
    return Mark(0, canvas.height - height, luma, np.full(luma.shape, 255, np.uint8))


def unit_of(canvas: Canvas) -> float:
    """Return the scale of text on a canvas: 1 at 720 pixels of its shorter side."""
    return min(canvas.width, canvas.height) / 720


class BurnIn:
    """Marks of each frame: a label at the top left, a timecode at the top right."""

    def __init__(self, canvas: Canvas, label: str) -> None:
        self._fps = canvas.fps
        self._lettering = Lettering(max(round(24 * unit_of(canvas)), 9))
        self._padding = max(round(8 * unit_of(canvas)) // 2 * 2, 2)
        self._height = even(self._lettering.line_height + 2 * self._padding)
        self._cell = even(max(self._lettering.width_of(char) for char in "0123456789:") + 1)
        clock = 11 * self._cell
        room = max(canvas.width - clock - 4 * self._padding, 2 * self._padding + 2)
        text = self._lettering.cut(label, room - 2 * self._padding)
        place = even(self._padding)
        label_size = (even(min(self._lettering.width_of(text) + 2 * self._padding, room)), self._height)
        self._label = text_mark([(self._lettering, text)], (place, place), label_size, (self._padding, self._padding))
        self._digits = {char: self._digit(char) for char in "0123456789:"}
        self._clock_at = (max(even(canvas.width - clock - self._padding) - 2, 0), place)
        self._room = even(canvas.width - self._clock_at[0])

    def marks(self, number: int) -> list[Mark]:
        """Return the marks of a frame, counted from 0 within its shot."""
        digits = [self._digits[char] for char in timecode(number, self._fps)]
        luma = np.hstack([digit.luma for digit in digits])[:, : self._room]
        alpha = np.hstack([digit.alpha for digit in digits])[:, : self._room]
        return [self._label, Mark(*self._clock_at, luma, alpha)]

    def _digit(self, char: str) -> Mark:
        left = (self._cell - self._lettering.width_of(char)) // 2
        return text_mark([(self._lettering, char)], (0, 0), (self._cell, self._height), (left, self._padding))


def even(number: float) -> int:
    """Return a number rounded down to an even one."""
    return int(number) // 2 * 2
