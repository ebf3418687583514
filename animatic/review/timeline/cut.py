"""A cut: the shots of a storyboard in order, the take that is used of each, and the notes on it. Pure.

A shot without a usable clip keeps its place, at the length that was wished for, with its name and its status.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from animatic.errors.text import one_line
from animatic.results.board import Row, ShotShown, Storyboard, TakeShown
from animatic.results.decisions import Decision
from animatic.review.timeline.rates import frame_at, rate_of, whole_frames
from animatic.takes.clip_inputs import DURATION

USUAL_RATE = Fraction(24)
USUAL_LENGTH_S = 5.0
LONGEST_S = 3_600.0
MAX_NAME_CHARS, MAX_TEXT_CHARS = 120, 1_000
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_URI = re.compile(r"(?:file|s3|gs|gcs|az|abfs|abfss|https|http|memory)://[!-~]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Note:
    """A note on a clip.

    Attributes:
        frame: of the cut's rate, from the clip's first.
        text: of one line.
        decision: the decision that it explains; empty where there is none.
    """

    frame: int
    text: str
    decision: str = ""


@dataclass(frozen=True, slots=True)
class Media:
    """A clip in the archive.

    Attributes:
        rate, frames: its own.
        sha256, size_bytes: as the results have them; None where they do not.
    """

    uri: str
    rate: Fraction
    frames: int
    sha256: str | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class CutShot:
    """One shot of a cut.

    Attributes:
        length: in frames of the cut's rate.
        media: None where there is no usable clip.
        about: what is known of the take, by name.
    """

    name: str
    length: int
    media: Media | None
    notes: tuple[Note, ...]
    about: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cut:
    """The shots of a storyboard, at one rate."""

    name: str
    rate: Fraction
    shots: tuple[CutShot, ...]

    @property
    def frames(self) -> int:
        """Length of all."""
        return sum(shot.length for shot in self.shots)

    @property
    def missing(self) -> int:
        """Number of shots without a usable clip."""
        return sum(shot.media is None for shot in self.shots)

    @property
    def notes(self) -> int:
        """Number of notes on all shots."""
        return sum(len(shot.notes) for shot in self.shots)


def make_cut(storyboard: Storyboard, rate: Fraction | None = None) -> Cut:
    """Return the cut of a storyboard at a rate; without one, at that of most of its clips."""
    picked = [(shot, _media_of(shot.picked)) for shot in storyboard.shots]
    rates = Counter(media.rate for _, media in picked if media is not None)
    chosen = rate or (rates.most_common(1)[0][0] if rates else USUAL_RATE)
    shots = tuple(_shot(shot, media, chosen) for shot, media in picked)
    return Cut(_plain(storyboard.name, MAX_NAME_CHARS), chosen, shots)


def _shot(shot: ShotShown, media: Media | None, rate: Fraction) -> CutShot:
    take = shot.picked or shot.takes[-1]
    own = rate if media is None else media.rate
    wished = round(wished_s(take.row) * rate)
    length = max(1, wished) if media is None else whole_frames(media.frames, of=media.rate, at=rate)
    name = shot.shot_id if take.number is None else f"{shot.shot_id} t{take.number:02}"
    if media is None:
        name = f"{shot.shot_id} ({_why_missing(shot)})"
    notes = tuple(_notes(take, own, rate, length))
    return CutShot(_plain(name, MAX_NAME_CHARS), length, media, notes, _about(shot, take))


def _why_missing(shot: ShotShown) -> str:
    take = shot.picked
    if take is None:
        return "discarded" if all(each.is_discarded for each in shot.takes) else str(shot.takes[-1].row["status"])
    return "not archived" if not take.row.get("clip_uri") else "no playable clip"


def _media_of(take: TakeShown | None) -> Media | None:
    """Return the archived clip of a take; None where it has none that can be placed in a cut."""
    if take is None:
        return None
    uri, frames, fps = (take.row.get(name) for name in ("clip_uri", "clip_frames", "clip_fps"))
    rate = rate_of(fps) if fps else None
    if not uri or rate is None or not frames or not 0 < frames <= LONGEST_S * rate:
        return None
    if not _URI.fullmatch(uri):
        return None
    return Media(uri, rate, frames, take.row.get("sha256"), take.row.get("size_bytes"))


def wished_s(row: Row) -> float:
    """Return the length that a row asks for, in seconds."""
    wished = row.get(DURATION) or _input(row, DURATION)
    found = _NUMBER.search(str(wished or ""))
    seconds = float(found[0]) if found else USUAL_LENGTH_S
    return seconds if 0 < seconds <= LONGEST_S else USUAL_LENGTH_S


def _input(row: Row, name: str) -> object:
    try:
        inputs = json.loads(row.get("inputs") or "{}")
    except (ValueError, RecursionError):
        return None
    return inputs.get(name) if isinstance(inputs, dict) else None  # pyright: ignore[reportUnknownVariableType]


def _notes(take: TakeShown, own: Fraction, rate: Fraction, length: int) -> Sequence[Note]:
    """Return the notes on a take at their frames; one behind the end stands at the last frame."""
    found: list[Note] = []
    if take.decision is not None and (text := _text_of(take.decision)):
        found.append(Note(0, text, take.decision.decision))
    for each in take.notes:
        frame = min(frame_at(each.frame or 0, of=own, at=rate), length - 1)
        found.append(Note(frame, _text_of(each) or "note", each.decision))
    return found


def _text_of(decision: Decision) -> str:
    return _plain(decision.note or decision.prompt, MAX_TEXT_CHARS)


def _about(shot: ShotShown, take: TakeShown) -> dict[str, str]:
    """Return what is known of a take, as text; what is not known is left out."""
    row, decision = take.row, take.decision
    version = next(version.number for version in shot.versions if take in version.takes)
    known = {
        "storyboard": shot.storyboard,
        "shot": shot.shot_id,
        "version": version,
        "take": take.number,
        "status": row["status"],
        "error": row.get("error"),
        "decision": decision and decision.decision,
        "rating": decision and decision.rating,
        "note": decision and decision.note,
        "prompt": row.get("prompt"),
        "model": row.get("model"),
        "prediction": row.get("prediction_id"),
        "fingerprint": take.fingerprint,
        "sha256": row.get("sha256"),
        "run": row.get("run_id"),
    }
    return {name: _readable(str(value)) for name, value in known.items() if value not in {None, ""}}


def _plain(text: str, max_chars: int) -> str:
    """Return a text as one line that every format has room for."""
    return one_line(" ".join(text.split()), max_chars)


def _readable(text: str) -> str:
    """Return a text of several lines without characters that XML and JSON readers trip over."""
    return "\n".join(one_line(line, 5_000) for line in text.splitlines()[:500])
