"""Looks against lag: our schedule, fixed intervals, doubling, and what no schedule gets below. `make polling`.

Nothing is simulated: for a log-normal latency the mean number of looks and the mean lag of a schedule are sums over its
looks. Writes docs/polling.png and the table in docs/polling.md.
"""

import math
import random
import sys
from collections.abc import Iterable, Iterator
from itertools import count, islice, takewhile
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

from animatic.buying.polling.schedule import MEAN_POLLS, LogNormal, Schedule, fit

DOCS = Path(__file__).parents[1] / "docs"
MEAN_S, FLOOR_S = 60.0, 5.0
SPREADS = (0.1, 0.2, 0.4)
HORIZON_S = 3_000.0


def latency(spread: float) -> LogNormal:
    """A log-normal with mean MEAN_S and this coefficient of variation."""
    sigma = math.sqrt(math.log(1 + spread**2))
    return LogNormal(MEAN_S / math.exp(sigma**2 / 2), sigma)


def cost(ages: Iterable[float], of: LogNormal) -> tuple[float, float]:
    """Mean looks and mean lag in seconds of looks at these ages."""
    looks = found_at = done = 0.0
    for number, age in enumerate(ages, 1):
        until = math.erfc(-math.log(age / of.median_s) / of.sigma / math.sqrt(2)) / 2
        looks, found_at, done = looks + number * (until - done), found_at + age * (until - done), until
    return looks, found_at - of.mean_s


def ours(schedule: Schedule) -> Iterator[float]:
    """The ages at which a take is looked at, but for jitter."""
    age = schedule.next_age_s(0.0)
    while age < HORIZON_S:
        yield age
        age = schedule.next_age_s(age)


def fixed(interval_s: float) -> Iterator[float]:
    """A look every so often."""
    return takewhile(lambda age: age < HORIZON_S, (interval_s * number for number in count(1)))


def doubling(first_s: float) -> Iterator[float]:
    """Intervals that double."""
    return islice((first_s * (2.0**number - 1) for number in count(1)), 16)


def rows() -> Iterator[list[str]]:
    """The table: for each spread the bound and what the schedules cost."""
    for spread in SPREADS:
        of = latency(spread)
        bound = Schedule(of, 0.05).cost_bound_s
        chance = random.Random(7)
        learned = fit([chance.lognormvariate(math.log(of.median_s), of.sigma) for _ in range(30)])
        schedules = {
            f"ours, floor {FLOOR_S:g} s": ours(Schedule(of, FLOOR_S)),
            "ours, no floor": ours(Schedule(of, 0.05)),
            f"ours, learned from 30 takes, floor {FLOOR_S:g} s": ours(Schedule(learned, FLOOR_S)),
            f"ours, nothing known, floor {FLOOR_S:g} s": ours(Schedule(None, FLOOR_S)),
            "every 1 s (the SDK)": fixed(1.0),
            "every 5 s": fixed(5.0),
            "doubling from 1 s": doubling(1.0),
        }
        for name, ages in schedules.items():
            looks, lag = cost(ages, of)
            yield [
                f"{spread:g}",
                name,
                f"{looks:.1f}",
                f"{lag:.1f}",
                f"{looks * lag:.1f}",
                f"{looks * lag / bound:.2f}",
            ]


def table() -> str:
    """The table in Markdown."""
    head = ["spread", "schedule", "looks a take", "lag, s", "looks × lag", "× bound"]
    lines = ["| " + " | ".join(head) + " |", "| ---: | --- | ---: | ---: | ---: | ---: |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows())])


def draw(path: Path) -> None:
    """Curves of looks against lag, one picture a spread."""
    figure, pictures = plt.subplots(1, len(SPREADS), figsize=(12, 4.2), sharey=True)
    for picture, spread in zip(pictures, SPREADS, strict=True):
        of = latency(spread)
        bound = Schedule(of, 0.05).cost_bound_s
        lags = [0.3 * 1.12**step for step in range(50)]
        picture.fill_between(lags, 0.5, [max(bound / lag, 0.5) for lag in lags], color="#eeeeee", label="no schedule")
        families = {
            "ours": [ours(Schedule(of, 0.05, looks / 2)) for looks in range(3, 60)],
            "fixed intervals": [fixed(each / 4) for each in range(2, 120)],
            "doubling": [doubling(each / 4) for each in range(1, 80)],
        }
        for (name, family), color in zip(families.items(), ("#c0392b", "#2c3e50", "#7f8c8d"), strict=True):
            points = [(lag, looks) for looks, lag in (cost(ages, of) for ages in family)]
            style = "." if name == "doubling" else "-"
            picture.plot(*zip(*points, strict=True), style, color=color, label=name, lw=2 if name == "ours" else 1)
        looks, lag = cost(ours(Schedule(of, FLOOR_S, MEAN_POLLS)), of)
        picture.plot([lag], [looks], "o", color="#c0392b", label=f"ours, as set, floor {FLOOR_S:g} s")
        picture.set(
            xscale="log", yscale="log", xlim=(0.4, 30), ylim=(1, 100), title=f"spread {spread:g}", xlabel="lag, s"
        )
    pictures[0].set_ylabel("looks a take")
    pictures[-1].legend(frameon=False, fontsize=8)
    figure.suptitle(f"log-normal latency, mean {MEAN_S:g} s", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> int:
    """Draw, and write the table into the page."""
    draw(DOCS / "polling.png")
    page = DOCS / "polling.md"
    before, rest = page.read_text().partition(begin := "<!-- quoted: polling -->")[::2]
    after = rest.partition(end := "<!-- end of polling -->")[2]
    page.write_text(f"{before}{begin}\n{table()}\n{end}{after}")
    sys.stdout.write(table() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
