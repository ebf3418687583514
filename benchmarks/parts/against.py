"""This code beside another checkout of animatic: CPU a take, start-up, makespan, a manifest that is all cached.

`python -m benchmarks against --against ../before`: rounds in which both take turns; medians, and their ratio. It writes
nothing: what it answers is whether a change made something slower.
"""

import statistics
from collections.abc import Callable

from benchmarks.contest import Studio
from benchmarks.parts import cached
from benchmarks.server import Account
from benchmarks.sizes import Result, Sizes, say

ROUNDS, TAKES, ROWS = 3, 1_000, 100_000
FULL = Account(5_000, 1_000, 20.0)
PACED = Account(600, 2_000, 20.0)
PACED_TAKES = 300
QUICK = Account(5_000, 10, 0.5)

Figure = Callable[[Studio], float]


def run(studio: Studio, sizes: Sizes) -> Result:
    """Measure each figure of both in turn."""
    if sizes.against is None:
        raise SystemExit("against: give the other checkout with --against FOLDER")
    rounds, takes, rows = sizes.rounds or ROUNDS, sizes.takes or TAKES, (sizes.rows or (ROWS,))[0]
    other = Studio(studio.folder / "other", sizes.against.resolve())
    figures: dict[str, Figure] = {
        "CPU a take, ms": lambda of: _cpu_ms(of, takes),
        "CPU of a run of one take, s": lambda of: of.compete("animatic", QUICK, 1).cpu_s,
        "first POST, warm, s": lambda of: of.compete("animatic", QUICK, 1).first_post_s,
        "first POST, fresh home, s": lambda of: of.compete("animatic", QUICK, 1, is_fresh=True).first_post_s,
        f"makespan of {PACED_TAKES} takes against the ideal": lambda of: (
            of.compete("animatic", PACED, PACED_TAKES).ratio
        ),
        f"{rows:,} cached takes, s": lambda of: cached.run(of, Sizes(rounds=1, rows=(rows,)))["run_s"],
    }
    found: list[Result] = []
    for name, figure in figures.items():
        before: list[float] = []
        after: list[float] = []
        for _ in range(rounds):
            before.append(figure(other))
            after.append(figure(studio))
        then, now = statistics.median(before), statistics.median(after)
        found.append({"figure": name, "before": before, "after": after, "ratio": now / then})
        shown = [[round(each, 3) for each in some] for some in (before, after)]
        say(f"{name}: before {then:.3f}, after {now:.3f}, {now / then:.3f} x; {shown[0]} {shown[1]}")
    return {"rows": found}


def _cpu_ms(studio: Studio, takes: int) -> float:
    """Beyond that of a run of one take."""
    found = studio.compete("animatic", FULL, takes)
    return (found.cpu_s - studio.compete("animatic", QUICK, 1).cpu_s) / (takes - 1) * 1_000
