"""Timelines of OpenTimelineIO, made of cuts: one video track, one clip for each shot, notes as markers."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

from animatic.review.timeline.cut import Cut, CutShot, Media, Note
from animatic.review.timeline.rates import TIMECODE

START_S = 3_600
"""Record start in seconds of timecode: 01:00:00:00, as editors expect it."""

_COLOURS = {"approved": "GREEN", "retake": "ORANGE", "discarded": "RED"}
_OTHER_COLOUR = "CYAN"


def start_frame(nominal: int) -> int:
    """Return the frame that 01:00:00:00 is, where a second of timecode counts so many."""
    return START_S * nominal


def make_timeline(otio: Any, cut: Cut, rate: float, start: int) -> Any:
    """Return the timeline of a cut, counted at `rate`, which begins at the frame `start`."""
    timeline = otio.schema.Timeline(cut.name, global_start_time=otio.opentime.RationalTime(start, rate))
    timeline.metadata["animatic"] = {"storyboard": cut.name, "fps": float(cut.rate)}
    track = otio.schema.Track("V1", kind=otio.schema.TrackKind.Video)
    track.extend([_clip(otio, shot, cut, rate) for shot in cut.shots])
    timeline.tracks.append(track)
    return timeline


def _clip(otio: Any, shot: CutShot, cut: Cut, rate: float) -> Any:
    clip = otio.schema.Clip(
        shot.name,
        media_reference=otio.schema.MissingReference(shot.name)
        if shot.media is None
        else _reference(otio, shot.media, shot.length, cut.rate, rate),
        source_range=_range(otio, 0, shot.length, rate),
    )
    clip.metadata["animatic"] = dict(shot.about)
    clip.metadata["fcp_xml"] = {"logginginfo": _logged(shot.about)}
    clip.markers.extend([_marker(otio, note, rate) for note in shot.notes])
    return clip


def _reference(otio: Any, media: Media, length: int, cut_rate: Fraction, rate: float) -> Any:
    """Return the reference to a clip: its range at its own rate, where there is a timecode of that; else at the cut's.

    Formats that hold timecodes cannot say anything else.
    """
    own = media.rate != cut_rate and media.rate in TIMECODE
    available = _range(otio, 0, media.frames, float(media.rate)) if own else None
    if available is None:
        available = _range(otio, 0, media.frames if media.rate == cut_rate else length, rate)
    reference = otio.schema.ExternalReference(target_url=media.uri, available_range=available)
    reference.name = unquote(media.uri.rpartition("/")[2])
    return reference


def _range(otio: Any, start: int, frames: int, rate: float) -> Any:
    time = otio.opentime.RationalTime
    return otio.opentime.TimeRange(time(start, rate), time(frames, rate))


def _marker(otio: Any, note: Note, rate: float) -> Any:
    marker = otio.schema.Marker(
        note.text, marked_range=_range(otio, note.frame, 1, rate), color=_COLOURS.get(note.decision, _OTHER_COLOUR)
    )
    marker.comment = note.text
    marker.metadata["fcp_xml"] = {"comment": note.text}
    return marker


def _logged(about: Mapping[str, str]) -> dict[str, str]:
    """Return what Final Cut, Premiere and Resolve show of a clip in their columns for logging."""
    words = [f"{name}: {about[name]}" for name in ("status", "decision", "rating") if name in about]
    words += [f"{name} {about[name]}" for name in ("prediction", "fingerprint") if name in about]
    return {
        "description": about.get("prompt", ""),
        "scene": about.get("storyboard", ""),
        "shottake": f"{about.get('shot', '')} take {about.get('take', '-')}",
        "lognote": "; ".join(words),
    }
