"""Timelines in files, each read back before it takes its place: a file that lost something is refused, not written."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from animatic import storage
from animatic.errors import LocationError
from animatic.errors.text import counted, did_you_mean, nearest, quoted
from animatic.results.board import Storyboard
from animatic.review.timeline.bundle import gathered, size_of
from animatic.review.timeline.cut import Cut, make_cut
from animatic.review.timeline.edl import FORM as EDL
from animatic.review.timeline.edl import MAX_EVENTS, edl_of, require_timecode
from animatic.review.timeline.events import difference, events_in, events_of
from animatic.review.timeline.library import opentimelineio
from animatic.review.timeline.rates import nominal, require_rate, shown
from animatic.review.timeline.tracks import make_timeline, start_frame
from animatic.web.network import DIRECT, Network

SUFFIXES = (".otio", ".otioz", ".edl", ".xml")
_LOCAL, _LOCALHOST = "file:///", "file://localhost/"
"""Final Cut 7 names the host in URLs of files, and so do the programs that read its form."""

_BUNDLE = "otioz"
_BUNDLED = "media/"


@dataclass(frozen=True, slots=True)
class TimelineWritten:
    """A timeline in a file.

    Attributes:
        notes: sentences for people.
    """

    uri: str
    cut: Cut
    notes: tuple[str, ...] = ()


def check_suffix(name: str) -> str:
    """Return the suffix of a timeline's name, in lower case. Raises LocationError."""
    found = next((suffix for suffix in reversed(SUFFIXES) if name.lower().endswith(suffix)), None)
    if found is None:
        near = nearest(Path(name).suffix, SUFFIXES, 0.6)
        hint = "" if near is None else f"; {did_you_mean(near)}"
        raise LocationError(f"found {quoted(name)} as a timeline; allowed suffixes: {', '.join(SUFFIXES)}{hint}")
    return found


def write_timeline(
    storyboard: Storyboard,
    uri: str,
    fps: float | None = None,
    say: Callable[[str], None] = lambda _: None,
    network: Network = DIRECT,
) -> TimelineWritten:
    """Write the timeline of a storyboard; the suffix picks .otio, .otioz, .edl or .xml (Final Cut 7).

    Shots in order, of each the take that is picked; without `fps`, at the rate of most clips. `say` gets the size of a
    bundle before it is made. A file that is there is replaced, as a whole.

    Raises:
        LocationError: the file cannot be written, or its form would not keep what it should hold.
        SettingsError: OpenTimelineIO is not installed, or there is no timecode of that rate.
    """
    suffix, otio = check_suffix(storage.name_of(uri)), opentimelineio()
    cut = make_cut(storyboard, None if fps is None else require_rate(fps))
    if not cut.shots:
        raise LocationError(f"{storage.name_of(uri)}: there is no shot to put in it; give another table or --only")
    if suffix == ".otioz":
        say(f"{storage.name_of(uri)}: bundling {counted(_clips(cut), 'clip')}, {size_of(cut):,} bytes")
        _write_bundle(otio, cut, uri, network)
    else:
        storage.replace_bytes(uri, _text(otio, cut, suffix, storage.name_of(uri)).encode())
    return TimelineWritten(storage.absolute_uri(uri), cut, tuple(_notes_on(cut, suffix)))


def _text(otio: Any, cut: Cut, suffix: str, name: str) -> str:
    rate, start = float(cut.rate), start_frame(nominal(cut.rate))
    match suffix:
        case ".edl":
            require_timecode(cut)
            text = _made(name, cut, lambda: edl_of(otio, cut))
            _require_kept(otio, cut, name, lambda: otio.adapters.read_from_string(text, EDL, rate=rate))
        case ".xml":
            cut = _with_hosts(cut)
            text = _made(
                name, cut, lambda: otio.adapters.write_to_string(make_timeline(otio, cut, rate, start), "fcp_xml")
            )
            _require_kept(otio, cut, name, lambda: otio.adapters.read_from_string(text, "fcp_xml"))
        case _:
            text = otio.adapters.write_to_string(make_timeline(otio, cut, rate, start), "otio_json")
            _require_kept(otio, cut, name, lambda: otio.adapters.read_from_string(text, "otio_json"))
    return text


def _write_bundle(otio: Any, cut: Cut, uri: str, network: Network) -> None:
    with tempfile.TemporaryDirectory(prefix="animatic-timeline-") as folder:
        clips = Path(folder) / "clips"
        clips.mkdir()
        copied = gathered(cut, clips, network)
        timeline = make_timeline(otio, copied, float(cut.rate), start_frame(nominal(cut.rate)))
        bundle = Path(folder) / f"cut.{_BUNDLE}"
        _made(storage.name_of(uri), cut, lambda: otio.adapters.write_to_file(timeline, str(bundle), _BUNDLE) or "")
        inside = replace(
            copied,
            shots=tuple(
                replace(
                    shot, media=shot.media and replace(shot.media, uri=_BUNDLED + shot.media.uri.rpartition("/")[2])
                )
                for shot in copied.shots
            ),
        )
        name = storage.name_of(uri)
        _require_kept(otio, inside, name, lambda: otio.adapters.read_from_file(str(bundle), _BUNDLE))
        with bundle.open("rb") as file:
            storage.replace_with(uri, file)


def _made(name: str, cut: Cut, write: Callable[[], str]) -> str:
    try:
        return write()
    except Exception as error:  # noqa: BLE001 - adapters raise whatever they meet
        raise _refusal(name, cut, f"its form cannot say it ({type(error).__name__})") from None


def _require_kept(otio: Any, cut: Cut, name: str, read: Callable[[], Any]) -> None:
    """Refuse a file that does not hold what it should, read again. Raises LocationError."""
    try:
        found = events_in(otio, read(), cut.rate)
    except Exception as error:  # noqa: BLE001 - as above
        raise _refusal(name, cut, f"it could not be read again ({type(error).__name__})") from None
    lost = difference(events_of(cut), found)
    if lost is not None:
        raise _refusal(name, cut, f"its form would not keep {lost}")


def _refusal(name: str, cut: Cut, why: str) -> LocationError:
    return LocationError(
        f"{name}: not written at {shown(cut.rate)} frames a second: {why}; write .otio, which keeps all, or give "
        "another --fps"
    )


def _with_hosts(cut: Cut) -> Cut:
    shots = (
        replace(shot, media=replace(shot.media, uri=shot.media.uri.replace(_LOCAL, _LOCALHOST, 1)))
        if shot.media is not None and shot.media.uri.startswith(_LOCAL)
        else shot
        for shot in cut.shots
    )
    return replace(cut, shots=tuple(shots))


def _clips(cut: Cut) -> int:
    return len({shot.media.uri for shot in cut.shots if shot.media is not None})


def _notes_on(cut: Cut, suffix: str) -> list[str]:
    notes: list[str] = []
    others = sum(shot.media is not None and shot.media.rate != cut.rate for shot in cut.shots)
    if others:
        notes.append(f"{counted(others, 'clip')} of another rate than {shown(cut.rate)}: cut to whole frames of that")
    if suffix == ".edl" and len(cut.shots) > MAX_EVENTS:
        notes.append(f"{len(cut.shots):,} events: CMX 3600 counts to {MAX_EVENTS}, and some programs read no more")
    return notes
