"""Chained takes to buy whose source has no clip any more: found before anything is bought. Buys nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from animatic import storage
from animatic.errors import LocationError
from animatic.errors.text import quoted
from animatic.ledger import Clip, Ledger
from animatic.manifest import Problem
from animatic.media.last_frames import LastFrames
from animatic.planning.plan import Plan
from animatic.results.columns import OUTPUTS_LIVE
from animatic.takes.states import State

OUTPUTS_LAST: timedelta = OUTPUTS_LIVE.item()
MOST_LOOKED_FOR = 2_000
"""So many clips are looked for in their archives; others are found to be gone when they are used."""

_ALLOWED = "a shot whose clip can be had; or give the row an image, or change the other shot so that it is bought anew"


async def find_gone(ledger: Ledger | None, plan: Plan) -> Mapping[int, Problem]:
    """Return the rows that would start from a clip which is in no archive and cannot be fetched any more, and why."""
    linked = plan.manifest.chains.linked
    follows, take_of = plan.following.is_follower, plan.manifest.take_of
    rows = {
        link.row: linked[link.row].source.fingerprint
        for link in plan.manifest.chains.links
        if linked[link.row].source.state is State.COMPLETED and follows[take_of[link.at : link.at + link.takes]].any()
    }
    wanted = list(dict.fromkeys(rows.values()))
    if ledger is None or not wanted:
        return {}
    clips = await LastFrames(ledger).clips_of(wanted)
    there = await asyncio.to_thread(_there, clips)
    lost = [source for source in wanted if source not in there]
    gone = {source: why for source, why in (await _reasons(ledger, plan, lost)).items() if why}
    names = {link.row: link.source for link in plan.manifest.chains.links}
    return {
        row: Problem("gone clip", f"{quoted(names[row])}, whose clip is gone: {gone[source]}", _ALLOWED)
        for row, source in rows.items()
        if source in gone
    }


def _there(clips: Mapping[str, Sequence[Clip]]) -> set[str]:
    """Return the takes that have a clip in an archive."""
    return {
        source
        for number, (source, found) in enumerate(clips.items())
        if number >= MOST_LOOKED_FOR or any(_is_there(clip.uri or "") for clip in found)
    }


def _is_there(uri: str) -> bool:
    try:
        return storage.exists(uri)
    except LocationError:
        return False


async def _reasons(ledger: Ledger, plan: Plan, sources: Sequence[str]) -> dict[str, str]:
    """Return why each of these takes has no clip that can be had; empty where it can still be fetched."""
    records = await ledger.look_up(sources)
    mine = {take.fingerprint for take in plan.find(sources)}
    found: dict[str, str] = {}
    for source in sources:
        record = records.get(source)
        since = record and (record.completed_at or record.submitted_at)
        is_kept = since is not None and datetime.now(UTC) - since < OUTPUTS_LAST
        if source in mine and is_kept:
            found[source] = ""
        elif is_kept:
            found[source] = f"take {source[:12]}, an earlier version of it, is in no archive"
        else:
            found[source] = f"take {source[:12]} is in no archive, and WaveSpeed keeps outputs for 7 days"
    return found
