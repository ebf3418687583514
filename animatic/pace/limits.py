"""Rules for starting the next take. Pure: the time is an argument, in seconds of any one clock.

Sources: WaveSpeed's account-levels page (two copies disagree, so every number is a setting) and its advice to look at
a video no sooner than every 5 s, growing; neither was tried live.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MINUTE_S = 60.0
LONGEST_PENALTY_S = 120.0
SHORTEST_PENALTY_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the account.

    Attributes:
        starts_per_minute: more than this within any 60 s gets 429.
        max_in_flight: more than this waits in WaveSpeed's own queue.
    """

    starts_per_minute: int
    max_in_flight: int


LEVELS: dict[str, Limits] = {
    "bronze": Limits(2, 2),
    "silver": Limits(60, 100),
    "gold": Limits(600, 2_000),
    "ultra": Limits(5_000, 5_000),
}
"""Account levels, with the lower figure where WaveSpeed's pages disagree."""


HOLD_S = 130.0
"""Seconds that granted starts count if their run never reports on them: a minute, the deadline of a submission, and a
margin. The run may have used them and died."""

BLOCKS_A_MINUTE = 12
LARGEST_BLOCK = 100


@dataclass(frozen=True, slots=True)
class Granted:
    """Number of starts that may be made now. If 0, `wait_s` says how long to wait before asking again."""

    starts: int
    wait_s: float = 0.0


def block_of(limits: Limits, starting: int, waiting: int) -> int:
    """Return how many starts to ask for at once: `starting` takes could start now, `waiting` wait for a slot.

    Each block costs a commit, up to a tenth of a second on a busy disk. So a block covers all takes that could start
    now, at most five seconds' worth. Takes that wait for a slot add starts only up to a quarter of a second's worth:
    so few that other runs hardly miss them until they are used.
    """
    most = min(max(limits.starts_per_minute // BLOCKS_A_MINUTE, 1), LARGEST_BLOCK)
    ahead = max(most // 20, 1)
    return min(max(starting, min(starting + waiting, ahead)), most)


def grant_starts(counted: int, next_free_at: float | None, limits: Limits, wanted: int, now: float) -> Granted:
    """Grant as many starts as fit, so that no 60 s ever hold more than the account allows.

    A start counts from its grant until a minute after its reply came, since only the reply proves that the server has
    counted it; so the server's own minute can't see one more, however long the network took.

    `counted` starts of all runs together count at this moment; the next of them stop counting at `next_free_at`.
    """
    free = limits.starts_per_minute - counted
    if free > 0:
        return Granted(min(free, wanted))
    return Granted(0, max((next_free_at or now) - now, 0.001))


def queued_ahead(limits: Limits, unseen: float) -> int:
    """Return how many takes to keep in WaveSpeed's own queue, beyond those that it works on.

    Without a queue, each take that is done and not seen yet would leave one of their slots idle. On average those are
    `max_in_flight` x lag / latency, but takes that began together end together, so `unseen` is the number expected now.
    Two standard deviations are added for chance; the result is a quarter of `max_in_flight` at most.
    """
    return min(math.ceil(unseen + 2.0 * math.sqrt(unseen)), max(limits.max_in_flight // 4, 1))


def penalty_s(refusals: int, retry_after_s: float | None) -> float:
    """Return how long all runs wait after a 429: as the server asks, or 5 s doubled for each refusal in a row."""
    doubled_s = SHORTEST_PENALTY_S * 2.0 ** min(refusals, 8)
    return min(doubled_s if retry_after_s is None else retry_after_s, LONGEST_PENALTY_S)


def share_of_slots(limits: Limits, others: Sequence[tuple[int, int]], wanted: int) -> int:
    """Return how many takes a run may have in flight, given (held, wanted) of each other live run; 0: ask later.

    A run that wants less than an even share leaves the rest to the others. No run gives up what is in flight, so a
    run that comes late gets its share as the takes of the others end.
    """
    left, askers = limits.max_in_flight, len(others) + 1
    for want in sorted([wanted, *(each for _, each in others)]):
        fair = left // askers
        if want > fair:
            fair = max(fair, 1)
            break
        left, askers = left - want, askers - 1
    else:
        fair = wanted  # there is enough for everybody
    free = limits.max_in_flight - sum(held for held, _ in others)
    return max(min(wanted, fair, free), 0)


SpentBlock = tuple[int, int, float]
"""A block that is used up: its id, how many of its starts were sent, and when the last reply to them came."""
