"""The clip that a take's inputs ask for, as far as they say. Pure.

Models name length and shape differently; what is not understood is not judged.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from animatic.media.checks import Asked
from animatic.takes.inputs import Inputs
from animatic.takes.veo2 import VEO2, size_of

_SECONDS = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*s?")
_PAIR = re.compile(r"([0-9]{1,5})\s*[*x:×]\s*([0-9]{1,5})")
_LINES = re.compile(r"([0-9]{3,4})p?")
_LINES_OF: Mapping[str, int] = {"hd": 720, "fhd": 1080, "2k": 1440, "4k": 2160}
_WIDE = 16 / 9
_RATES = ("fps", "frames_per_second", "frame_rate")
_FRAMES = ("num_frames", "frames", "video_length")


def asked_by(model: str, inputs: Inputs) -> Asked:
    """Return the clip that these inputs ask a model for."""
    size = _pair(inputs.get("size"))
    aspect = _pair(inputs.get("aspect_ratio")) or size
    short_side, pixels = _least(model, inputs, size)
    return Asked(_seconds(inputs), None if aspect is None else aspect[0] / aspect[1], short_side, pixels)


def _seconds(inputs: Inputs) -> float | None:
    found = _SECONDS.fullmatch(str(inputs.get("duration", "")).strip().lower())
    if found is not None:
        return float(found[1]) or None
    frames, rate = (next((inputs[name] for name in names if name in inputs), None) for names in (_FRAMES, _RATES))
    return frames / rate if _is_count(frames) and _is_count(rate) else None


def _is_count(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6


def _pair(value: Any) -> tuple[int, int] | None:
    """Return the two numbers of `16:9` or `1280*720`; None for anything else, such as `auto`."""
    found = _PAIR.fullmatch(str(value).strip().lower())
    return (int(found[1]), int(found[2])) if found and int(found[1]) and int(found[2]) else None


def _least(model: str, inputs: Inputs, size: tuple[int, int] | None) -> tuple[int | None, int | None]:
    """Return the least shorter side and the least number of pixels of a frame."""
    if model == VEO2.model and inputs.get("aspect_ratio") in {"16:9", "9:16"}:
        size = size_of(inputs)
    if size is not None:
        return min(size), size[0] * size[1]
    text = str(inputs.get("resolution", "")).strip().lower()
    found = _LINES.fullmatch(text)
    lines = _LINES_OF.get(text) or (int(found[1]) if found else None)
    return (None, None) if lines is None else (lines, round(lines * lines * _WIDE))
