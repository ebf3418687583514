"""The shots of a reel, out of a storyboard: which take each shows, and what its slate says. Does no I/O."""

from animatic.errors.text import one_line, reason_of
from animatic.media.asked_clips import asked_by
from animatic.media.reel_shots import ReelClip, ReelShot
from animatic.results.board import Row, ShotShown, Storyboard, TakeShown, inputs_of
from animatic.review.timeline.cut import wished_s


def shots_of(storyboard: Storyboard) -> list[ReelShot]:
    """Return the shots of a storyboard's reel, in its order."""
    return [_shot(shot) for shot in storyboard.shots]


def _shot(shot: ShotShown) -> ReelShot:
    take = shot.picked
    row = (take or shot.takes[-1]).row
    clip = None if take is None else _clip(row)
    problem = ""
    if take is not None and clip is None:
        why = row.get("archive_error") or "it is in no archive; fetch it with animatic archive"
        problem = f"shot {one_line(shot.shot_id)}, take {take.number}: {one_line(why)}"
    return ReelShot(
        shot_id=shot.shot_id,
        take=None if take is None else take.number,
        clip=clip,
        still_uri=row.get("still_uri"),
        prompt=row["prompt"] or "",
        status=_status(shot, take),
        wished_s=wished_s(row),
        is_upright=_is_upright(row),
        problem=problem,
    )


def _clip(row: Row) -> ReelClip | None:
    """Return the clip of a completed take; None where the archive has none. No page of the web is an archive."""
    uri, sha256 = row.get("clip_uri"), row.get("sha256")
    if not uri or not sha256 or uri.lower().startswith(("http:", "https:")):
        return None
    return ReelClip(uri, sha256, row.get("clip_width"), row.get("clip_height"), row.get("clip_fps"))


def _status(shot: ShotShown, take: TakeShown | None) -> str:
    if take is not None:
        return f"take {take.number}: its clip is not in the archive"
    if all(each.is_discarded for each in shot.takes):
        return "all takes were discarded"
    last = next(each for each in reversed(shot.takes) if not each.is_discarded)
    reason = reason_of(last.row.get("error") or "")
    name = "" if last.number is None else f"take {last.number}: "
    return f"{name}{last.row['status']}" + (f": {reason}" if reason else "")


def _is_upright(row: Row) -> bool:
    asked = asked_by(row["model"] or "", inputs_of(row)).aspect
    return asked is not None and asked < 1
