"""Takes of a plan that an amount of money buys, in manifest order, and those that are left for later. Pure.

A take that starts from another comes after it, whatever their rows. Once a take does not fit, all later ones wait too:
the next run goes on from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from animatic.errors.text import counted
from animatic.planning.following import sources_among
from animatic.planning.plan import Later, Plan
from animatic.planning.purchases import without
from animatic.takes.money.amounts import dollars
from animatic.takes.money.budgets import Allowance
from animatic.takes.schemas import PriceClass


class _Reached(NamedTuple):
    """The takes to buy in the order of buying, how many of them fit, and the sum after each."""

    order: NDArray[np.int64]
    fitting: int
    sums: NDArray[np.int64]


def within(plan: Plan, prices: Mapping[PriceClass, int | None], allowances: Sequence[Allowance]) -> Plan:
    """Return the plan that buys as far as the smallest of these amounts goes; the same where all fit, or none is given.

    All prices must be known.
    """
    allowance = min(allowances, key=lambda each: each.microusd, default=None)
    if allowance is None or not plan.to_buy:
        return plan
    reached = _reach(plan, prices, allowance.microusd)
    if reached.fitting == len(reached.order):
        return plan
    is_later = np.zeros(len(plan), bool)
    is_later[reached.order[reached.fitting :]] = True
    bought = int(reached.sums[reached.fitting - 1]) if reached.fitting else 0
    later = Later(
        is_later,
        len(reached.order) - reached.fitting,
        int(reached.sums[-1]) - bought,
        allowance.name,
        _in_words(plan, allowance, reached, bought),
    )
    return replace(without(plan, is_later), later=later)


def _reach(plan: Plan, prices: Mapping[PriceClass, int | None], microusd: int) -> _Reached:
    order = _in_order(plan)
    of_class = np.array([prices.get(each.price) or 0 for each in plan.manifest.classes], np.int64)
    sums = np.cumsum(of_class[plan.manifest.class_of[order]])
    return _Reached(order, int(np.searchsorted(sums, microusd, side="right")), sums)


def _in_order(plan: Plan) -> NDArray[np.int64]:
    """Return the takes to buy in manifest order, each behind those that it starts from."""
    wanted = np.flatnonzero(plan.is_to_buy)
    source_of = {take: source for take, source in sources_among(plan.manifest).items() if plan.is_to_buy[source]}
    if not source_of:
        return wanted
    order = dict[int, None]()
    for take in wanted.tolist():
        chain = [take]
        while (source := source_of.get(chain[-1])) is not None and source not in order and source not in chain:
            chain.append(source)
        order.update(dict.fromkeys(reversed(chain)))
    return np.fromiter(order, np.int64, len(order))


def _in_words(plan: Plan, allowance: Allowance, reached: _Reached, bought: int) -> str:
    left = counted(len(reached.order) - reached.fitting, "take")
    at = np.zeros(len(plan), bool)
    at[reached.order[max(reached.fitting - 1, 0)]] = True
    (take,) = plan.takes_at(at)
    if not reached.fitting:
        return (
            f"{allowance.words} is less than the next take costs ({take.name}, {dollars(int(reached.sums[0]))}); "
            f"{left} left for a later run"
        )
    return (
        f"{allowance.words} goes as far as {take.name}: {reached.fitting:,} of {counted(len(reached.order), 'take')} "
        f"for {dollars(bought)}; {left} for {dollars(int(reached.sums[-1]) - bought)} left for a later run"
    )
