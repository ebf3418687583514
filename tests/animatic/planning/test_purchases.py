"""Purchases that a plan's file lets a run make: the takes that it names, and each failed one once."""

import numpy as np
from kept_plans import bytes_of, chain_of, file_of, manifest_of, plan_of

from animatic.planning.planned_rows import DOES, Do
from animatic.planning.purchases import Purchases, purchases_of
from animatic.takes.fingerprints import FingerprintSet
from animatic.takes.states import BuyingPolicy, State

RETRY = BuyingPolicy(retry_failed=True)


def named_by(states: dict[int, State] | None = None, limit: int | None = None) -> Purchases:
    return purchases_of(file_of(bytes_of(plan_of(manifest_of(limit=limit), states, RETRY))).rows)


def test_takes_that_the_plan_names_are_bought() -> None:
    plan = plan_of()
    assert named_by().within(plan) is plan


def test_nothing_else_is_bought() -> None:
    plan = named_by(limit=1).within(plan_of())
    assert [take.shot.shot_id for take in plan.takes_to_buy()] == ["one"]
    assert [take.shot.shot_id for take in plan.takes_to_do()] == ["one"]
    assert (plan.left_out, plan.to_buy) == (3, 1)


def test_a_plan_that_buys_nothing_lets_nothing_be_bought() -> None:
    assert named_by({0: State.COMPLETED, 1: State.COMPLETED, 2: State.HELD, 3: State.HELD}).within(plan_of()).to_do == 0


def test_what_another_run_submitted_is_still_polled() -> None:
    plan = named_by({0: State.SUBMITTED}).within(plan_of(states={0: State.SUBMITTED}))
    assert "one" in [take.shot.shot_id for take in plan.takes_to_do()]


def test_a_take_that_failed_before_the_plan_is_bought_again() -> None:
    plan = plan_of(states={0: State.FAILED}, policy=RETRY, attempts={0: 7})
    assert purchases_of(file_of(bytes_of(plan)).rows).within(plan).to_buy == 4


def test_the_same_plan_does_not_buy_again_a_take_that_failed_since() -> None:
    before = plan_of(states={0: State.FAILED}, policy=RETRY, attempts={0: 7})
    after = plan_of(states={0: State.FAILED}, policy=RETRY, attempts={0: 8})
    plan = purchases_of(file_of(bytes_of(before)).rows).within(after)
    assert (plan.to_buy, plan.left_out, plan.settled[State.FAILED]) == (3, 1, 1)


def test_a_take_that_was_new_and_failed_since_is_not_bought_again() -> None:
    assert named_by().within(plan_of(states={0: State.FAILED}, policy=RETRY)).to_buy == 3


async def test_a_take_waits_for_none_that_the_plan_leaves_out() -> None:
    plan = plan_of(await chain_of("one", "two", "three"))
    only_last = Purchases(FingerprintSet(plan.manifest.digests[2:]), np.zeros(1, np.int64))
    kept = only_last.within(plan)
    assert (kept.to_buy, kept.to_do, [*kept.followers()]) == (0, 0, [])
    assert "is not bought by this run" in next(iter(kept.blocked().values()))


async def test_a_chain_that_the_plan_names_is_bought_in_order() -> None:
    plan = plan_of(await chain_of("one", "two"))
    kept = purchases_of(file_of(bytes_of(plan)).rows).within(plan)
    assert [take.shot.shot_id for batch in kept.batches() for take in batch.takes] == ["one"]
    assert [take.shot.shot_id for takes in kept.followers().values() for take in takes] == ["two"]


async def test_a_take_that_cannot_have_its_source_is_blocked_in_the_file() -> None:
    plan = plan_of(await chain_of("one", "two"), {0: State.FAILED})
    assert [DOES[each] for each in file_of(bytes_of(plan)).rows.do] == [Do.FAILED, Do.BLOCKED]


def test_a_take_that_was_proven_not_bought_may_be_bought() -> None:
    assert named_by().within(plan_of(states={0: State.ABSENT, 1: State.UNSENT})).to_buy == 4
