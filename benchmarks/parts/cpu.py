"""Side by side: the same takes, the same server, one contender after the other."""

import statistics

from benchmarks.contest import NAMES, PREFECT, ContestResult, Studio
from benchmarks.server import Account
from benchmarks.sizes import Result, Sizes, say

TAKES, IN_FLIGHT, MEDIAN_S, DEADLINE_S = 2_000, 1_000, 20.0, 300.0
ROUNDS, CLOSE = 3, ("limit", "animatic")
"""Runs of those that are close to each other; the others, far off, run once. The CPU of an empty flow, which is taken
off, differs by a second from one time to the next: half a millisecond a take."""


def run(studio: Studio, sizes: Sizes) -> Result:
    """Every contender, those that are close in turn; CPU per take is the median, beyond that of having nothing to do.

    Nothing to do: for those on Prefect an empty flow in ephemeral mode, for the others the same script on no rows.
    """
    takes, in_flight = sizes.takes or TAKES, sizes.in_flight or IN_FLIGHT
    account = Account(5_000, in_flight, sizes.median_s or MEDIAN_S)
    names = sizes.only or NAMES
    empties_s, outcomes = [_empty_s(studio)], dict[str, list[ContestResult]]()
    idles_s = {name: [studio.idle_cpu_s(name, account)] for name in names if name not in PREFECT}
    for number in range(sizes.rounds or ROUNDS):
        for name in names:
            if number and name not in CLOSE:
                continue
            found = studio.compete(name, account, takes, deadline_s=DEADLINE_S)
            outcomes.setdefault(name, []).append(found)
            say(
                f"{name}: {found.cpu_s:.2f} s of CPU, makespan {found.makespan_s:.1f} s ({found.ratio:.3f} x ideal), "
                f"wall {found.wall_s:.0f} s, {found.completed:,} completed, "
                f"{found.requests_a_take:.1f} requests a take, lag {found.lag_mean_s:.2f} s, RSS {found.rss_mb:.0f} MB "
                f"(tree {found.tree_rss_mb:.0f}), sandbox {found.server_cpu_s:.1f} s of CPU"
            )
        empties_s.append(_empty_s(studio))
    rows = [_row(found, idles_s.get(name, empties_s), takes) for name, found in outcomes.items()]
    return {
        "takes": takes,
        "in_flight": in_flight,
        "median_s": account.median_s,
        "empty_cpu_s": [round(each, 2) for each in empties_s],
        "contenders": rows,
    }


def _empty_s(studio: Studio) -> float:
    cpu_s = studio.empty().cpu_s
    say(f"an empty Prefect flow: {cpu_s:.2f} s of CPU")
    return cpu_s


def _row(outcomes: list[ContestResult], idles_s: list[float], takes: int) -> Result:
    """The median run of one contender; every run's CPU a take is in it too."""
    idle_s = statistics.median(idles_s)
    each_ms = [round((one.cpu_s - idle_s) / max(takes - one.lost, 1) * 1_000, 3) for one in outcomes]
    middle = sorted(range(len(outcomes)), key=each_ms.__getitem__)[len(outcomes) // 2]
    row = outcomes[middle].as_dict() | {
        "idle_cpu_s": round(idle_s, 3),
        "cpu_ms_a_take": each_ms[middle],
        "cpu_ms_of_each_run": each_ms,
        "ratio": round(outcomes[middle].ratio, 3),
    }
    say(f"{outcomes[middle].contender}: {each_ms} ms of CPU a take")
    return row
