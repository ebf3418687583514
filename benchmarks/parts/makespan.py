"""Makespan against the ideal, where the pace binds (silver, gold) and where places do; all at once."""

from concurrent.futures import ThreadPoolExecutor

from benchmarks.contest import Outcome, Studio
from benchmarks.server import Account
from benchmarks.sizes import Result, Sizes, say

CASES: dict[str, tuple[Account, int]] = {
    "silver, pace binds": (Account(60, 100, 60.0), 180),
    "silver, places bind": (Account(60, 100, 120.0), 200),
    "gold, pace binds": (Account(600, 2_000, 60.0), 1_800),
}


def run(studio: Studio, sizes: Sizes) -> Result:
    """animatic and the limit side by side, each with a sandbox of its own."""
    names = sizes.only or ("limit", "animatic")
    studio.warm()
    jobs = [(case, name) for case in CASES for name in names]

    def compete(job: tuple[str, str]) -> Outcome:
        account, takes = CASES[job[0]]
        return studio.compete(job[1], account, sizes.takes or takes, deadline_s=900.0)

    with ThreadPoolExecutor(len(jobs)) as pool:
        outcomes = list(pool.map(compete, jobs))
    rows: list[Result] = []
    for (case, name), found in zip(jobs, outcomes, strict=True):
        account = CASES[case][0]
        rows.append(
            found.as_dict()
            | {
                "case": case,
                "starts_per_minute": account.starts_per_minute,
                "in_flight": account.in_flight,
                "median_s": account.median_s,
                "ratio": round(found.ratio, 4),
            }
        )
        say(
            f"{case}, {name}: {found.makespan_s:.1f} s, ideal {found.ideal_s:.1f} s, {found.ratio:.3f} x; "
            f"{found.looks_a_take:.1f} looks a take, lag {found.lag_mean_s:.1f} s, {found.refused} refused"
        )
    return {"rows": rows}
