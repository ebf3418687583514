"""A checked manifest held against the ledger: the takes to buy, their cost, their batches."""

import gc
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from asked import shots_in, takes_of

from animatic.errors import BudgetError
from animatic.manifest import Manifest, check, read_table
from animatic.planning.plan import MOST_BATCHES, TASKS_OF_ONE, Plan, make_plan
from animatic.takes.money.amounts import limit_microusd, microusd
from animatic.takes.shots import Take
from animatic.takes.snapshot import LedgerSnapshot
from animatic.takes.states import BuyingPolicy, State, TakeStatus

PROVIDER = "https://api.wavespeed.ai"
STILL = "https://stills.example/a.png"
NOTHING = BuyingPolicy()


def manifest(rows: int, takes: int = 1, prompt: str = "push in {}", duration: str = "5s") -> Manifest:
    lines = [f"s{row},{STILL},{prompt.format(row)},{duration},{takes}" for row in range(1, rows + 1)]
    raw = read_table("shots.csv", "\n".join(["shot_id,image,prompt,duration,takes", *lines]).encode())
    return check(raw, stills={}, storyboard_default="harbour", provider=PROVIDER)


def snapshot(states: Sequence[State | None], flagged: Sequence[int] = (), **values: object) -> LedgerSnapshot:
    """One take after the other; the attempt of take n has the id n."""
    price_classes = [TakeStatus(None), *(TakeStatus(state, **values) for state in states)]
    known = [index if state else 0 for index, state in enumerate(states, start=1)]
    is_flagged = np.isin(np.arange(1, len(states) + 1), flagged)
    return LedgerSnapshot(price_classes, np.array(known, np.int32), np.array(known, np.int64), is_flagged)


def plan_of(
    states: list[State | None], policy: BuyingPolicy = NOTHING, flagged: Sequence[int] = (), **values: object
) -> Plan:
    return make_plan(manifest(len(states)), snapshot(states, flagged, **values), policy)


def fresh(checked: Manifest) -> Plan:
    return make_plan(checked, snapshot([None] * len(checked.digests)), NOTHING)


def shot_ids(takes: Iterable[Take]) -> list[str]:
    return [take.shot.shot_id for take in takes]


ONE_OF_EACH: list[State | None] = [None, *State]


def test_without_a_policy_only_what_bought_nothing_is_bought() -> None:
    plan = plan_of(ONE_OF_EACH)
    expected = [index for index, state in enumerate(ONE_OF_EACH, 1) if state in {None, State.UNSENT, State.ABSENT}]
    assert shot_ids(plan.takes_to_buy()) == [f"s{index}" for index in expected]
    assert plan.to_buy == len(expected)
    assert plan.resumable == 1


def test_retry_failed_buys_failed_and_rejected_takes_too_and_nothing_else() -> None:
    before = shot_ids(plan_of(ONE_OF_EACH).takes_to_buy())
    after = shot_ids(plan_of(ONE_OF_EACH, BuyingPolicy(retry_failed=True)).takes_to_buy())
    added = {ONE_OF_EACH[int(name[1:]) - 1] for name in after} - {ONE_OF_EACH[int(name[1:]) - 1] for name in before}
    assert added == {State.FAILED, State.REJECTED}


def test_what_may_have_been_bought_is_unclear_and_left_alone() -> None:
    plan = plan_of([State.UNKNOWN, State.HELD], BuyingPolicy(retry_failed=True, attempts=5))
    assert (plan.to_do, plan.unclear, plan.underway) == (0, 2, 0)


def test_a_take_another_run_is_submitting_is_to_do_not_to_buy() -> None:
    plan = plan_of([State.SUBMITTING], BuyingPolicy(retry_failed=True, attempts=5))
    assert (shot_ids(plan.takes_to_do()), plan.to_buy, plan.unclear, plan.underway) == (["s1"], 0, 0, 1)


def test_to_do_is_to_buy_or_to_poll_in_manifest_order() -> None:
    plan = plan_of([State.COMPLETED, None, State.SUBMITTED, State.FAILED, State.UNSENT])
    assert shot_ids(plan.takes_to_do()) == ["s2", "s3", "s5"]


def test_settled_takes_are_counted_once_by_state() -> None:
    states = [State.COMPLETED, State.COMPLETED, State.FAILED, State.REJECTED, State.SUBMITTED]
    kept = Counter({State.COMPLETED: 2, State.FAILED: 1, State.REJECTED: 1})
    assert plan_of(states).settled == kept
    assert plan_of(states, BuyingPolicy(retry_failed=True)).settled == Counter({State.COMPLETED: 2})


def test_flagged_ones_are_counted_among_the_settled_only() -> None:
    states, flagged = [State.COMPLETED, State.FAILED, State.COMPLETED], [1, 2]
    assert plan_of(states, flagged=flagged).settled_flagged == 2
    assert plan_of(states, BuyingPolicy(retry_failed=True), flagged).settled_flagged == 1
    assert plan_of([State.COMPLETED]).settled_flagged == 0


def test_rows_that_ask_for_the_same_take_share_it() -> None:
    plan = fresh(manifest(1, takes=2, prompt="the same"))
    assert (len(plan), plan.rows_asking, plan.to_buy) == (2, 2, 2)
    raw = read_table("shots.csv", f"image,prompt,takes\n{STILL},a,1\n{STILL},b,1\n{STILL},a,3\n".encode())
    plan = fresh(check(raw, stills={}, storyboard_default="x", provider=PROVIDER))
    assert (len(plan), plan.rows_asking, plan.to_buy) == (4, 5, 4)
    assert [(take.shot.row, take.number) for take in plan.takes_to_buy()] == [(1, 1), (2, 1), (3, 2), (3, 3)]


