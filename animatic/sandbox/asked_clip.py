"""The clip that any model's inputs ask for, as far as the sandbox can make it: its length, shape and stills. Pure."""

import re
from collections.abc import Mapping
from typing import Any, cast

MAX_LENGTH_S = 10
_FRAMES_PER_S = 24
_FILE = re.compile(r"(?:^|_)images?(?:_url|_urls)?$")
_SIZE = re.compile(r"([0-9]{1,5})\s*[*x:]\s*([0-9]{1,5})")


def length_s_of(inputs: Mapping[str, Any]) -> int:
    """Return the whole seconds of the clip: its `duration`, or its frames at 24 a second; 5 where neither says."""
    found = re.fullmatch(r"([0-9]+)(?:\.[0-9]+)?s?", str(inputs.get("duration", "")))
    if found is not None:
        return min(max(int(found[1]), 1), MAX_LENGTH_S)
    frames = inputs.get("num_frames")
    return min(max(frames // _FRAMES_PER_S, 1), MAX_LENGTH_S) if isinstance(frames, int) else 5


def ratio_of(inputs: Mapping[str, Any]) -> str:
    """Return `9:16` for what is upright, by its `aspect_ratio` or its `size`, and `16:9` for everything else."""
    found = _SIZE.fullmatch(str(inputs.get("aspect_ratio") or inputs.get("size") or ""))
    return "9:16" if found is not None and int(found[1]) < int(found[2]) else "16:9"


def files_in(inputs: Mapping[str, Any]) -> list[str]:
    """Return the URLs of stills among the inputs, `image` first."""
    named = sorted((name for name in inputs if _FILE.search(name)), key=lambda name: name != "image")
    values = [inputs[name] for name in named]
    files = [each for value in values for each in (cast("list[Any]", value) if isinstance(value, list) else [value])]
    return [each for each in files if isinstance(each, str)]
