"""The clip that a take's inputs ask for, as far as they say. Pure.

Models name length and shape differently; what is not understood is not judged.
"""

import re
from collections.abc import Mapping

from animatic.media.checks import AskedClip
from animatic.takes.clip_inputs import aspect_in, seconds_in, size_in
from animatic.takes.inputs import Inputs
from animatic.takes.veo2 import ASPECT_RATIO, VEO2, size_of

_LINES = re.compile(r"([0-9]{3,4})p?")
_LINES_OF: Mapping[str, int] = {"hd": 720, "fhd": 1080, "2k": 1440, "4k": 2160}
_WIDE = 16 / 9


def asked_by(model: str, inputs: Inputs) -> AskedClip:
    """Return the clip that these inputs ask a model for."""
    short_side, pixels = _least(model, inputs)
    return AskedClip(seconds_in(inputs), aspect_in(inputs), short_side, pixels)


def _least(model: str, inputs: Inputs) -> tuple[int | None, int | None]:
    """Return the least shorter side and the least number of pixels of a frame."""
    is_known = model == VEO2.model and inputs.get(ASPECT_RATIO.name) in ASPECT_RATIO.allowed
    size = size_of(inputs) if is_known else size_in(inputs)
    if size is not None:
        return min(size), size[0] * size[1]
    text = str(inputs.get("resolution", "")).strip().lower()
    found = _LINES.fullmatch(text)
    lines = _LINES_OF.get(text) or (int(found[1]) if found else None)
    return (None, None) if lines is None else (lines, round(lines * lines * _WIDE))
