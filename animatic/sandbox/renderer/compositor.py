"""Depth layers as planes of luma and chroma, drawn into a frame through moving windows. All the per-frame work is here.

Resampling works on the planes that the encoder wants (4:2:0), never on RGB, and only where a layer shows: that is what
keeps a frame at some 15 ms. Windows have sub-pixel edges, so slow moves do not jitter.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from animatic.sandbox.renderer.layers import Bytes, Layer

BAND = 80  # rows of a frame that are drawn at once: only as wide as the layer shows in them
CELL = 16  # canvas pixels to a cell of the map that says where a layer shows
GAP = 5  # cells: a narrower gap is cheaper drawn than left out
SMOOTH = Image.Resampling.HAMMING  # sharp, and without shimmer as long as the canvas is finer than the frame


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the canvas that the camera sees, in canvas pixels."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Planes:
    """A frame as the encoder wants it: `luma` (height, width), `blue` and `red` half of that each way."""

    luma: Bytes
    blue: Bytes
    red: Bytes


@dataclass(frozen=True, slots=True)
class LayerPlanes:
    """A layer ready to be drawn.

    Attributes:
        nearness: the layer's.
        luma: the luma plane; with its alpha beside it (`La`) unless this is the whole picture behind all (`L`).
        chroma: both chroma planes at half size, with the alpha as a third (`RGB`, which here only means three bytes).
        shows: per cell of CELL canvas pixels, whether any of it shows; None for the farthest.
    """

    nearness: float
    luma: Image.Image
    chroma: Image.Image
    shows: NDArray[np.bool_] | None


def sheet(layer: Layer) -> LayerPlanes:
    """Return a layer as planes in BT.709, limited range."""
    luma, blue, red = _planes(layer.rgb)
    halves = [plane.reduce(2) for plane in (blue, red)]
    if layer.alpha is None:
        return LayerPlanes(layer.nearness, luma, Image.merge("La", halves), None)
    alpha = Image.fromarray(layer.alpha)
    rows, columns = layer.alpha.shape
    padded = np.pad(layer.alpha > 0, ((0, -rows % CELL), (0, -columns % CELL)))
    shows: NDArray[np.bool_] = np.any(padded.reshape(padded.shape[0] // CELL, CELL, -1, CELL), axis=(1, 3))
    return LayerPlanes(
        layer.nearness, Image.merge("La", [luma, alpha]), Image.merge("RGB", [*halves, alpha.reduce(2)]), shows
    )


def fit(layer: Layer, path: list[Window], size: tuple[int, int]) -> tuple[Layer, list[Window]]:
    """Resample the layer and its windows once and for all along an axis along which they never move or grow.

    A pan or a crane is then resampled along one axis only in every frame, which halves the work.
    """
    first = path[0]
    if all(window.top == first.top and window.bottom == first.bottom for window in path):
        box = (0.0, first.top, float(layer.rgb.shape[1]), first.bottom)
        target = (layer.rgb.shape[1], size[1])
        path = [Window(window.left, 0.0, window.right, float(size[1])) for window in path]
    elif all(window.left == first.left and window.right == first.right for window in path):
        box = (first.left, 0.0, first.right, float(layer.rgb.shape[0]))
        target = (size[0], layer.rgb.shape[0])
        path = [Window(0.0, window.top, float(size[0]), window.bottom) for window in path]
    else:
        return layer, path
    box = (max(0.0, box[0]), max(0.0, box[1]), min(layer.rgb.shape[1], box[2]), min(layer.rgb.shape[0], box[3]))
    rgb = np.asarray(Image.fromarray(layer.rgb).resize(target, SMOOTH, box=box))
    alpha = None if layer.alpha is None else np.asarray(Image.fromarray(layer.alpha).resize(target, SMOOTH, box=box))
    return Layer(layer.nearness, rgb, alpha), path


def _planes(rgb: Bytes) -> tuple[Image.Image, Image.Image, Image.Image]:
    red, green, blue = (rgb[..., i].astype(np.float32) / 255 for i in range(3))
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    planes = (16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748)
    first, second, third = (Image.fromarray((plane + 0.5).astype(np.uint8)) for plane in planes)
    return first, second, third


def draw(sheets: list[LayerPlanes], windows: list[Window], size: tuple[int, int]) -> Planes:
    """Draw a frame of (width, height), both even: each sheet seen through its window, farthest first."""
    height = size[1]
    planes = _backdrop(sheets[0], windows[0], size)
    for near, window in zip(sheets[1:], windows[1:], strict=True):
        for top in range(0, height, BAND):
            bottom = min(top + BAND, height)
            for left, right in _spans(near, window, size, (top, bottom)):
                box = (left, top, right, bottom)
                _lay(planes, near, _part(window, size, box), box)
    return planes


def _backdrop(far: LayerPlanes, window: Window, size: tuple[int, int]) -> Planes:
    luma = np.array(_seen(far.luma, window, size))
    chroma = np.array(_seen(far.chroma, _half(window), (size[0] // 2, size[1] // 2)))
    return Planes(luma, chroma[..., 0].copy(), chroma[..., 1].copy())


def _spans(near: LayerPlanes, window: Window, size: tuple[int, int], rows: tuple[int, int]) -> list[tuple[int, int]]:
    """From which even column to which a sheet shows in some rows of the frame, wide gaps left out."""
    if near.shows is None:
        return [(0, size[0])]
    per_column, per_row = (window.right - window.left) / size[0], (window.bottom - window.top) / size[1]
    first, last = (int((window.top + row * per_row) // CELL) for row in (rows[0] - 2, rows[1] + 2))
    columns = np.flatnonzero(near.shows[max(0, first) : last + 1].any(0))
    spans: list[tuple[int, int]] = []
    for run in np.split(columns, np.flatnonzero(np.diff(columns) > GAP) + 1):
        if run.size:
            left = max(0, int((run[0] * CELL - window.left) / per_column) - 3) // 2 * 2
            right = min(size[0], (int(((run[-1] + 1) * CELL - window.left) / per_column) + 4) // 2 * 2)
            if left < right:
                spans.append((left, right))
    return spans


def _part(window: Window, size: tuple[int, int], box: tuple[int, int, int, int]) -> Window:
    per_column, per_row = (window.right - window.left) / size[0], (window.bottom - window.top) / size[1]
    return Window(
        window.left + box[0] * per_column,
        window.top + box[1] * per_row,
        window.left + box[2] * per_column,
        window.top + box[3] * per_row,
    )


def _half(window: Window) -> Window:
    return Window(window.left / 2, window.top / 2, window.right / 2, window.bottom / 2)


def _seen(image: Image.Image, window: Window, size: tuple[int, int]) -> Image.Image:
    box = (
        max(0.0, window.left),
        max(0.0, window.top),
        min(float(image.width), window.right),
        min(float(image.height), window.bottom),
    )
    return image.resize(size, SMOOTH, box=box)


def _lay(planes: Planes, near: LayerPlanes, window: Window, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    luma = np.asarray(_seen(near.luma, window, (right - left, bottom - top)))
    _blend(planes.luma[top:bottom, left:right], luma[..., 0], luma[..., 1])
    half = (slice(top // 2, bottom // 2), slice(left // 2, right // 2))
    chroma = np.asarray(_seen(near.chroma, _half(window), ((right - left) // 2, (bottom - top) // 2)))
    _blend(planes.blue[half], chroma[..., 0], chroma[..., 2])
    _blend(planes.red[half], chroma[..., 1], chroma[..., 2])


def _blend(under: Bytes, over: Bytes, alpha: Bytes) -> None:
    """`over` on `under`, in place; exact in sixteen bits."""
    total = over.astype(np.uint16) * alpha
    total += under * (255 - alpha).astype(np.uint16)
    total += 128
    total += total >> 8
    np.right_shift(total, 8, out=total)
    under[...] = total


def rolled(planes: Planes, angle: float, margin: int) -> Planes:
    """Turn the frame clockwise by a small angle (radians) about its middle, `margin` pixels smaller on each side."""
    return Planes(
        _turned(planes.luma, angle, margin),
        _turned(planes.blue, angle, margin // 2),
        _turned(planes.red, angle, margin // 2),
    )


def _turned(plane: Bytes, angle: float, margin: int) -> Bytes:
    """Turn by a small angle with two shears, each a shift by a fraction of a pixel that is constant along one axis."""
    sheared = _sheared(plane, angle, margin)
    return np.ascontiguousarray(_sheared(np.ascontiguousarray(sheared.T), -angle, margin).T)


def _sheared(plane: Bytes, slope: float, margin: int) -> Bytes:
    height, width = plane.shape[0], plane.shape[1] - 2 * margin
    shift = margin + slope * (np.arange(height) - (height - 1) / 2)
    whole = np.floor(shift).astype(np.int64)
    weight = np.round((shift - whole) * 256).astype(np.uint16)[:, None]
    result = np.empty((height, width), np.uint8)
    edges = [0, *(np.flatnonzero(np.diff(whole)) + 1), height]
    for start, stop in pairwise(edges):
        rows, at = slice(start, stop), int(whole[start])
        share = weight[rows]
        mixed = plane[rows, at : at + width] * (256 - share)
        mixed += plane[rows, at + 1 : at + 1 + width] * share
        result[rows] = (mixed + 127) >> 8
    return result
