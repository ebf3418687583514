"""Inputs that ask for the length and the shape of a clip, under the names that models use for them. Pure.

What cannot be read says nothing.
"""

import re
from typing import Any, TypeGuard

from animatic.takes.inputs import Inputs

DURATION, ASPECT_RATIO, SIZE = "duration", "aspect_ratio", "size"
FRAMES = ("num_frames", "frames", "video_length")
_RATES = ("fps", "frames_per_second", "frame_rate")
_SECONDS = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*s?")
_PAIR = re.compile(r"([0-9]{1,5})\s*[*x:×]\s*([0-9]{1,5})")


def frames_in(inputs: Inputs) -> Any:
    """Return how many frames are asked for, as it was written; None where no input says it."""
    return next((inputs[name] for name in FRAMES if name in inputs), None)


def seconds_in(inputs: Inputs) -> float | None:
    """Return the length that is asked for, in seconds, also where that is a number of frames at a rate."""
    found = _SECONDS.fullmatch(str(inputs.get(DURATION, "")).strip().lower())
    if found is not None:
        return float(found[1]) or None
    frames, rate = frames_in(inputs), next((inputs[name] for name in _RATES if name in inputs), None)
    return frames / rate if _is_count(frames) and _is_count(rate) else None


def size_in(inputs: Inputs) -> tuple[int, int] | None:
    """Return the width and height that are asked for, in pixels."""
    return _pair(inputs.get(SIZE))


def aspect_in(inputs: Inputs) -> float | None:
    """Return the width to the height that is asked for, as a ratio or as a size."""
    found = _pair(inputs.get(ASPECT_RATIO)) or size_in(inputs)
    return None if found is None else found[0] / found[1]


def _is_count(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6


def _pair(value: Any) -> tuple[int, int] | None:
    """Return the two numbers of `16:9` or `1280*720`; None for anything else, such as `auto`."""
    found = _PAIR.fullmatch(str(value).strip().lower())
    return (int(found[1]), int(found[2])) if found and int(found[1]) and int(found[2]) else None
