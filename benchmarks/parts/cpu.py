"""Side by side: the same takes, the same server, one contender after the other."""

import statistics

from benchmarks.contest import NAMES, PREFECT, Studio
from benchmarks.server import Account
from benchmarks.sizes import Result, Sizes, say

TAKES, IN_FLIGHT, MEDIAN_S, DEADLINE_S = 2_000, 1_000, 20.0, 300.0


def run(studio: Studio, sizes: Sizes) -> Result:
    """Every contender, `rounds` times in turn; CPU per take is the median, beyond what each costs with nothing to do.

    Nothing to do: for those on Prefect an empty flow in ephemeral mode, for the others the same script on no rows.
    """
    takes, in_flight = sizes.takes or TAKES, sizes.in_flight or IN_FLIGHT
    account = Account(5_000, in_flight, sizes.median_s or MEDIAN_S)
    names = sizes.only or NAMES
    empties, idles, outcomes = [studio.empty().cpu_s], dict[str, float](), dict[str, list[Result]]()
    say(f"an empty Prefect flow: {empties[0]:.2f} s of CPU")
    for _ in range(sizes.rounds or 1):
        empties.append(studio.empty().cpu_s)
        for name in names:
            if name not in PREFECT and name not in idles:
                idles[name] = studio.compete(name, account, 0).cpu_s
            found = studio.compete(name, account, takes, deadline_s=DEADLINE_S)
            idle_s = statistics.median(empties) if name in PREFECT else idles[name]
            seen = max(takes - found.lost, 1)
            shown = found.as_dict() | {
                "idle_cpu_s": round(idle_s, 3),
                "cpu_ms_a_take": round((found.cpu_s - idle_s) / seen * 1_000, 3),
                "ratio": round(found.ratio, 3),
            }
            outcomes.setdefault(name, []).append(shown)
            say(
                f"{name}: {shown['cpu_ms_a_take']:.2f} ms of CPU a take, makespan {found.makespan_s:.1f} s "
                f"({found.ratio:.3f} x ideal), wall {found.wall_s:.0f} s, {found.completed:,} completed, "
                f"{found.requests_a_take:.1f} requests a take, lag {found.lag_mean_s:.2f} s, RSS {found.rss_mb:.0f} MB "
                f"(tree {found.tree_rss_mb:.0f}), sandbox {found.server_cpu_s:.1f} s of CPU"
            )
    rows = [sorted(each, key=lambda one: one["cpu_ms_a_take"])[len(each) // 2] for each in outcomes.values()]
    return {
        "takes": takes,
        "in_flight": in_flight,
        "median_s": account.median_s,
        "rounds": sizes.rounds or 1,
        "empty_cpu_s": round(statistics.median(empties), 2),
        "contenders": rows,
    }
