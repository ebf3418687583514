"""An ultra account kept full: 5,000 starts a minute, 5,000 in flight, for some minutes."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from animatic.sandbox.moments import moment_from
from animatic.sandbox.witness import read_witness
from benchmarks.contest import Studio
from benchmarks.server import Account, Seen, takes_of
from benchmarks.sizes import Result, Sizes, say

ACCOUNT, TAKES = Account(5_000, 5_000, 55.0), 25_000


def run(studio: Studio, sizes: Sizes) -> Result:
    """One run; starts in every full minute from the first one on, while there was something to start."""
    account = Account(5_000, sizes.in_flight or ACCOUNT.in_flight, sizes.median_s or ACCOUNT.median_s)
    rows: list[Result] = []
    for name in sizes.only or ("animatic",):
        idle_s = studio.idle_cpu_s(name, account)
        room = studio.room(name)
        found = studio.compete(name, account, sizes.takes or TAKES, deadline_s=1_800.0, room=room)
        seen = takes_of(room / "sandbox")
        row = found.as_dict() | {
            "starts_a_minute": _full_minutes(seen),
            "cpu_ms_a_take": round((found.cpu_s - idle_s) / max(len(seen), 1) * 1_000, 3),
            "ratio": round(found.ratio, 4),
            "curve": _curve(seen),
        }
        if name == "animatic":
            row["late_intents"] = late_intents(room / "ledger.sqlite", room / "sandbox")
        rows.append(row)
        say(f"{name}: { ({key: value for key, value in row.items() if key != 'curve'}) }")
    return {"starts_per_minute": account.starts_per_minute, "in_flight": account.in_flight, "rows": rows}


def _full_minutes(seen: list[Seen]) -> list[int]:
    """Starts in each whole minute from the first start to the last."""
    moments = [each.accepted_at - seen[0].accepted_at for each in seen]
    counts = [0] * (int(moments[-1] // 60) + 1)
    for moment in moments:
        counts[int(moment // 60)] += 1
    return counts[:-1]  # the last one is not whole


def _curve(seen: list[Seen]) -> list[list[int]]:
    """Every 2 s: the second, starts since the last one, in flight as the server has it, final and not yet seen."""
    first = seen[0].accepted_at
    ends = max((each.seen_at or each.final_at) for each in seen)
    steps = int((ends - first) // 2) + 1
    changes = [[0, 0, 0] for _ in range(steps + 2)]
    for each in seen:
        start, final = int((each.accepted_at - first) // 2), int((each.final_at - first) // 2)
        changes[start][0] += 1
        changes[start][1] += 1
        changes[min(final, steps)][1] -= 1
        changes[min(final, steps)][2] += 1
        if each.seen_at is not None:
            changes[min(int((each.seen_at - first) // 2), steps)][2] -= 1
    curve: list[list[int]] = []
    in_flight = unseen = 0
    for step, (starts, flight, waiting) in enumerate(changes[: steps + 1]):
        in_flight, unseen = in_flight + flight, unseen + waiting
        curve.append([step * 2, starts, in_flight, unseen])
    return curve


def late_intents(ledger: Path, sandbox: Path) -> int:
    """Count submissions that the server accepted before the moment of their intent in the ledger, or without one.

    That the intent is on disk by then is what the proof's power losses are about; this compares the moments alone.
    """
    with closing(sqlite3.connect(ledger)) as db:
        known = dict(db.execute("SELECT prediction_id, intent_at FROM attempt WHERE prediction_id IS NOT NULL"))
    late = 0
    for each in read_witness(sandbox):
        intent_at = known.get(each.id)
        if intent_at is None:
            late += 1
            continue
        intended = datetime.fromisoformat(str(intent_at)).replace(tzinfo=UTC).timestamp()
        late += intended > moment_from(each.accepted_at) + 0.001
    return late
