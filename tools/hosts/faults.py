"""Faults of machines, drawn from a seed. Pure."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KILL, CUT, DATABASE, PREFECT = "kill", "cut", "database", "prefect"
WAYS: Mapping[str, Sequence[str]] = {
    KILL: ("host", "host, its line slow before", "run alone", "worker alone"),
    CUT: ("without a word", "carrier lost"),
    DATABASE: ("fast", "immediate", "killed"),
    PREFECT: ("killed",),
}
"""Ways of each fault, taken in turn."""

_LASTS_S: Mapping[str, tuple[float, float]] = {
    KILL: (2.0, 20.0),
    CUT: (10.0, 130.0),
    DATABASE: (1.0, 12.0),
    PREFECT: (2.0, 20.0),
}
"""From a fault until what it broke is started or mended again, at least and at most."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        after_s: seconds after the one before it.
        way: one of WAYS.
        lasts_s: seconds until it is mended.
        pick: a number from 0 to 1, which says which of the hosts that carry out runs is hit.
    """

    name: str
    way: str
    after_s: float
    lasts_s: float
    pick: float


def drawn(counts: Mapping[str, int], seed: int, every_s: float) -> list[Fault]:
    """Return so many faults of each name, in an order and at times that the seed gives, `every_s` apart on average."""
    chance = random.Random(seed)  # noqa: S311 - to be drawn again, not to be secret
    names = [name for name, count in counts.items() for _ in range(count)]
    chance.shuffle(names)
    drawn_of: dict[str, int] = {}
    found: list[Fault] = []
    for name in names:
        number = drawn_of[name] = drawn_of.get(name, -1) + 1
        lasts_s = chance.uniform(*_LASTS_S[name])
        after_s = chance.uniform(0.4, 1.6) * every_s
        found.append(Fault(name, WAYS[name][number % len(WAYS[name])], after_s, lasts_s, chance.random()))
    return found
