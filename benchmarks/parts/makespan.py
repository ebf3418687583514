"""Makespan against the ideal, where the pace binds (silver, gold) and where places do; all at once, thrice each."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.contest import ContestResult, Studio
from benchmarks.server import Account
from benchmarks.sizes import Result, Sizes, say

CASES: dict[str, tuple[Account, int]] = {
    "silver, pace binds": (Account(60, 100, 60.0), 180),
    "silver, places bind": (Account(60, 100, 120.0), 200),
    "gold, pace binds": (Account(600, 2_000, 60.0), 1_800),
}
ROUNDS, APART_S = 3, 3.0
"""The last look of a run is up to a floor late, by chance. They begin apart: a start-up needs all of both cores."""


def run(studio: Studio, sizes: Sizes) -> Result:
    """animatic and the limit side by side, each with a sandbox of its own; the median of each one's makespans."""
    names, rounds = sizes.only or ("limit", "animatic"), sizes.rounds or ROUNDS
    studio.warm()
    jobs = [(case, name) for case in CASES for name in names for _ in range(rounds)]

    def compete(number: int) -> ContestResult:
        case, name = jobs[number]
        account, takes = CASES[case]
        time.sleep(number * APART_S)
        return studio.compete(name, account, sizes.takes or takes, deadline_s=900.0)

    with ThreadPoolExecutor(len(jobs)) as pool:
        outcomes = list(pool.map(compete, range(len(jobs))))
    first_of_each = jobs[::rounds]
    runs_of_each = [outcomes[first : first + rounds] for first in range(0, len(jobs), rounds)]
    return {"rows": [_row(*job, each) for job, each in zip(first_of_each, runs_of_each, strict=True)]}


def _row(case: str, name: str, outcomes: Sequence[ContestResult]) -> Result:
    """The median run of a case and contender; every run's ratio is in it too."""
    found = sorted(outcomes, key=lambda each: each.ratio)[len(outcomes) // 2]
    ratios = [round(each.ratio, 4) for each in outcomes]
    account = CASES[case][0]
    say(
        f"{case}, {name}: {found.makespan_s:.1f} s, ideal {found.ideal_s:.1f} s, {found.ratio:.3f} x of {ratios}; "
        f"{found.looks_a_take:.1f} looks a take, lag {found.lag_mean_s:.1f} s, {found.refused} refused"
    )
    return found.as_dict() | {
        "case": case,
        "starts_per_minute": account.starts_per_minute,
        "in_flight": account.in_flight,
        "median_s": account.median_s,
        "ratio": round(found.ratio, 4),
        "ratio_of_each_run": ratios,
    }