def test_takes_are_found_by_fingerprint_in_manifest_order() -> None:
    plan = fresh(manifest(20, takes=2))
    takes = list(plan.takes_to_buy())
    wanted = [takes[index] for index in (3, 17, 39)]
    assert plan.find(["0" * 64, *(take.fingerprint for take in reversed(wanted))]) == wanted
    assert plan.find([]) == []


def test_a_plan_costs_what_its_takes_to_buy_cost() -> None:
    plan = fresh(manifest(4, takes=2))
    (price_class,) = plan.price_classes
    assert price_class == next(plan.takes_to_buy()).shot.price_class
    assert plan.cost({price_class: 2_500_000}) == 20_000_000
    assert plan.cost({}) is None
    assert plan.cost({price_class: None}) is None
    assert plan_of([State.COMPLETED]).cost({}) == 0


def test_one_price_that_is_missing_leaves_the_whole_cost_unknown() -> None:
    raw = read_table("shots.csv", f"image,prompt,duration\n{STILL},a,5s\n{STILL},a,6s\n{STILL},b,6s\n".encode())
    plan = fresh(check(raw, stills={}, storyboard_default="x", provider=PROVIDER))
    five, six = plan.price_classes
    assert plan.cost({five: 2_500_000, six: 3_000_000}) == 8_500_000
    assert plan.cost({five: 2_500_000, six: None}) is None
    assert plan.cost({six: 3_000_000}) is None


@pytest.mark.parametrize("max_microusd", [None, 5_000_000, 10**15])
def test_a_plan_within_its_budget_may_run(max_microusd: int | None) -> None:
    plan = plan_of([None, None])
    plan.require_budget({next(iter(plan.price_classes)): 2_500_000}, max_microusd)


def test_a_plan_beyond_its_budget_is_refused_with_both_sums() -> None:
    plan = plan_of([None, None])
    with pytest.raises(BudgetError, match=r"costs \$5\.00 for 2 takes; allowed: \$4\.99\. Nothing was bought"):
        plan.require_budget({next(iter(plan.price_classes)): 2_500_000}, 4_990_000)


def test_a_millionth_of_a_dollar_over_the_budget_is_over_it() -> None:
    plan = plan_of([None, None])
    with pytest.raises(BudgetError, match=r"costs \$5\.00 for 2 takes; allowed: \$4\.999999\. Nothing was bought"):
        plan.require_budget({next(iter(plan.price_classes)): 2_500_000}, 4_999_999)


@pytest.mark.parametrize("price", [{}, {"only": None}])
def test_a_budget_without_a_price_is_refused_and_says_what_to_set(price: dict[str, None]) -> None:
    plan = plan_of([None])
    with pytest.raises(BudgetError, match="ANIMATIC_PRICE_USD"):
        plan.require_budget(dict.fromkeys(plan.price_classes) if price else {}, 100_000_000)


def test_without_a_budget_no_price_is_needed() -> None:
    plan_of([None]).require_budget({}, None)


def test_a_price_in_tenths_of_a_dollar_leaves_no_dust() -> None:
    plan = plan_of([None] * 3)
    plan.require_budget({next(iter(plan.price_classes)): microusd(0.1)}, limit_microusd(0.3))


@pytest.mark.parametrize("takes", [0, 1, TASKS_OF_ONE])
def test_while_there_are_few_takes_each_is_a_batch_of_its_own(takes: int) -> None:
    batches = list(fresh(manifest(takes)).batches() if takes else plan_of([State.COMPLETED]).batches())
    assert [len(batch.takes) for batch in batches] == [1] * takes
    assert [batch.name for batch in batches][:1] == ["s1 take 1"][:takes]


@pytest.mark.parametrize(
    ("rows", "takes", "most", "count"),
    [(TASKS_OF_ONE + 1, 1, MOST_BATCHES, 3), (125, 16, MOST_BATCHES, 20), (667, 3, MOST_BATCHES, 21), (267, 3, 8, 8)],
)
def test_many_takes_make_no_more_batches_than_prefect_can_carry(
    *, rows: int, takes: int, most: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("animatic.planning.plan.MOST_BATCHES", most)
    plan = fresh(manifest(rows, takes))
    batches = list(plan.batches())
    assert len(batches) == count <= most
    assert [take for batch in batches for take in batch.takes] == list(plan.takes_to_do())
    assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))


def test_a_large_batch_says_which_takes_it_holds() -> None:
    assert list(fresh(manifest(800)).batches())[1].name == "batch 2: s101 take 1 to s200 take 1"


def test_batches_are_made_as_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("animatic.manifest.tables.ROWS_PER_BATCH", 500)
    plan, before = fresh(manifest(4_000)), len(gc.get_objects())
    batches = plan.batches()
    next(batches)
    assert len(gc.get_objects()) - before < 2_000  # shots and takes of one part of the manifest; all of them are 8,000


def test_local_and_remote_stills_make_different_takes() -> None:
    shot = next(shots_in(manifest(1)))
    local = replace(shot, inputs=shot.inputs.replaced(image="sha256:" + "0" * 64))
    assert {take.fingerprint for take in takes_of(shot, PROVIDER)}.isdisjoint(
        take.fingerprint for take in takes_of(local, PROVIDER)
    )
