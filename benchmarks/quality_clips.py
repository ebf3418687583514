"""Clips for the part `quality`: scenes that are drawn from seeds, clean or damaged in a known way.

No scene, size, motion or grain of these chose a threshold: that was done on clips of the sandbox's renderer.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from animatic.media.checks import AskedClip

Picture = Image.Image
Frame = NDArray[np.uint8]
SIZES = ((480, 270), (480, 270), (270, 480), (384, 384), (432, 324))
RATES = (16, 24, 24, 25, 30)
SPARE = 1.35
"""Canvas to frame: room for the camera."""


@dataclass(frozen=True)
class Made:
    """A clip, and what is true of it.

    Attributes:
        has: names of the checks that it should fail.
        may: names of others that it may as well fail.
    """

    path: Path
    still: Path
    asked: AskedClip
    kind: str
    has: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()


# -- scenes --------------------------------------------------------------------------------------------------------


def _clouds(rng: np.random.Generator, size: tuple[int, int], power: float) -> NDArray[np.float64]:
    """Noise whose spectrum falls with the frequency; from 0 to 1."""
    high, wide = size[1], size[0]
    freq = np.hypot(*np.meshgrid(np.fft.fftfreq(wide), np.fft.fftfreq(high)))
    freq[0, 0] = 1
    spectrum = (rng.normal(size=(high, wide)) + 1j * rng.normal(size=(high, wide))) / freq**power
    values = np.real(np.fft.ifft2(spectrum))
    low, top = np.percentile(values, (1, 99))
    return np.clip((values - low) / (top - low), 0, 1)


def _coloured(values: NDArray[np.float64], dice: random.Random) -> Picture:
    dark, light = ([dice.randrange(*span) for _ in range(3)] for span in ((0, 90), (120, 255)))
    rgb = np.stack([low + (top - low) * values for low, top in zip(dark, light, strict=True)], -1)
    return Image.fromarray(rgb.astype(np.uint8))


def _polygons(pen: ImageDraw.ImageDraw, size: tuple[int, int], dice: random.Random, count: int) -> None:
    for _ in range(count):
        x, y, reach = dice.uniform(0, size[0]), dice.uniform(0, size[1]), dice.uniform(0.05, 0.3) * min(size)
        corners = [
            (x + dice.uniform(-1, 1) * reach, y + dice.uniform(-1, 1) * reach) for _ in range(dice.randint(3, 6))
        ]
        pen.polygon(corners, fill=tuple(dice.randrange(256) for _ in range(3)))


def _houses(pen: ImageDraw.ImageDraw, size: tuple[int, int], dice: random.Random) -> None:
    x = 0.0
    while x < size[0]:
        wide, high = dice.uniform(0.04, 0.12) * size[0], dice.uniform(0.2, 0.8) * size[1]
        shade = dice.randrange(20, 120)
        pen.rectangle((x, size[1] - high, x + wide, size[1]), fill=(shade, shade, shade + dice.randrange(40)))
        for _ in range(dice.randrange(4, 14)):
            wx, wy = x + dice.uniform(0.1, 0.8) * wide, size[1] - dice.uniform(0.1, 0.9) * high
            pen.rectangle(
                (wx, wy, wx + 0.012 * size[0], wy + 0.016 * size[1]), fill=(240, 220, dice.randrange(90, 200))
            )
        x += wide * dice.uniform(1.0, 1.3)


def _lights(pen: ImageDraw.ImageDraw, size: tuple[int, int], dice: random.Random, count: int) -> None:
    for _ in range(count):
        x, y, radius = dice.uniform(0, size[0]), dice.uniform(0, size[1]), dice.uniform(0.01, 0.07) * min(size)
        pen.ellipse(
            (x - radius, y - radius, x + radius, y + radius), fill=tuple(dice.randrange(90, 256) for _ in range(3))
        )


def canvas_of(seed: int, size: tuple[int, int]) -> Picture:
    """A picture that is larger than the frame: one of six sorts of scene."""
    dice, rng = random.Random(seed), np.random.default_rng(seed)
    wide = (round(size[0] * SPARE), round(size[1] * SPARE))
    sort = dice.randrange(6)
    picture = _coloured(_clouds(rng, wide, dice.uniform(1.2, 2.2)), dice)
    pen = ImageDraw.Draw(picture)
    if sort == 0:
        _polygons(pen, wide, dice, dice.randrange(12, 40))
    elif sort == 1:
        _houses(pen, wide, dice)
    elif sort == 2:  # night with lights
        picture = picture.point([round(value * dice.uniform(0.12, 0.2)) for value in range(256)] * 3)
        _lights(ImageDraw.Draw(picture), wide, dice, dice.randrange(25, 60))
    elif sort == 3:  # fog: little contrast, soft shapes
        _polygons(pen, wide, dice, 14)
        picture = picture.filter(ImageFilter.GaussianBlur(wide[0] / 90))
        picture = Image.blend(picture, Image.new("RGB", wide, (170, 175, 180)), dice.uniform(0.3, 0.55))
    elif sort == 4:  # a near shape before a far ground
        _lights(pen, wide, dice, dice.randrange(6, 16))
        _polygons(pen, wide, dice, 5)
    else:
        _houses(pen, wide, dice)
        _polygons(pen, wide, dice, 6)
    return picture


# -- motion, grain, grading ----------------------------------------------------------------------------------------


LEAST_CHANGE = 0.5
"""Mean change of a half second, of 255, below which a scene counts as standing still."""


@dataclass
class Shot:
    """Recipe of a clip; damages change it.

    Attributes:
        pushes: how much of the frame's size the camera moves in over the clip.
        pans: how far it moves, in frames.
        shake: of a hand, in frames.
        walker: a thing that crosses the picture, as a share of its height; 0 for none.
        grain: standard deviation of what is added to each frame.
        zoom: share of the still's middle that the first frame shows.
        light: a factor for each moment, from 0 to 1.
    """

    seed: int
    size: tuple[int, int]
    fps: int
    seconds: float
    pushes: float
    pans: tuple[float, float]
    shake: float
    walker: float
    grain: float
    zoom: float = 1.0
    gamma: float = 1.0
    crf: int = 23
    light: Callable[[float], float] = field(default=lambda _: 1.0)


def drawn_shot(seed: int) -> Shot:
    """A shot with everything drawn from the seed; something in it always moves."""
    dice = random.Random(seed * 7919 + 1)
    moves = dice.randrange(5)
    return Shot(
        seed,
        dice.choice(SIZES),
        dice.choice(RATES),
        dice.choice((4.0, 5.0)),
        pushes=dice.uniform(0.06, 0.2) if moves in {0, 3} else 0.0,
        pans=(dice.choice((-1, 1)) * dice.uniform(0.04, 0.15), dice.uniform(-0.08, 0.08))
        if moves in {1, 3}
        else (0.0, 0.0),
        shake=dice.uniform(0.006, 0.015) if moves == 2 else 0.0,
        walker=dice.uniform(0.25, 0.5) if moves == 4 or dice.random() < 0.3 else 0.0,
        grain=dice.choice((0.0, 0.0, 1.5, 4.0, 8.0)),
        zoom=dice.uniform(0.8, 1.0),
        gamma=dice.uniform(0.75, 1.3),
        crf=dice.randrange(18, 30),
    )


def still_of(shot: Shot) -> Picture:
    """The middle of the canvas, as people hand it in, with all that the first frame shows."""
    canvas = canvas_of(shot.seed, shot.size)
    left, top = (canvas.width - shot.size[0]) // 2, (canvas.height - shot.size[1]) // 2
    still = canvas.crop((left, top, left + shot.size[0], top + shot.size[1]))
    _walk(still, shot, 0.0, shot.zoom)
    return still


def _walk(picture: Picture, shot: Shot, at: float, zoom: float = 1.0) -> None:
    """Draw what crosses the picture, where it is at a moment from 0 to 1."""
    dice = random.Random(shot.seed + 5)
    colour, start = tuple(dice.randrange(256) for _ in range(3)), dice.uniform(0.1, 0.3)
    side, left = shot.walker * shot.size[1], (start + 0.5 * at) * shot.size[0]
    corners = (left, shot.size[1] - side, left + side * 0.5, shot.size[1] + side * 0.2)
    middles = (shot.size[0] / 2, shot.size[1] / 2) * 2
    box = [middle + (each - middle) * zoom for each, middle in zip(corners, middles, strict=True)]
    if shot.walker:
        ImageDraw.Draw(picture).ellipse(box, fill=colour)


def frames_of(shot: Shot) -> Iterator[Frame]:
    """The frames of a shot, undamaged."""
    canvas, dice, rng = (
        canvas_of(shot.seed, shot.size),
        random.Random(shot.seed + 5),
        np.random.default_rng(shot.seed + 9),
    )
    shape = (shot.size[1], shot.size[0], 1)
    grains = [rng.normal(0, shot.grain, shape).astype(np.float32) for _ in range(6)] if shot.grain else []
    phase = dice.uniform(0, 6)
    count = round(shot.fps * shot.seconds)
    curve = np.array([255 * (value / 255) ** shot.gamma for value in range(256)], np.float32)
    for number in range(count):
        at, second = number / max(count - 1, 1), number / shot.fps
        share = shot.zoom * (1 - shot.pushes * at)
        wide, high = shot.size[0] * share, shot.size[1] * share
        x = canvas.width / 2 + shot.pans[0] * at * shot.size[0] + shot.shake * shot.size[0] * np.sin(3 * second + phase)
        y = canvas.height / 2 + shot.pans[1] * at * shot.size[1] + shot.shake * shot.size[1] * np.sin(4.1 * second)
        box = (
            max(x - wide / 2, 0),
            max(y - high / 2, 0),
            min(x + wide / 2, canvas.width),
            min(y + high / 2, canvas.height),
        )
        picture = canvas.resize(shot.size, Image.Resampling.BILINEAR, box=box)
        _walk(picture, shot, at)
        values = (curve * np.float32(shot.light(at)))[np.asarray(picture)]
        if grains:
            values = values + np.roll(grains[number % 6], number * 37, 1)
        yield np.clip(values, 0, 255).astype(np.uint8)


class StandsStillError(Exception):
    """A scene that hardly moves, so that its clip looks frozen."""


def moving_frames(shot: Shot) -> list[Frame]:
    """Return the frames of a shot, in which each half second differs from its beginning by half a grey level.

    Raises:
        StandsStillError: they do not.
    """
    frames = list(frames_of(shot))
    step = shot.fps // 2
    for start in range(0, len(frames) - step, max(step // 2, 1)):
        change = np.abs(frames[start + step].astype(np.float32) - frames[start]).mean()
        if change < LEAST_CHANGE:
            raise StandsStillError
    return frames


def write_clip(path: Path, frames: Sequence[Frame], fps: int, crf: int) -> None:
    """Encode the frames as H.264 in an MP4."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as clip:
        stream = clip.add_stream("libx264", rate=fps, options={"preset": "veryfast", "crf": str(crf), "threads": "1"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number, each in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(each), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, fps)
            clip.mux(stream.encode(picture))
        clip.mux(stream.encode(None))


# -- what is done to clips -----------------------------------------------------------------------------------------

Frames = list[Frame]


def other_scene(shot: Shot, salt: int) -> Shot:
    """Another scene with the same frame."""
    other = drawn_shot(shot.seed + 100_000 * salt)
    other.size, other.fps, other.seconds = shot.size, shot.fps, shot.seconds
    return other


def _span(count: int, dice: random.Random, least: float, most: float) -> tuple[int, int]:
    """Some of the frames, often at the beginning or the end."""
    length = max(round(count * dice.uniform(least, most)), 1)
    start = dice.choice((0, count - length, dice.randrange(0, count - length + 1)))
    return start, start + length


def go_black(frames: Frames, dice: random.Random, rng: np.random.Generator, least: float = 0.09) -> Frames:
    """Put black in place of a stretch, with a little noise at times."""
    start, end = _span(len(frames), dice, least, dice.choice((0.2, 0.5, 1.0)))
    noise = dice.choice((0.0, 1.0, 2.5))
    floor = dice.choice((0, 0, 4))
    dark = [np.clip(rng.normal(floor, noise, frames[0].shape), 0, 255).astype(np.uint8) for _ in range(3)]
    return [dark[at % 3] if start <= at < end else each for at, each in enumerate(frames)]


def freeze(frames: Frames, dice: random.Random) -> Frames:
    """Let a frame stand for a stretch, and go on from there."""
    start, end = _span(len(frames), dice, 0.3, dice.choice((0.5, 1.0)))
    return [*frames[:start], *[frames[start]] * (end - start), *frames[start:]][: len(frames)]


def cut_to(frames: Frames, others: Sequence[Frames], dice: random.Random) -> Frames:
    """Cut hard to other scenes, once or more."""
    made, count = list(frames), len(frames)
    places = sorted(dice.sample(range(6, count - 6, 5), len(others)))
    for place, other in zip(places, others, strict=True):
        made[place:] = other[place:]
    return made


def dissolve(frames: Frames, other: Frames, dice: random.Random) -> Frames:
    """Go over to another scene, in 0.6 of the clip or less."""
    length = round(len(frames) * dice.uniform(0.25, 0.6))
    start = dice.randrange(1, len(frames) - length)
    made: Frames = []
    for at, (one, two) in enumerate(zip(frames, other, strict=True)):
        share = min(max((at - start) / length, 0.0), 1.0)
        made.append((one * (1 - share) + two * share).astype(np.uint8))
    return made


def flash(frames: Frames, dice: random.Random) -> Frames:
    """Let lightning brighten one or two frames, once or twice."""
    made = list(frames)
    for _ in range(dice.randint(1, 2)):
        at = dice.randrange(4, len(frames) - 4)
        for each in range(at, at + dice.randint(1, 2)):
            made[each] = np.clip(made[each] * 1.5 + 30, 0, 255).astype(np.uint8)
    return made


def with_bars(frames: Frames, dice: random.Random) -> Frames:
    """Black bars at two sides, and the picture smaller between them."""
    high, wide = frames[0].shape[:2]
    bar = round(high * dice.uniform(0.08, 0.16))
    made: Frames = []
    for each in frames:
        inner = Image.fromarray(each).crop((0, bar, wide, high - bar))
        framed = np.zeros_like(each)
        framed[bar : high - bar] = np.asarray(inner)
        made.append(framed)
    return made


def spoil(data: bytes, dice: random.Random) -> bytes:
    """Damage a file: cut off, overwritten, or no video at all."""
    index_at = data.find(b"mdat")
    how = dice.randrange(6)
    if how == 0:
        return data[: round(len(data) * dice.uniform(0.3, 0.95))]
    if how == 1:
        return data[:12] + dice.randbytes(len(data) - 12)
    start = index_at + round((len(data) - index_at) * dice.uniform(0.1, 0.8))
    length = max(round((len(data) - index_at) * dice.uniform(0.03, 0.15)), 200)
    if how == 2:
        return data[:start] + bytes(length) + data[start + length :]
    if how in {3, 4}:
        return data[:start] + dice.randbytes(length) + data[start + length :]
    return data[:32] + bytes(index_at - 36) + data[index_at - 4 :]


def asked_like(shot: Shot, **changes: Any) -> AskedClip:
    """Return the request that this clip would be the answer to."""
    wide, high = shot.size
    given: dict[str, Any] = {
        "duration_s": shot.seconds,
        "aspect": wide / high,
        "short_side": min(wide, high),
        "pixels": wide * high,
    }
    return AskedClip(**{**given, **changes})
