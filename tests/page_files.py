"""Files of a review page, read as a browser would: their data, without running anything."""

import json
import re
from pathlib import Path
from typing import Any

_CALL = re.compile(r"animatic\.(\w+)\((.*?)(?:,(\d+))?\);\n", re.DOTALL)
_DATA = re.compile(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', re.DOTALL)


def data_in(folder: Path) -> dict[str, Any]:
    """Return the data inside a page."""
    return json.loads(_DATA.findall((folder / "index.html").read_text(encoding="utf-8"))[0])


def live_in(folder: Path) -> dict[str, Any]:
    """Return the newest state of a run."""
    return _called((folder / "live.js").read_text(encoding="utf-8"), "live")[0]


def board_in(folder: Path) -> tuple[dict[str, Any], int]:
    """Return the newest data of an open page, and their revision."""
    return _called((folder / "board.js").read_text(encoding="utf-8"), "board")


def _called(script: str, name: str) -> tuple[dict[str, Any], int]:
    found = _CALL.fullmatch(script)
    assert found is not None, script[:200]
    assert found[1] == name
    return json.loads(found[2]), int(found[3] or 0)


def takes_in(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the takes of all shots, in order."""
    shots = [shot for storyboard in data["storyboards"] for shot in storyboard["shots"]]
    return [take for shot in shots for version in shot["versions"] for take in version["takes"]]


def media_of(take: dict[str, Any]) -> list[str]:
    """Return the names of the files of a take's clips: each clip, its poster and its strip."""
    return [
        f"media/{clip['sha']}{suffix}"
        for clip in take["clips"]
        for suffix in (clip["suffix"], *((".poster.jpg", ".strip.jpg") if "strip" in clip else ()))
    ]
