"""Quality checks of clips: which there are, and which of them a clip fails. Pure.

A check is a threshold on a measure. `clip_measures` measures, `asked_clips` says what was asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass

from animatic.media.stretches import BLACK_STRETCH_S, FROZEN_STRETCH_S

CHECKS_VERSION = 1
"""Raised when a measure or a threshold changes: clips that were checked by an earlier version are checked again."""


LENGTH_OFF_S = 0.5
LEAST_SIZE = 0.95
ASPECT_OFF = 0.05
LEAST_SIMILARITY = 0.55
MOST_BLACK = 0.05
MOST_FROZEN = 0.2


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of a clip that was decoded whole.

    Attributes:
        duration_s: from its first frame to the end of its last.
        width, height: of a frame as it is shown, in pixels.
        first_frame_similarity: SSIM of its first frame and its still, up to 1; None where there is no still to compare.
        black_fraction: share of its time that is black.
        frozen_fraction: share in which nothing moves, though it is not black.
        cuts: hard cuts.
        motion: mean difference of a frame from the one before, in luma from 0 to 255.
    """

    duration_s: float
    width: int
    height: int
    first_frame_similarity: float | None
    black_fraction: float
    frozen_fraction: float
    cuts: int
    motion: float


@dataclass(frozen=True, slots=True)
class AskedClip:
    """The clip that a take asked for, as far as its inputs say; None is not judged.

    Attributes:
        aspect: width to height.
        short_side: least pixels of the shorter side.
        pixels: least pixels of a frame.
    """

    duration_s: float | None = None
    aspect: float | None = None
    short_side: int | None = None
    pixels: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        method, threshold, source: for the documentation.
        fails: tells if a clip fails it.
    """

    name: str
    method: str
    threshold: str
    source: str
    fails: Callable[[Measures, AskedClip], bool]


def _is_of_other_length(found: Measures, asked: AskedClip) -> bool:
    return asked.duration_s is not None and abs(found.duration_s - asked.duration_s) > LENGTH_OFF_S


def _is_small(found: Measures, asked: AskedClip) -> bool:
    """Tell if both the shorter side and the number of pixels are too small: models keep one or the other."""
    if asked.short_side is None or asked.pixels is None:
        return False
    has_short_side = min(found.width, found.height) >= LEAST_SIZE * asked.short_side
    return not has_short_side and found.width * found.height < LEAST_SIZE * asked.pixels


def _is_of_other_aspect(found: Measures, asked: AskedClip) -> bool:
    if asked.aspect is None:
        return False
    aspect = found.width / found.height
    return max(aspect, asked.aspect) / min(aspect, asked.aspect) > 1 + ASPECT_OFF


def _begins_otherwise(found: Measures, _: AskedClip) -> bool:
    similarity = found.first_frame_similarity
    return similarity is not None and similarity < LEAST_SIMILARITY


CHECKS = (
    Check(
        "duration",
        "time from the first decoded frame to the end of the last, against the input `duration`, or `num_frames` at "
        "the input `fps`",
        f"off by more than {LENGTH_OFF_S} s",
        "own: models make whole groups of frames, so 5 s become 5.06 s",
        _is_of_other_length,
    ),
    Check(
        "size",
        "width and height as shown, against the input `size` or `resolution`; 720p of veo2-i2v",
        f"the shorter side and the number of pixels are both below {LEAST_SIZE:.0%} of what was asked",
        "own: models that follow the still's shape keep one or the other",
        _is_small,
    ),
    Check(
        "aspect",
        "width to height as shown, against the input `aspect_ratio` or `size`",
        f"off by more than {ASPECT_OFF:.0%}",
        "own: 832 x 480, which is called 16:9, is off by 2.5 %",
        _is_of_other_aspect,
    ),
    Check(
        "first_frame",
        "SSIM of luma of the first frame and the still, 64 pixels wide (Lanczos) and weighted by "
        "contrast; of the still, that part of the clip's aspect is taken, from all to 60 % of it, that correlates "
        "best; black bars of the frame are left out",
        f"below {LEAST_SIMILARITY}",
        "Wang et al. 2004; width, weights and threshold own: at full size an unrelated picture reaches 0.6, and at 256 "
        "pixels one whose depths have moved against each other falls as low",
        _begins_otherwise,
    ),
    Check(
        "black",
        f"FFmpeg's blackdetect: 98 % of the pixels below 6 % luma, for {BLACK_STRETCH_S} s or longer",
        f"more than {MOST_BLACK:.0%} of the clip",
        "FFmpeg, whose defaults are 10 % luma and 2 s; lower and shorter here, since clips are short and nights dark",
        lambda found, _: found.black_fraction > MOST_BLACK,
    ),
    Check(
        "frozen",
        f"FFmpeg's freezedetect at -66 dB, for {FROZEN_STRETCH_S} s or longer, less what is black",
        f"more than {MOST_FROZEN:.0%} of the clip",
        "FFmpeg, whose defaults are -60 dB and 2 s; shorter here, since clips are short, and finer, since little moves "
        "in slow shots of a night",
        lambda found, _: found.frozen_fraction > MOST_FROZEN,
    ),
    Check(
        "cuts",
        "means of blocks of 10 pixels of 320: from one frame to the next their correlation falls by a quarter or more, "
        "and they change by 6 of 255 at least, three times as much as in the two changes before, or in the two behind; "
        "not from or to what is flat or black",
        "any",
        "own: FFmpeg's scdet, at its default of 10 %, misses cuts between scenes that are equally bright or dark",
        lambda found, _: found.cuts > 0,
    ),
)
"""The checks, in the order in which failing ones are named; `undecodable` stands alone, since it leaves no measure."""

UNDECODABLE = "undecodable"
NAMES = (*(check.name for check in CHECKS), UNDECODABLE)


def as_markdown() -> str:
    """Return the table of the checks for the docs."""
    lines = [f"| `{each.name}` | {each.method} | {each.threshold} | {each.source} |" for each in CHECKS]
    undecodable = (
        f"| `{UNDECODABLE}` | all frames of the first video stream are decoded, strictly | "
        "one cannot be, or some are missing; nothing else is judged then | own |"
    )
    return "\n".join(["| check | method | fails if | source |", "| --- | --- | --- | --- |", *lines, undecodable])


def failing(found: Measures | None, asked: AskedClip) -> tuple[str, ...]:
    """Return the names of the checks that a clip fails; None is a clip that cannot be decoded whole."""
    if found is None:
        return (UNDECODABLE,)
    return tuple(check.name for check in CHECKS if check.fails(found, asked))
