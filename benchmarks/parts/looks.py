"""Result queries against lag: what the schedule comes to in a real run, and the bound that no schedule gets below."""

import math
import statistics
from concurrent.futures import ThreadPoolExecutor

from animatic.buying.polling.schedule import LogNormal, Schedule
from benchmarks.contest import ContestResult, Studio
from benchmarks.server import Account, Seen, takes_of
from benchmarks.sizes import Result, Sizes, say

SPREADS = (0.1, 0.2, 0.4)
STARTS, IN_FLIGHT, MEDIAN_S, TAKES = 600, 300, 60.0, 900


def run(studio: Studio, sizes: Sizes) -> Result:
    """One run for each spread, all at once; those that were submitted after the first were done are counted apart."""
    studio.warm()
    median_s, takes = sizes.median_s or MEDIAN_S, sizes.takes or TAKES
    rooms = {spread: studio.room(f"looks-{spread}") for spread in SPREADS}

    def compete(spread: float) -> ContestResult:
        account = Account(STARTS, sizes.in_flight or IN_FLIGHT, median_s, spread)
        return studio.compete("animatic", account, takes, room=rooms[spread])

    with ThreadPoolExecutor(len(SPREADS)) as pool:
        outcomes = list(pool.map(compete, SPREADS))
    rows: list[Result] = []
    for spread, found in zip(SPREADS, outcomes, strict=True):
        of = LogNormal(median_s, math.sqrt(math.log1p(spread**2)))
        bound = Schedule(of, 0.05).cost_bound_s
        seen = [each for each in takes_of(rooms[spread] / "sandbox") if each.seen_at is not None]
        first_seen_at = min(each.seen_at or math.inf for each in seen)
        for which, counted in (
            ("all", seen),
            ("submitted once some were done", [each for each in seen if each.accepted_at > first_seen_at]),
        ):
            rows.append({"spread": spread, "which": which} | _cost(counted, bound))
            say(f"spread {spread}: {rows[-1]}")
        rows[-1] |= {"refused": found.refused, "lost": found.lost}
    return {"median_s": median_s, "takes": takes, "floor_s": Account(1, 1, median_s).floor_s, "rows": rows}


def _cost(takes: list[Seen], bound: float) -> Result:
    looks = statistics.fmean(each.looks for each in takes)
    lag_s = statistics.fmean((each.seen_at or 0.0) - each.final_at for each in takes)
    return {
        "takes": len(takes),
        "looks": round(looks, 2),
        "lag_s": round(lag_s, 2),
        "cost": round(looks * lag_s, 1),
        "bound": round(bound, 1),
        "ratio": round(looks * lag_s / bound, 3),
    }
