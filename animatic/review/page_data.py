"""The data of a page: a board and its media as plain values that JSON can say.

Nulls, empty texts and empty lists are left out, so that a board of 2,000 shots stays small. Everything is a text, a
number or a flag to the page, which puts it on the screen as text; names of files are ours.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

from animatic.errors.text import counted
from animatic.media.asked_clips import asked_by
from animatic.media.strips import Strip, Thumbnail
from animatic.results.board import Board, Row, ShotShown, Storyboard, TakeShown, Version, inputs_of
from animatic.results.columns import NOT_ARCHIVED_YET
from animatic.results.decisions import Decision
from animatic.results.history import queue_ms_of
from animatic.review.advice import advice_on

FORM = 1
"""Number of the data's form; a page reads data of its own form only."""

LINKED = ("https://", "http://127.0.0.1:", "http://localhost:")
"""Beginnings of output URLs that a page makes links of; all others are shown as text."""

_USUAL_ASPECT = 16 / 9
_TO_COME = "not archived yet; a run fetches it"
"""Said of a clip on a page whose data are followed by newer ones."""

_MEASURES = ("first_frame_similarity", "black_fraction", "frozen_fraction", "cuts", "motion")
_MOMENTS = ("submitted_at", "created_at", "completed_at")


@dataclass(frozen=True, slots=True)
class ClipMedia:
    """Files of one output in the page's folder.

    Attributes:
        name: of the clip itself.
        strip: poster and strip; None for an output that is no video.
        problem: why there is none of them, in words that follow "the clip".
        is_missing: True where a file should be in the folder, and could not be put there.
    """

    name: str = ""
    strip: Strip | None = None
    problem: str = ""
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Media:
    """Files in the page's folder, and its prefix to their names.

    Attributes:
        stills: by the URI of the still; a text says why there is none.
        clips: by the clip's SHA-256.
    """

    prefix: str = "media/"
    stills: Mapping[str, Thumbnail | str] = field(default_factory=dict[str, "Thumbnail | str"])
    clips: Mapping[str, ClipMedia] = field(default_factory=dict[str, ClipMedia])


@dataclass(frozen=True, slots=True)
class PageInfo:
    """Facts of a page that no take has.

    Attributes:
        title: names of the tables.
        key: tells this board's decisions from those of others in one browser.
        decisions: columns and rows of the file of decisions, as text.
        max_usd: limit of the run, where there is one.
        states: what is known of takes in flight, by fingerprint: `queued` or `making`.
        live: whether a run works on it, so that the page looks for newer data beside itself.
    """

    title: str
    key: str
    made_at: datetime
    decisions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    max_usd: Decimal | None = None
    states: Mapping[str, str] = field(default_factory=dict[str, str])
    live: bool = False
    results: Sequence[str] = ()


def page_data(board: Board, media: Media, facts: PageInfo) -> dict[str, Any]:
    """Return the data of a page."""
    unmatched = len(board.unmatched)
    missed = [f"{counted(unmatched, 'decision')} on takes that are in none of the tables"] if unmatched else []
    return _there(
        {
            "form": FORM,
            "title": facts.title,
            "key": facts.key,
            "live": facts.live or None,
            "made_at": _moment(facts.made_at),
            "results": list(facts.results),
            "max_usd": None if facts.max_usd is None else float(facts.max_usd),
            "decisions": dict(facts.decisions),
            "notes": [*board.decision_notes, *missed],
        }
    ) | {"storyboards": [_storyboard(each, media, facts) for each in board.storyboards]}


