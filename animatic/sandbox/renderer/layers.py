"""A still taken apart into depth layers, so that a camera can move through it.

How deep a still is has to be guessed from how pictures are made: what stands near is darker (or, where the
ground itself is bright, brighter) than what lies behind it, runs out of the frame, and has hard edges. What does not
convince stays in the picture behind: no layer is better than a torn one. Behind each layer lies a plate in which
it was painted out, so that what a move uncovers is a soft continuation and not a ghost.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

NEARNESS = (0.5, 0.75, 1.0)  # of the farthest layer, the middle and the nearest: shallow, so that little is uncovered
COARSE = 5  # depth is judged on a picture this many times smaller
PLATE = 3  # what lies behind is painted this many times smaller
MIN_SHARE = 0.015  # a layer smaller than this share of the picture is not worth its edges
MAX_SHARE = 0.5
MIN_PIECE_SHARE = 0.0015
MIN_EDGE = 0.06  # a hard edge: the square root of brightness changes by this much, of 0..1, from pixel to pixel
MIN_HARD = 0.8  # how much of the outline of what stands on the picture's foot must be hard
MIN_HARD_ABOVE = 0.9  # the same for what only hangs into it: a roof, but not a dark sky
MIN_SOLID = 0.62  # of a middle layer's pixels, how many must not lie on its outline
MIN_FOOT = 0.08  # how much of the picture's foot must be near
GOOD_SHARE = 0.10  # a layer this large is as good as a larger one


@dataclass(frozen=True, slots=True)
class Layer:
    """One sheet of the picture, all arrays of the canvas's size.

    Attributes:
        nearness: 1 for what is nearest, smaller for what is farther; how strongly it answers to the camera.
        rgb: (height, width, 3); what is nearer has been painted out.
        alpha: (height, width), 0..255: where the sheet covers what is behind it; None for the farthest, which is whole.
    """

    nearness: float
    rgb: Bytes
    alpha: Bytes | None


def split_layers(rgb: Bytes) -> list[Layer]:
    """Split a picture into layers, farthest first: one to three."""
    height, width = rgb.shape[:2]
    coarse = (max(8, width // COARSE), max(8, height // COARSE))
    small = Image.fromarray(rgb).resize((coarse[0] * 2, coarse[1] * 2), Image.Resampling.BOX)
    luma = _luma(np.asarray(small.reduce(2)))
    thin = small.convert("L").filter(ImageFilter.MinFilter(3))  # so that a dark line one pixel wide is not lost
    light = np.sqrt(
        np.asarray(thin, dtype=np.float32)[::2, ::2] / 255
    )  # an edge in the dark counts like one in the light
    edge = _hardness(np.sqrt(luma))
    near = _foreground(light, edge, np.zeros(luma.shape, np.bool_))
    middle = _foreground(light, edge, near) if near.any() else near
    if not _solid(middle & ~near):
        middle = np.zeros_like(near)
    masks = [mask for mask in (middle, near) if mask.any()]
    if not masks:
        return [Layer(NEARNESS[1], rgb, None)]
    nearness = NEARNESS[::2] if len(masks) == 1 else NEARNESS
    fine = _luma(rgb)
    mattes = [_matte(mask, luma, fine) for mask in masks]
    layers = [Layer(nearness[-1], rgb, mattes[-1])]
    for depth in range(len(masks) - 1, -1, -1):
        covered = np.maximum.reduce(mattes[depth:])
        plate = _paint_out(rgb, covered)
        layers.append(Layer(nearness[depth], plate, mattes[depth - 1] if depth else None))
    return layers[::-1]


def _luma(rgb: Bytes) -> Floats:
    return (rgb @ np.array([0.299, 0.587, 0.114], np.float32) / 255).astype(np.float32)


# -- which parts are near -----------------------------------------------------------------------------------------


def _foreground(light: Floats, edge: Floats, known: Mask) -> Mask:
    """Return the foreground, `known` (already nearer) included; empty where nothing convinces.

    The brightness at which the picture parts best is the one whose contour runs along hard edges: of a silhouette, not
    somewhere in a glow.
    """
    best, best_score = np.zeros(light.shape, np.bool_), 0.0
    darkest = float(light[known].max()) if known.any() else 0.0
    for level in np.linspace(max(0.16, darkest), 0.8, 18):
        side = light < level if known.any() or not _bright_ground(light, level) else light >= level
        if float(side[-side.shape[0] // 8 :].mean()) < MIN_FOOT:
            continue
        candidate, hard = _convincing(side | known, edge, known)
        grown = float((candidate & ~known).mean())
        score = hard * min(1.0, grown / GOOD_SHARE) ** 0.3 * (1.0 - 0.4 * level)
        if grown >= MIN_SHARE and candidate.mean() <= MAX_SHARE and score > best_score:
            best, best_score = candidate, score
    return _without_holes(best)


def _solid(mask: Mask) -> bool:
    """Tell if a mask is more than bars and wires, which would tear themselves out of what they hold."""
    return float(_eroded(mask).sum()) >= MIN_SOLID * max(1.0, float(mask.sum()))


def _bright_ground(light: Floats, level: float) -> bool:
    """Tell if the picture stands on something bright under something dark: snow, sand, a lit stage."""
    rows = light.shape[0]
    foot, head = light[-rows // 6 :], light[: rows // 3]
    return float((foot >= level).mean()) > 0.8 and float((head >= level).mean()) < 0.35


def _convincing(candidates: Mask, edge: Floats, known: Mask) -> tuple[Mask, float]:
    """Return the pieces that run out of the frame and have hard outlines, and how hard these are, 0..1."""
    labels = _pieces(_grown(candidates)) * candidates  # a gap of a line of light does not part what belongs together
    count = int(labels.max()) + 1
    outline = candidates & ~_eroded(candidates) & ~_grown(known)
    length = np.bincount(labels[outline], minlength=count)
    hard = np.bincount(labels[outline & (edge >= MIN_EDGE)], minlength=count) / np.maximum(length, 1)
    large = np.bincount(labels.ravel(), minlength=count) >= MIN_PIECE_SHARE * labels.size
    take_status, hanging = (np.isin(np.arange(count), border) for border in (labels[-1], (labels[0])))
    sideways = np.isin(np.arange(count), np.concatenate([labels[:, 0], labels[:, -1]]))
    needed = np.where(take_status, MIN_HARD, MIN_HARD_ABOVE)
    chosen = large & (length > 0) & (hard >= needed) & (take_status | hanging | sideways)
    chosen[0] = False
    total = max(1, int(length[chosen].sum()))
    return chosen[labels] | known, float((hard * length)[chosen].sum()) / total


def _pieces(mask: Mask) -> NDArray[np.int64]:
    """Label connected pieces of a mask: the same positive number within each, 0 outside."""
    padded = np.pad(mask, ((0, 0), (1, 1))).ravel()
    starts = padded[1:] & ~padded[:-1]
    runs = np.concatenate([[0], np.cumsum(starts)]) * padded
    rows = runs.reshape(mask.shape[0], -1)
    touching = (rows[1:] > 0) & (rows[:-1] > 0)
    name = np.arange(int(runs.max()) + 1)
    pairs = np.divmod(np.unique(rows[1:][touching] * len(name) + rows[:-1][touching]), len(name))
    while True:
        least = np.minimum(name[pairs[0]], name[pairs[1]])
        after = name.copy()
        np.minimum.at(after, pairs[0], least)
        np.minimum.at(after, pairs[1], least)
        after = after[after]
        if np.array_equal(after, name):
            return after[rows[:, 1:-1]]
        name = after


def _hardness(light: Floats) -> Floats:
    """Return how much brightness changes between each pixel's neighbours."""
    image = Image.fromarray((light * 255).astype(np.uint8)).filter(ImageFilter.MedianFilter(3))
    change = np.asarray(image.filter(ImageFilter.MaxFilter(3)), dtype=np.float32)
    return (change - np.asarray(image.filter(ImageFilter.MinFilter(3)), dtype=np.float32)) / 255


