"""The state of a run that works, for its page: counts, money and what is ahead, as plain values.

`animatic.live({...})` gives it to the page. A page knows by `at` and `every_s` if the run that writes it has died.

    revision     of board.js; a page whose data are older loads that file
    run_id, at   the run; when this was written
    every_s      the next state comes within so many seconds
    ended        true in the last state of a run
    completed, failed, unclear, queued, making, waiting, left
                 takes, which add up to `total`: `queued` and `making` at WaveSpeed, `waiting` to be submitted, `left`
                 to the next run; `found` of them were final before this run began
    flagged      takes with an output that is flagged NSFW
    spent_usd    reserved by this run, without `unpriced` submissions; `limit_usd` where there is a limit
    elapsed_s    since the run began; `eta_s`: until its end, as foreseen
    message      what it waits for, where it waits
    archived, to_archive   clips
    states       `queued` or `making` of takes in flight, by fingerprint, of 500 at most: a board comes more seldom
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from animatic.progress import Progress
from animatic.takes.states import State

EVERY_S = 2.0
"""Seconds between two states of a run, at least."""

MOST_SHARE = 0.02
"""The most of a run's time that its page may take: what takes longer comes more seldom."""

MOST_LIVE_TAKES = 5_000
"""A board of more takes is written when a run begins and when it ends; its numbers stay live."""

MOST_STATES = 500
"""The most takes whose states are in the state of a run, which an open page loads every 2 s."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment of a run, beside its counts.

    Attributes:
        every_s: the next state comes within so many seconds.
        left_s: until the run ends, as foreseen.
        max_microusd: the run's limit.
    """

    run_id: str
    revision: int
    at: datetime
    every_s: float = EVERY_S
    is_ended: bool = False
    elapsed_s: float = 0.0
    left_s: float = 0.0
    max_microusd: int | None = None
    waits_for: Sequence[str] = ()


def live_state(progress: Progress, moment: Moment) -> Mapping[str, Any]:
    """Return the state of a run at a moment."""
    states, queued, in_flight = progress.by_state(), progress.queued, progress.in_flight
    completed, failed = states[State.COMPLETED], states[State.FAILED] + states[State.REJECTED]
    limit = moment.max_microusd
    return {
        "revision": moment.revision,
        "run_id": moment.run_id,
        "at": moment.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "every_s": round(moment.every_s, 1),
        "ended": moment.is_ended,
        "total": progress.total,
        "found": progress.cached.total(),
        "completed": completed,
        "failed": failed,
        "unclear": progress.unclear + states.total() - completed - failed,
        "queued": queued,
        "making": max(in_flight - queued, 0),
        "waiting": progress.to_start,
        "left": progress.passed_on,
        "flagged": progress.flagged,
        "spent_usd": progress.reserved.cost_microusd / 1e6,
        "unpriced": progress.reserved.unpriced,
        "limit_usd": None if limit is None else limit / 1e6,
        "elapsed_s": round(moment.elapsed_s, 1),
        "eta_s": round(moment.left_s, 1) if progress.left and not moment.is_ended else None,
        "message": ". ".join(moment.waits_for),
        "archived": progress.archive.kept,
        "to_archive": progress.archive.total,
        "states": {} if moment.is_ended else dict(islice(progress.states().items(), MOST_STATES)),
    }


def wait_s(cost_s: float) -> float:
    """Return how long to wait after work for the page that took so long."""
    return max(EVERY_S, cost_s * (1 / MOST_SHARE - 1))