def as_script_json(data: Mapping[str, Any]) -> str:
    """Return JSON that may stand inside a script element: no text in it can end that element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode("utf-8", "replace").decode()


def _storyboard(storyboard: Storyboard, media: Media, facts: PageInfo) -> dict[str, Any]:
    return {"name": storyboard.name, "shots": [_shot(each, media, facts) for each in storyboard.shots]}


def _shot(shot: ShotShown, media: Media, facts: PageInfo) -> dict[str, Any]:
    picked = shot.picked
    newest = shot.versions[-1].row
    return _there(
        {
            "id": shot.shot_id,
            "row": newest.get("row"),
            "aspect": _aspect_of(shot, media),
            "picked": None if picked is None else picked.fingerprint,
            "versions": [_version(each, media, facts) for each in shot.versions],
        }
    )


def _aspect_of(shot: ShotShown, media: Media) -> float:
    """Return the shape in which still and takes of a shot are shown: that of its newest clip, else as was asked."""
    for take in reversed(shot.takes):
        width, height = take.row.get("clip_width"), take.row.get("clip_height")
        if width and height:
            return round(min(max(width / height, 0.2), 5.0), 4)
    row = shot.versions[-1].row
    asked = asked_by(row["model"] or "", inputs_of(row)).aspect
    still = media.stills.get(row.get("still_uri") or "")
    if asked is None and isinstance(still, Thumbnail):
        return round(min(max(still.width / still.height, 0.2), 5.0), 4)
    return round(asked or _USUAL_ASPECT, 4)


def _version(version: Version, media: Media, facts: PageInfo) -> dict[str, Any]:
    row = version.row
    still = media.stills.get(row.get("still_uri") or "")
    return _there(
        {
            "n": version.number,
            "prompt": row["prompt"],
            "model": row["model"],
            "inputs": _other_inputs(row),
            "image": row["image"],
            "still": f"{media.prefix}{still.name}" if isinstance(still, Thumbnail) else None,
            "still_problem": still if isinstance(still, str) else None,
            "takes": [_take(each, media, facts) for each in version.takes],
        }
    )


def _other_inputs(row: Row) -> dict[str, Any]:
    """Return what is sent beside prompt and still, as texts."""
    return {
        str(name): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in inputs_of(row).items()
        if value is not None and name not in {"prompt", "image"}
    }


def _take(take: TakeShown, media: Media, facts: PageInfo) -> dict[str, Any]:
    row = take.row
    outputs: Sequence[str] = row.get("outputs") or ()
    clips = _clips(row, media)
    url = row.get("output_url") or ""
    unarchived = row.get("archive_error") if row["status"] == "completed" else None
    is_to_come = facts.live and unarchived == NOT_ARCHIVED_YET
    return _there(
        {
            "n": take.number,
            "fp": take.fingerprint,
            "status": row["status"],
            "state": facts.states.get(take.fingerprint or "") if row["status"] == "pending" else None,
            "error": row.get("error"),
            "code": row.get("error_code"),
            "advice": "" if is_to_come else advice_on(row),
            "nsfw": row.get("nsfw"),
            "clips": clips,
            "unarchived": _TO_COME if is_to_come else unarchived,
            "url": url if url.startswith(LINKED) else None,
            "outputs": len(outputs) if len(outputs) > 1 else None,
            "expires_at": _moment(row.get("outputs_expire_at")),
            **{name: _moment(row.get(name)) for name in _MOMENTS},
            "inference_ms": row.get("inference_ms"),
            "queue_ms": queue_ms_of(row.get("created_at"), row.get("completed_at"), row.get("inference_ms")),
            **{name: _amount(row.get(name)) for name in ("quoted_usd", "charged_usd", "refunded_usd")},
            "attempts": row.get("attempts"),
            "width": row.get("clip_width"),
            "height": row.get("clip_height"),
            "fps": _rounded(row.get("clip_fps")),
            "frames": row.get("clip_frames"),
            "duration_s": _rounded(row.get("clip_duration_s")),
            "measures": _there({name: _rounded(row.get(name)) for name in _MEASURES}),
            "prediction_id": row.get("prediction_id"),
            "run_id": row.get("run_id"),
            "table": take.table or None,
            "named": True if any(not each.fingerprint for each in _decisions_on(take)) else None,
        }
    ) | ({} if row.get("qa") is None else {"qa": list(row["qa"])})


def _decisions_on(take: TakeShown) -> list[Decision]:
    return [*([take.decision] if take.decision else []), *take.notes]


def _clips(row: Row, media: Media) -> list[dict[str, Any]]:
    """Return the media of all archived outputs."""
    nowhere = ClipMedia(problem="is not beside this page")
    return [_clip(media.clips.get(sha256, nowhere)) for sha256, _ in archived_clips(row)]


def archived_clips(row: Row) -> list[tuple[str, str]]:
    """Return SHA-256 and URI of each archived output of a row; a table that others wrote may say anything there."""
    try:
        listed: Any = json.loads(row.get("clips") or "[]")
        found = [(each["sha256"], each["uri"]) for each in listed]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [(sha256, uri) for sha256, uri in found if _is_sha256(sha256) and isinstance(uri, str)]


def _is_sha256(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 64 and not set(text) - set("0123456789abcdef")


def _clip(clip: ClipMedia) -> dict[str, Any]:
    """Return the files of one output; the page makes their names of `sha` as `media.strips` does."""
    sha256, dot, suffix = clip.name.partition(".")
    strip = clip.strip
    return _there(
        {
            "sha": sha256 or (strip and strip.sha256),
            "suffix": dot + suffix,
            "strip": [strip.frames, strip.columns] if strip else None,
            "problem": clip.problem,
        }
    )


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _amount(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _rounded(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else round(value, 4)


def _there(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is: no nulls, no empty texts, lists and objects."""
    return {name: value for name, value in values.items() if value is not None and value not in ("", [], {})}
