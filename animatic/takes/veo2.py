"""The schema of veo2-i2v, and the clip that its inputs ask for. Pure. Source: WaveSpeed's page on the model."""

import re
from collections.abc import Mapping

from animatic.takes.inputs import Inputs
from animatic.takes.schemas import Choice, ModelSchema
from animatic.takes.stills import Shape

_DURATION = re.compile(r"([0-9]{1,3})(?:\.0+)?s?")
_LOOSE_DURATION = re.compile(
    r"(?:0*([0-9]{1,3})(?:[.,]0*)?\s*(?:s|secs?|seconds?)?\.?|(?:0?0:)?0?0:([0-9]{2}))", re.IGNORECASE
)
_TIME_OF_DAY = re.compile(r"([0-9]{1,2}):([0-9]{1,2})(?::00(?:[.,]0+)?)?(?:\s*(AM|PM))?", re.IGNORECASE)
_LOOSE_RATIO = re.compile(r"0?(16|9)\s*[:x×/. -]\s*0?(16|9)(?::00)?", re.IGNORECASE)


def _read_duration(text: str) -> str:
    """Return `5s` for `5s`, `5`, `5.0`."""
    match = _DURATION.fullmatch(text)
    return f"{match[1]}s" if match else text


def _guess_duration(text: str) -> str | None:
    """Return `5s` for `05 sec`, `00:00:05` and the like."""
    loose = _LOOSE_DURATION.fullmatch(text)
    return f"{int(loose[1] or loose[2])}s" if loose else None


def read_ratio(text: str) -> str:
    """Return `16:9` for the time of day that a spreadsheet makes of it: `04:09:00 PM`, `16:09`, `9:16:00 AM`."""
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        return text
    hour, minute, half = int(match[1]), int(match[2]), (match[3] or "").upper()
    if half and not 1 <= hour <= 12:
        return text
    if half:
        hour = hour % 12 + (12 if half == "PM" else 0)
    return f"{hour}:{minute}"


def _guess_ratio(text: str) -> str | None:
    """Return `16:9` for `16x9`, and for the time of day that spreadsheets turn `16:9` into."""
    loose = _LOOSE_RATIO.fullmatch(text)
    return f"{loose[1]}:{loose[2]}" if loose else None


_WIDE, _HIGH = "16:9", "9:16"
ASPECT_RATIO = Choice("aspect_ratio", (_WIDE, _HIGH), read_ratio, _guess_ratio)
DURATION = Choice("duration", ("5s", "6s", "7s", "8s"), _read_duration, _guess_duration)
CHOICES: Mapping[str, Choice] = {each.name: each for each in (ASPECT_RATIO, DURATION)}
"""Inputs with a default of ours, by name."""

VEO2 = ModelSchema(
    "wavespeed-ai/veo2-i2v",
    priced_by=(DURATION.name, ASPECT_RATIO.name),
)

_SIZES = {_WIDE: (1280, 720), _HIGH: (720, 1280)}


def ratio_of(still: Shape) -> str:
    """Return the aspect ratio in which a still lies."""
    return _HIGH if still.height > still.width else _WIDE


def size_of(inputs: Inputs) -> tuple[int, int]:
    """Return the width and height of the clip in pixels."""
    return _SIZES[inputs[ASPECT_RATIO.name]]


def length_s_of(inputs: Inputs) -> float:
    """Return the length of the clip in seconds."""
    return float(inputs[DURATION.name].removesuffix("s"))
