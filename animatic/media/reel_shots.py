"""The specification of a reel: its shots in order, their common canvas, and the identity of each segment. Pure."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction

FORM = 1
"""Number of how segments are drawn and encoded; those of another form are made again."""

USUAL_WIDTH, USUAL_HEIGHT, USUAL_FPS = 1280, 720, Fraction(24)
LEAST_SIDE, MOST_SIDE = 64, 3840
MOST_FPS = 60
MOST_SHOTS = 5_000
MOST_SHOT_S = 180
"""Longest that one shot of a reel may be, in seconds."""

LEAST_SLATE_S, USUAL_SLATE_S = 1.0, 5.0

RATES = (
    Fraction(24_000, 1_001), Fraction(24), Fraction(25), Fraction(30_000, 1_001), Fraction(30), Fraction(48),
    Fraction(50), Fraction(60_000, 1_001), Fraction(60),
)  # fmt: skip
"""Frame rates of film and television."""

_NEAR = Fraction(1, 100)


@dataclass(frozen=True, slots=True)
class ReelClip:
    """A clip in the archive.

    Attributes:
        width, height, fps: as probed; None where that is not known.
    """

    uri: str
    sha256: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None


@dataclass(frozen=True, slots=True)
class ReelShot:
    """A shot of a reel.

    Attributes:
        take: number of the take that is used; None where there is none.
        clip: of that take; None makes a slate.
        still_uri: of the shot's still, for a slate; None where it cannot be had.
        status: one line that says why there is no clip.
        wished_s: length of its slate.
        problem: why the clip that should be there is not; empty where all is as it should be.
    """

    shot_id: str
    take: int | None
    clip: ReelClip | None
    still_uri: str | None
    prompt: str
    status: str
    wished_s: float = USUAL_SLATE_S
    is_upright: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Size and rate of a reel, in pixels and frames per second."""

    width: int
    height: int
    fps: Fraction


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """All that a segment is made of: equal specs give equal segments.

    Attributes:
        software: versions of what encodes.
        is_slate: True for a still with text, False for a clip.
        media_sha256: of the clip, or of a slate's still; empty for a slate without one.
        label: text that is burnt in beside a timecode; empty for neither.
        title, status, prompt: texts of a slate.
        pictures: length of a slate in frames; 0 for a clip, which is as long as it is.
    """

    canvas: Canvas
    software: str
    is_slate: bool = False
    media_sha256: str = ""
    label: str = ""
    title: str = ""
    status: str = ""
    prompt: str = ""
    pictures: int = 0

    @property
    def key(self) -> str:
        """Name of the segment: a hash of all of it."""
        text = json.dumps([FORM, asdict(self)], default=str, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def choose_canvas(shots: Sequence[ReelShot], size: tuple[int, int] | None, fps: Fraction | None) -> Canvas:
    """Return the canvas: as asked for, else the size and rate that most clips have; of several, the larger.

    Sizes are made even. Without any clip a canvas is 1280 x 720, or lies upright if most shots do, at 24.
    """
    clips = [shot.clip for shot in shots if shot.clip is not None]
    sizes = Counter(_bounded(clip.width, clip.height) for clip in clips if clip.width and clip.height)
    rates = Counter(near_rate(clip.fps) for clip in clips if clip.fps and math.isfinite(clip.fps))
    usual = (USUAL_WIDTH, USUAL_HEIGHT)
    if 2 * sum(shot.is_upright for shot in shots) > len(shots):
        usual = (USUAL_HEIGHT, USUAL_WIDTH)
    found = size or max(sizes, key=lambda each: (sizes[each], each), default=usual)
    rate = fps or max(rates, key=lambda each: (rates[each], each), default=USUAL_FPS)
    return Canvas(_even(found[0]), _even(found[1]), rate)


def near_rate(fps: float) -> Fraction:
    """Return the usual frame rate that a clip's is nearest to; a whole number where it is near none of them."""
    exact = Fraction(min(max(fps, 1.0), float(MOST_FPS)))
    near = min(RATES, key=lambda rate: abs(rate - exact))
    return near if abs(near - exact) <= _NEAR else Fraction(max(round(exact), 1))


def read_size(text: str) -> tuple[int, int]:
    """Return width and height of `1920x1080`.

    Raises:
        ValueError: it is no size, or not even, or too small or large; in words that follow the option's name.
    """
    width, _, height = text.lower().partition("x")
    allowed = f"WIDTHxHEIGHT, both even and {LEAST_SIDE} to {MOST_SIDE}, such as 1920x1080"
    if not (width.isascii() and width.isdecimal() and height.isascii() and height.isdecimal()) or len(text) > 9:
        raise ValueError(f'found "{text[:40]}"; allowed: {allowed}')
    size = (int(width), int(height))
    if any(side % 2 or not LEAST_SIDE <= side <= MOST_SIDE for side in size):
        raise ValueError(f'found "{text}"; allowed: {allowed}')
    return size


def read_fps(text: str) -> Fraction:
    """Return the frame rate of `25`, `23.976` or `30000/1001`.

    Raises:
        ValueError: it is none, or higher than 60; in words that follow the option's name.
    """
    allowed = "allowed: 1 to 60, such as 24, 25, 23.976 or 30000/1001"
    try:
        exact = Fraction(text) if len(text) <= 16 else Fraction(0)
    except (ValueError, ZeroDivisionError):
        exact = Fraction(0)
    if not 1 <= exact <= MOST_FPS:
        raise ValueError(f'found "{text[:40]}"; {allowed}')
    near = min(RATES, key=lambda rate: abs(rate - exact))
    if abs(near - exact) <= Fraction(1, 1_000):
        return near
    if exact.denominator != 1:
        raise ValueError(f'found "{text}"; {allowed}')
    return exact


def slate_pictures(wished_s: float, fps: Fraction) -> int:
    """Return the length of a slate in frames."""
    seconds = min(max(wished_s, LEAST_SLATE_S), float(MOST_SHOT_S))
    return round(Fraction(seconds).limit_denominator(1_000) * fps)


def timecode(number: int, fps: Fraction) -> str:
    """Return the timecode of a frame, counted from 0, without dropped numbers: `00:00:04:23`."""
    per_second = max(round(fps), 1)
    seconds, frame = divmod(number, per_second)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{frame:02}"


def fitting(size: tuple[int, int], canvas: Canvas) -> tuple[int, int]:
    """Return the size that a picture has on a canvas: as large as it goes, undistorted, both sides even."""
    scale = min(Fraction(canvas.width, size[0]), Fraction(canvas.height, size[1]))
    return (min(_even(size[0] * scale), canvas.width), min(_even(size[1] * scale), canvas.height))


def picture_at(seconds: Fraction, fps: Fraction) -> int:
    """Return the number of the picture that is nearest to a moment; of two, the later."""
    return int(seconds * fps + Fraction(1, 2))


def _bounded(width: int, height: int) -> tuple[int, int]:
    """Return a size within what a reel may have, of nearly the same shape."""
    shrink = min(Fraction(MOST_SIDE, max(width, height, 1)), Fraction(1))
    sides = [min(max(_even(side * shrink), LEAST_SIDE), MOST_SIDE) for side in (max(width, 1), max(height, 1))]
    return (sides[0], sides[1])


def _even(side: Fraction | float) -> int:
    return max(round(Fraction(side) / 2) * 2, 2)
