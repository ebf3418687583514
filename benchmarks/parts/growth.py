"""Cost per take and memory as the manifest grows, the account staying the same: 100 to 100,000 rows."""

from benchmarks.contest import Studio
from benchmarks.server import Account
from benchmarks.sizes import Result, Sizes, say

ROWS = (100, 1_000, 10_000, 100_000)
ACCOUNT = Account(100_000, 500, 3.0)


def run(studio: Studio, sizes: Sizes) -> Result:
    """One run for each size."""
    account = Account(
        ACCOUNT.starts_per_minute, sizes.in_flight or ACCOUNT.in_flight, sizes.median_s or ACCOUNT.median_s
    )
    idle_s = studio.empty().cpu_s
    rows: list[Result] = []
    for count in sizes.rows or ROWS:
        found = studio.compete("animatic", account, count, deadline_s=3_600.0)
        cpu_ms = (found.cpu_s - idle_s) / count * 1_000
        rows.append(found.as_dict() | {"cpu_ms_a_take": round(cpu_ms, 3), "ratio": round(found.ratio, 3)})
        say(
            f"{count:,} rows: {cpu_ms:.2f} ms of CPU a take, RSS {found.rss_mb:.0f} MB (tree {found.tree_rss_mb:.0f}), "
            f"wall {found.wall_s:.0f} s, {found.completed:,} completed, {found.lost} lost, exit {found.exit_code}"
        )
    return {"in_flight": account.in_flight, "median_s": account.median_s, "idle_cpu_s": round(idle_s, 2), "rows": rows}
