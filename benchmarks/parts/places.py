"""Lag of a free slot: from the poll that shows that a take is final to the next start.

Nothing is queued ahead and the pace does not bind, so that each start after the first ones waits for just that.
"""

from collections.abc import Sequence

from benchmarks.contest import Studio, completed_in, write_manifest
from benchmarks.process import measure
from benchmarks.server import Account, Seen, served, takes_of
from benchmarks.sizes import Result, Sizes, say

ACCOUNT, TAKES = Account(5_000, 100, 10.0), 1_000


def run(studio: Studio, sizes: Sizes) -> Result:
    """One run of animatic, moments as the server saw them."""
    takes, room = sizes.takes or TAKES, studio.room("places")
    if takes <= ACCOUNT.in_flight:
        raise SystemExit(f"places: {takes} takes never wait for a place, give more than {ACCOUNT.in_flight}")
    manifest = write_manifest(room / "shots.parquet", takes)
    with served(room / "sandbox", ACCOUNT) as server:
        command, env = studio.command("animatic", server, room, manifest)
        took = measure(command, env | {"ANIMATIC_QUEUED_AHEAD": "0"}, room)
        stats = server.stats()
    waits_ms = sorted(wait_s * 1_000 for wait_s in waits_s(takes_of(room / "sandbox"), ACCOUNT.in_flight))
    found: Result = {
        "takes": takes,
        "in_flight": ACCOUNT.in_flight,
        "exit_code": took.exit_code,
        "completed": completed_in(room / "out.parquet"),
        "refused": stats.get("refused_rate", 0),
        "filled": len(waits_ms),
        **{f"p{share}_ms": round(waits_ms[len(waits_ms) * share // 100], 1) for share in (50, 95, 99)},
        "longest_ms": round(waits_ms[-1], 1),
    }
    say(f"a free place is filled: {found}")
    return found


def waits_s(takes: Sequence[Seen], in_flight: int) -> list[float]:
    """For each start beyond the first `in_flight`, seconds since the place that it got was seen to be free."""
    starts = sorted(each.accepted_at for each in takes)[in_flight:]
    frees = sorted(each.seen_at for each in takes if each.seen_at is not None)
    return [start - free for start, free in zip(starts, frees, strict=False)]
