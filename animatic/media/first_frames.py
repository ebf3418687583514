"""Similarity of a clip's first frame to the still that it was made from. Reads pictures, judges nothing.

SSIM of luma of two small pictures, in which edges count more than what is smooth. At full size an unrelated picture
would score 0.6: what makes a picture is lost among pixels that are smooth in both. Models cut the still to the clip's
aspect, and often a little more, or begin to move at once: so the frame is compared with the part of the still, of its
aspect, that it is most like.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH = 64
"""Pixels of both pictures. At 256, depths that have moved a little against each other are nothing alike."""

SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)
"""Sizes of the part of the still, as shares of the largest one."""

WINDOW, LEAST_WEIGHT = 7, 0.5
_SEARCHED = 96
_BAR_LUMA = 24
_MOST_BARS = 0.4

Luma = NDArray[np.float64]


class _Part(NamedTuple):
    """A part of the still, in its pixels."""

    left: float
    top: float
    right: float
    bottom: float


def similarity(frame: Image.Image, still: Image.Image) -> float:
    """Return the SSIM, from -1 to 1, of a frame and the part of the still that it is most like."""
    whole, original = frame.convert("L"), still.convert("L")
    views = [whole] if (lit := _without_bars(whole)) is None else [whole, lit]
    return max(
        ssim(_luma(view, view.size), _luma(original, view.size, part))
        for view in views
        for part in _parts(view, original)
    )


def ssim(one: Luma, other: Luma) -> float:
    """Return the structural similarity of two pictures of one size, values from 0 to 255, weighted by their contrast.

    Source: Wang et al. 2004, with a uniform window of 7 pixels and the constants that scikit-image takes; the weights
    are ours: with equal ones, two pictures with large smooth parts are alike whatever they show.
    """
    mean_1, mean_2 = _window_means(one), _window_means(other)
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    spread_1 = unbiased * (_window_means(one * one) - mean_1 * mean_1)
    spread_2 = unbiased * (_window_means(other * other) - mean_2 * mean_2)
    shared = unbiased * (_window_means(one * other) - mean_1 * mean_2)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    score = (2 * mean_1 * mean_2 + c1) * (2 * shared + c2)
    score /= (mean_1**2 + mean_2**2 + c1) * (spread_1 + spread_2 + c2)
    weight = np.sqrt(np.maximum(spread_1 + spread_2, 0.0)) + LEAST_WEIGHT
    return float((weight * score).sum() / weight.sum())


def _window_means(values: Luma) -> Luma:
    return _window_sums(values, (WINDOW, WINDOW)) / WINDOW**2


def _window_sums(values: Luma, window: tuple[int, int]) -> Luma:
    """Return the sum over each whole window, by running sums along both axes."""
    for axis, size in enumerate(window):
        sums = np.cumsum(np.insert(values, 0, 0.0, axis), axis)
        count = sums.shape[axis]
        values = np.take(sums, range(size, count), axis) - np.take(sums, range(count - size), axis)
    return values


def _luma(picture: Image.Image, shape: tuple[int, int], part: _Part | None = None) -> Luma:
    """Return a picture or a part of it, 64 pixels wide and of the aspect of `shape`."""
    size = (WIDTH, max(round(WIDTH * shape[1] / shape[0]), WINDOW))
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS, box=part), np.float64)


def _parts(frame: Image.Image, still: Image.Image) -> Iterator[_Part]:
    """Yield for each size the part of the still, of the frame's aspect, that correlates best with the frame."""
    aspect = frame.width / frame.height
    widest = min(still.width, still.height * aspect)
    unit = widest / _SEARCHED  # pixels of the still to one that is searched
    size = (max(round(still.width / unit), 2), max(round(still.height / unit), 2))
    searched = np.asarray(still.resize(size, Image.Resampling.BOX), np.float64)
    for share in SHARES:
        wide, high = max(round(_SEARCHED * share), 2), max(round(_SEARCHED * share / aspect), 2)
        wide, high = min(wide, size[0]), min(high, size[1])
        template = np.asarray(frame.resize((wide, high), Image.Resampling.BOX), np.float64)
        left, top = _best_place(template, searched)
        across, along = widest * share, widest * share / aspect
        x, y = min(left * unit, still.width - across), min(top * unit, still.height - along)
        yield _Part(x, y, x + across, y + along)


def _best_place(template: Luma, searched: Luma) -> tuple[int, int]:
    """Return left and top of the place where a picture correlates best with part of a larger one."""
    template = template - template.mean()
    shape = searched.shape
    spectrum = np.fft.rfft2(searched) * np.conj(np.fft.rfft2(template, shape))
    high, wide = shape[0] - template.shape[0] + 1, shape[1] - template.shape[1] + 1
    shared = np.fft.irfft2(spectrum, shape)[:high, :wide]
    sums, squares = _window_sums(searched, template.shape), _window_sums(searched**2, template.shape)
    spread = np.sqrt(np.maximum(squares - sums**2 / template.size, 1.0))
    top, left = np.unravel_index(int((shared / spread).argmax()), shared.shape)
    return int(left), int(top)


def _without_bars(grey: Image.Image) -> Image.Image | None:
    """Return a picture without the black bars at two of its sides; None where it has none."""
    values = np.asarray(grey)
    for axis in (0, 1):
        is_lit = values.max(axis=1 - axis) > _BAR_LUMA
        if not is_lit.any() or is_lit.all():
            continue
        first, last = int(is_lit.argmax()), int(len(is_lit) - is_lit[::-1].argmax())
        bars = (first, len(is_lit) - last)
        if min(bars) >= 2 and sum(bars) <= _MOST_BARS * len(is_lit):
            return grey.crop((0, first, grey.width, last) if axis == 0 else (first, 0, last, grey.height))
    return None
