"""Reach of money: takes in manifest order, none before the one that it starts from, the rest left for later."""

from collections.abc import Iterable
from datetime import date

import pytest
from kept_plans import chain_of, manifest_of, plan_of

from animatic.planning.plan import Plan
from animatic.planning.reach import within
from animatic.takes.money.amounts import microusd
from animatic.takes.money.budgets import Allowance, DayBudget, spent_up_to
from animatic.takes.shots import Take
from animatic.takes.states import BuyingPolicy, State

USD = {"5s": 2.5, "6s": 3.0}


def bought(plan: Plan, *allowances: float | Allowance) -> Plan:
    """The plan within so many dollars; a take of 5 s costs $2.50, one of 6 s $3.00."""
    prices = {each.price: microusd(USD[str(each.price.inputs["duration"])]) for each in plan.manifest.classes}
    return within(plan, prices, [_allowance(each) for each in allowances])


def _allowance(found: float | Allowance) -> Allowance:
    return found if isinstance(found, Allowance) else spent_up_to(microusd(found))


def names(takes: Iterable[Take]) -> list[str]:
    return [take.name for take in takes]


ALL = ["one take 1", "two take 1", "two take 2", "three take 1"]


@pytest.mark.parametrize(
    ("usd", "expected"), [(0, 0), (2.49, 0), (2.5, 1), (5.49, 1), (5.5, 2), (8.5, 3), (10.999999, 3), (11, 4), (99, 4)]
)
def test_takes_are_bought_in_manifest_order_while_they_fit(usd: float, expected: int) -> None:
    plan = bought(plan_of(), usd)
    assert names(plan.takes_to_buy()) == names(plan.takes_to_do()) == ALL[:expected]
    assert (plan.to_buy, 0 if plan.later is None else plan.later.count) == (expected, 4 - expected)
    costs = [microusd(each) for each in (2.5, 3, 3, 2.5)]
    assert (0 if plan.later is None else plan.later.microusd) == sum(costs[expected:])


def test_a_cheaper_take_does_not_overtake_the_first_that_does_not_fit() -> None:
    manifest = manifest_of([("dear", "pan", "6s", 1), ("cheap", "tilt", "5s", 1)])
    assert bought(plan_of(manifest), 2.5).to_buy == 0


def test_what_is_done_or_in_flight_costs_nothing_and_stays_to_do() -> None:
    plan = bought(plan_of(states={0: State.COMPLETED, 1: State.SUBMITTED}), 3.0)
    assert names(plan.takes_to_buy()) == ["two take 2"]
    assert names(plan.takes_to_do()) == ["two take 1", "two take 2"]
    assert (plan.resumable, plan.settled[State.COMPLETED]) == (1, 1)


def test_a_failed_take_that_waits_for_its_retry_still_counts_as_failed() -> None:
    plan = bought(plan_of(states={3: State.FAILED}, policy=BuyingPolicy(retry_failed=True)), 8.5)
    assert (plan.to_buy, plan.settled[State.FAILED]) == (3, 1)


def test_the_smaller_of_two_amounts_counts_and_is_named() -> None:
    day = DayBudget(date(2026, 3, 1), microusd(20), microusd(15))
    plan = bought(plan_of(), 8.5, day.allowance)
    assert plan.later is not None
    assert (plan.to_buy, plan.later.limit) == (1, "ANIMATIC_MAX_USD_PER_DAY")
    assert "with $5.00 of $20.00 left for 2026-03-01 (UTC), goes as far as one take 1" in plan.later.reason
    plan = bought(plan_of(), 2.5, day.allowance)
    assert plan.later is not None
    assert plan.later.reason == (
        "--spend-up-to $2.50 goes as far as one take 1: 1 of 4 takes for $2.50; 3 takes for $8.50 left for a later run"
    )


def test_a_day_whose_limit_was_lowered_has_nothing_left() -> None:
    day = DayBudget(date(2026, 3, 1), microusd(5), microusd(15), 2)
    plan = bought(plan_of(), day.allowance)
    assert (day.left_microusd, plan.to_buy) == (0, 0)
    assert plan.later is not None
    assert "is less than the next take costs (one take 1, $2.50); 4 takes left" in plan.later.reason
    assert day.words == "$0.00 of $5.00 left for 2026-03-01 (UTC); 2 more at a price that is not known"


def test_the_plan_stays_the_same_without_an_amount_or_where_all_fits() -> None:
    plan = plan_of()
    assert bought(plan) is plan
    assert bought(plan, 11.0) is plan


@pytest.mark.parametrize(("usd", "expected"), [(2.5, ["one"]), (5, ["one", "two"]), (7.5, ["one", "two", "three"])])
async def test_a_take_is_bought_only_with_the_one_it_starts_from(usd: float, expected: list[str]) -> None:
    plan = bought(plan_of(await chain_of("one", "two", "three")), usd)
    assert [take.shot.shot_id for take in plan.takes_to_buy()] == expected
    assert plan.blocked() == {}
    assert len(plan.followers()) == len(expected) - 1


async def test_a_source_further_down_comes_before_what_starts_from_it() -> None:
    plan = plan_of(await chain_of("three", "two", "one", upside_down=True))
    first = bought(plan, 2.5)
    assert [take.shot.shot_id for take in first.takes_to_buy()] == ["three"]
    second = bought(plan, 5)
    assert {take.shot.shot_id for take in second.takes_to_buy()} == {"three", "two"}
    assert second.later is not None
    assert "goes as far as two take 1" in second.later.reason


async def test_a_source_that_was_bought_before_is_not_paid_again() -> None:
    manifest = await chain_of("one", "two")
    plan = bought(plan_of(manifest, {0: State.SUBMITTED}), 2.5)
    assert [take.shot.shot_id for take in plan.takes_to_buy()] == ["two"]