def _grown(mask: Mask) -> Mask:
    padded = np.pad(mask, 1)
    return padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:] | mask


def _eroded(mask: Mask) -> Mask:
    padded = np.pad(mask, 1, constant_values=True)
    return padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & mask


def _without_holes(mask: Mask) -> Mask:
    """Lamps and lit windows belong to what they sit in; a large opening does not."""
    labels = _pieces(~mask)
    sizes = np.bincount(labels.ravel())
    at_border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    small = sizes < 0.01 * mask.size
    small[at_border] = False
    small[0] = False
    return mask | small[labels]


# -- their outlines, and what lies behind -------------------------------------------------------------------------


def _matte(mask: Mask, luma: Floats, fine: Floats) -> Bytes:
    """Return a mask at the canvas's size whose outline follows the picture (a guided filter), wider and softened."""
    radius = 3
    flat = mask.astype(np.float32)
    mean_i, mean_p = _boxed(luma, radius), _boxed(flat, radius)
    slope = (_boxed(luma * flat, radius) - mean_i * mean_p) / (_boxed(luma * luma, radius) - mean_i**2 + 2e-4)
    slope, offset = _boxed(slope, radius), _boxed(mean_p - slope * mean_i, radius)
    size = (fine.shape[1], fine.shape[0])
    alpha = _resized(slope, size) * fine + _resized(offset, size)
    eight_bit = (np.clip((alpha - 0.35) / 0.4, 0, 1) * 255).astype(np.uint8)
    wider = Image.fromarray(eight_bit).filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(1.1))
    return np.asarray(wider)


