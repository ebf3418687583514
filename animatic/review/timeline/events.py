"""Events that a timeline's file must keep of a cut, and those read back from it. Differences are found by equality."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

from animatic.review.timeline.cut import Cut
from animatic.review.timeline.rates import nominal
from animatic.review.timeline.tracks import start_frame


@dataclass(frozen=True, slots=True)
class Event:
    """One shot in a file; moments and lengths in frames of the cut's rate.

    Attributes:
        record: where it begins, from 00:00:00:00.
        source: where its clip begins, and how long that is.
        media: URI of the clip, without its escapes; empty without one.
    """

    name: str
    record: int
    source: tuple[int, int]
    media: str
    notes: tuple[tuple[int, str], ...]


def events_of(cut: Cut) -> list[Event]:
    """Return what a file must hold."""
    found: list[Event] = []
    at = start_frame(nominal(cut.rate))
    for shot in cut.shots:
        notes = tuple((note.frame, note.text) for note in shot.notes)
        found.append(Event(shot.name, at, (0, shot.length), unquote(shot.media.uri) if shot.media else "", notes))
        at += shot.length
    return found


def events_in(otio: Any, timeline: Any, rate: Fraction) -> list[Event]:
    """Return what a timeline holds that was read from a file."""
    (track,) = timeline.video_tracks()
    start = -track.source_range.start_time if track.source_range else otio.opentime.RationalTime(0, float(rate))
    if timeline.global_start_time is not None:
        start += timeline.global_start_time
    ranges = track.range_of_all_children()
    return [_event(clip, ranges[clip].start_time + start, float(rate)) for clip in track if _is_clip(otio, clip)]


def _is_clip(otio: Any, item: Any) -> bool:
    return isinstance(item, otio.schema.Clip)


def _event(clip: Any, record: Any, rate: float) -> Event:
    source = clip.trimmed_range()
    notes = tuple((_frames(marker.marked_range.start_time, rate), marker.name) for marker in clip.markers)
    span = (_frames(source.start_time, rate), _frames(source.duration, rate))
    return Event(
        clip.name, _frames(record, rate), span, unquote(getattr(clip.media_reference, "target_url", "")), notes
    )


def _frames(time: Any, rate: float) -> int:
    return round(time.value * rate / time.rate)


def difference(wanted: list[Event], found: list[Event]) -> str | None:
    """Return the first thing that a file does not keep, in words; None where it keeps all."""
    if len(wanted) != len(found):
        return f"{len(found):,} of {len(wanted):,} shots"
    for want, have in zip(wanted, found, strict=True):
        for name in Event.__dataclass_fields__:
            if getattr(want, name) != getattr(have, name):
                return f"the {_WORDS[name]} of {want.name}"
    return None


_WORDS = {
    "name": "name",
    "record": "place",
    "source": "range of the clip",
    "media": "URI of the clip",
    "notes": "notes",
}
