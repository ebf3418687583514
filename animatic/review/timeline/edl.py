"""Edit decision lists (CMX 3600), written by OpenTimelineIO's adapter and put right where editors would stumble.

The adapter begins records at 00:00:00:00, writes no FCM line, puts notes in capitals, cuts reel names without keeping
them apart, and turns 29.97 into drop-frame, whose notes it cannot read again. Here a list counts whole frames without
drop-frame, 24 of them at 23.976 and 30 at 29.97.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from animatic.errors import SettingsError
from animatic.errors.text import one_line
from animatic.review.timeline.cut import Cut, CutShot
from animatic.review.timeline.rates import TIMECODE, nominal, shown
from animatic.review.timeline.tracks import make_timeline, start_frame

FORM = "cmx_3600"
MAX_EVENTS = 999
"""A CMX 3600 list has three digits for the number of an event. Many programs read longer lists."""

_REEL_CHARS = 8
_BLACK = "BL"
_RESERVED = frozenset({"AX", "BL", "BLACK", "BARS"})
_KEPT = ("status", "decision", "rating", "take", "prediction", "fingerprint", "prompt")
_TEXT_CHARS = 400
_MEDIA, _MEDIA_PLAIN = "* FROM CLIP: ", "* OTIO REFERENCE FROM: "
"""Premiere calls all clips UNKNOWN where it reads the former."""

_HEADER = re.compile(r"\A(TITLE: [^\n]*\n)\n")


def edl_of(otio: Any, cut: Cut) -> str:
    """Return the list of a cut, of whose rate there must be a timecode."""
    rate = nominal(cut.rate)
    timeline = make_timeline(otio, cut, rate, start_frame(rate))
    track = timeline.tracks[0]
    time = otio.opentime.RationalTime
    track.source_range = otio.opentime.TimeRange(
        time(-start_frame(rate), rate), time(start_frame(rate) + cut.frames, rate)
    )
    texts: dict[str, str] = {}
    for clip, shot, reel in zip(track, cut.shots, reels_of(cut.shots), strict=True):
        clip.metadata[FORM] = {"reel": reel, "comments": _comments(shot.about)}
        for marker in clip.markers:
            mark = f"NOTE{len(texts) + 1:08}"
            texts[mark], marker.name = marker.name, mark
    return _put_right(otio.adapters.write_to_string(timeline, FORM, rate=rate), texts)


def require_timecode(cut: Cut) -> None:
    """Refuse a cut at a rate of which there is no timecode. Raises SettingsError."""
    if cut.rate not in TIMECODE:
        known = ", ".join(shown(rate) for rate in TIMECODE)
        raise SettingsError(
            f"--fps: found {shown(cut.rate)}; an EDL has timecodes of {known}; give one of them, or write .otio, which "
            "keeps any rate"
        )


def reels_of(shots: Sequence[CutShot]) -> list[str]:
    """Return a reel name of at most 8 characters for each shot, one of its own for each clip, black without one."""
    taken: set[str] = set(_RESERVED)
    of_media: dict[str, str] = {}
    reels: list[str] = []
    for shot in shots:
        if shot.media is None:
            reels.append(_BLACK)
            continue
        if shot.media.uri not in of_media:
            of_media[shot.media.uri] = _free_reel(shot.name, taken)
        reels.append(of_media[shot.media.uri])
    return reels


def _free_reel(name: str, taken: set[str]) -> str:
    plain = re.sub(r"[^A-Z0-9]+", "", unicodedata.normalize("NFKD", name).upper()) or "CLIP"
    reel, number = plain[:_REEL_CHARS], 1
    while reel in taken:
        number += 1
        reel = f"{plain[: _REEL_CHARS - len(str(number))]}{number}"
    taken.add(reel)
    return reel


def _comments(about: Mapping[str, str]) -> list[str]:
    return [f"ANIMATIC {name.upper()}: {one_line(about[name], _TEXT_CHARS)}" for name in _KEPT if name in about]


def _put_right(text: str, notes: Mapping[str, str]) -> str:
    """Add the FCM line, and write media and notes so that they survive."""
    lines = _HEADER.sub(r"\1FCM: NON-DROP FRAME\n\n", text, count=1).splitlines()
    return "\n".join(_line(line, notes) for line in lines) + "\n"


def _line(line: str, notes: Mapping[str, str]) -> str:
    if line.startswith(_MEDIA):
        return _MEDIA_PLAIN + line.removeprefix(_MEDIA)
    if line.startswith("* LOC: "):
        head, _, mark = line.rpartition(" ")
        return f"{head} {notes[mark]}"
    return line