def _boxed(field: Floats, radius: int) -> Floats:
    """Return the mean over squares of side 2 * radius + 1; edges repeat."""
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(field, pad, mode="edge"), axis=axis, dtype=np.float64)
        ahead, behind = (np.take(total, np.arange(n, n + field.shape[axis]), axis) for n in (2 * radius + 1, 0))
        field = ((ahead - behind) / (2 * radius + 1)).astype(np.float32)
    return field


def _resized(field: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(Image.fromarray(field).resize(size, Image.Resampling.BILINEAR))


def _paint_out(rgb: Bytes, covered: Bytes) -> Bytes:
    """Replace what is covered by a soft continuation of what surrounds it.

    Along the rows first, since horizons, clouds and shelves lie level; deep inside, out of their reach, from all sides.
    """
    height, width = covered.shape
    size = (max(8, width // PLATE), max(8, height // PLATE))
    hidden = Image.fromarray(covered).resize(size, Image.Resampling.BOX).filter(ImageFilter.MaxFilter(5))
    known = 1.0 - np.minimum(np.asarray(hidden, dtype=np.float32) / 24, 1.0)
    small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX), dtype=np.float32)
    filled = _spread(small, known)
    level, trust = _along_rows(small, known)
    filled += (level - filled) * (trust * (1.0 - known))[..., None]
    plate = Image.fromarray(np.clip(filled, 0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    behind = Image.fromarray(((1.0 - known) * 255).astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(Image.composite(plate, Image.fromarray(rgb), behind))


def _along_rows(colours: Floats, known: Floats) -> tuple[Floats, Floats]:
    """Each pixel between the last known one before it in its row and the first after it; and how far to trust that."""
    width = known.shape[1]
    column = np.arange(width)[None, :]
    sure = known >= 1.0
    before = np.maximum.accumulate(np.where(sure, column, -1), axis=1)
    after = np.minimum.accumulate(np.where(sure, column, width)[:, ::-1], axis=1)[:, ::-1]
    calm = np.stack([_boxed(colours[..., i] * known, 2) for i in range(3)], -1)
    calm /= np.maximum(_boxed(known, 2), 1e-3)[..., None]
    near_left = np.where(before < 0, 0.0, 1.0 / (column - before + 1.0))
    near_right = np.where(after >= width, 0.0, 1.0 / (after - column + 1.0))
    row = np.arange(known.shape[0])[:, None]
    left, right = calm[row, np.clip(before - 2, 0, width - 1)], calm[row, np.clip(after + 2, 0, width - 1)]
    both = np.maximum(near_left + near_right, 1e-6)[..., None]
    level = (left * near_left[..., None] + right * near_right[..., None]) / both
    trust = np.exp(-(1.0 / np.maximum(np.maximum(near_left, near_right), 1e-6)) / (0.06 * width))
    return level.astype(np.float32), trust.astype(np.float32)


def _spread(colours: Floats, weight: Floats) -> Floats:
    """Colours where the weight is 1, and their smooth continuation elsewhere, by way of ever smaller pictures."""
    if min(weight.shape) <= 2 or float(weight.min()) >= 1.0:
        total = max(float(weight.sum()), 1e-6)
        mean = (colours * weight[..., None]).sum((0, 1)) / total
        return (colours * weight[..., None] + mean * (1 - weight[..., None])).astype(np.float32)
    size = ((weight.shape[1] + 1) // 2, (weight.shape[0] + 1) // 2)
    less = _halved(weight, size)
    below = (
        np.stack([_halved(colours[..., i] * weight, size) for i in range(3)], -1) / np.maximum(less, 1e-6)[..., None]
    )
    filled = _spread(below.astype(np.float32), np.minimum(1.0, less * 4).astype(np.float32))
    full = (weight.shape[1], weight.shape[0])
    above = np.stack([_resized(np.ascontiguousarray(filled[..., i]), full) for i in range(3)], -1)
    return (colours * weight[..., None] + above * (1 - weight[..., None])).astype(np.float32)


def _halved(field: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(Image.fromarray(field).resize(size, Image.Resampling.BOX))
