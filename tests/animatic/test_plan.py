"""A checked manifest held against the ledger: what is to buy, what it costs, how it is cut into batches."""

from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest

from animatic.errors import BudgetError
from animatic.ledger.records import Record
from animatic.manifest import Manifest
from animatic.plan import MOST_BATCHES, TASKS_OF_ONE, Plan, make_plan, priced_by
from animatic.shots import DEFAULT_MODEL, Shot, Take, takes_of
from animatic.takes import BuyingPolicy, State

PROVIDER = "https://api.wavespeed.ai"
STILL = "https://stills.example/a.png"
NOTHING = BuyingPolicy()


def manifest(rows: int, takes: int = 1, prompt: str = "push in {}", duration: str = "5s") -> Manifest:
    shots = [
        Shot(row, f"s{row}", "harbour", STILL, STILL, prompt.format(row), DEFAULT_MODEL, "16:9", duration, takes)
        for row in range(1, rows + 1)
    ]
    table = pa.table({"image": [STILL] * rows, "prompt": [shot.prompt for shot in shots]})
    return Manifest("shots.csv", "ab" * 32, PROVIDER, shots, table, [], [], [])


def record(take: Take, state: State, **values: object) -> Record:
    empty = Record(
        take.fingerprint,
        1,
        1,
        state,
        "run-0",
        False,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        0,
        1,
        0,
        0.0,
    )
    return replace(empty, **values)


def plan_of(states: list[State | None], policy: BuyingPolicy = NOTHING, **values: object) -> Plan:
    checked = manifest(len(states))
    records = {
        take.fingerprint: record(take, state, **values)
        for take, state in zip(checked.takes(), states, strict=True)
        if state is not None
    }
    return make_plan(checked, records, policy)


def shot_ids(takes: list[Take]) -> list[str]:
    return [take.shot.shot_id for take in takes]


ONE_OF_EACH: list[State | None] = [None, *State]


def test_without_a_policy_only_what_bought_nothing_is_bought() -> None:
    plan = plan_of(ONE_OF_EACH)
    expected = [index for index, state in enumerate(ONE_OF_EACH, 1) if state in {None, State.UNSENT, State.ABSENT}]
    assert shot_ids(plan.to_buy) == [f"s{index}" for index in expected]
    assert plan.resumable == [
        take for take in plan.takes.values() if take.shot.row == ONE_OF_EACH.index("submitted") + 1
    ]


def test_retry_failed_buys_failed_and_rejected_takes_too_and_nothing_else() -> None:
    before = shot_ids(plan_of(ONE_OF_EACH).to_buy)
    after = shot_ids(plan_of(ONE_OF_EACH, BuyingPolicy(retry_failed=True)).to_buy)
    added = {ONE_OF_EACH[int(name[1:]) - 1] for name in after} - {ONE_OF_EACH[int(name[1:]) - 1] for name in before}
    assert added == {State.FAILED, State.REJECTED}


def test_what_may_have_been_bought_is_unclear_and_left_alone() -> None:
    plan = plan_of([State.UNKNOWN, State.HELD], BuyingPolicy(retry_failed=True, attempts=5))
    assert (plan.to_do, plan.unclear, plan.underway) == ([], 2, 0)


def test_what_another_run_is_submitting_is_to_be_seen_through_and_not_to_be_bought() -> None:
    plan = plan_of([State.SUBMITTING], BuyingPolicy(retry_failed=True, attempts=5))
    assert (shot_ids(plan.to_do), plan.to_buy, plan.unclear, plan.underway) == (["s1"], [], 0, 1)


def test_to_do_is_what_is_to_buy_or_to_watch_in_manifest_order() -> None:
    plan = plan_of([State.COMPLETED, None, State.SUBMITTED, State.FAILED, State.UNSENT])
    assert shot_ids(plan.to_do) == ["s2", "s3", "s5"]


def test_what_is_settled_is_counted_by_state_and_not_again_when_it_is_bought_again() -> None:
    states = [State.COMPLETED, State.COMPLETED, State.FAILED, State.REJECTED, State.SUBMITTED]
    kept = Counter({State.COMPLETED: 2, State.FAILED: 1, State.REJECTED: 1})
    assert plan_of(states).settled == kept
    assert plan_of(states, BuyingPolicy(retry_failed=True)).settled == Counter({State.COMPLETED: 2})


def test_flagged_ones_are_counted_among_the_settled_only() -> None:
    flagged = {"has_nsfw_contents": (False, True)}
    assert plan_of([State.COMPLETED, State.FAILED], **flagged).settled_flagged == 2
    assert plan_of([State.COMPLETED, State.FAILED], BuyingPolicy(retry_failed=True), **flagged).settled_flagged == 1
    assert plan_of([State.COMPLETED], has_nsfw_contents=None).settled_flagged == 0


def test_rows_that_ask_for_the_same_take_share_it() -> None:
    plan = make_plan(manifest(5, prompt="the same"), {}, NOTHING)
    assert (len(plan.takes), plan.rows_asking, len(plan.to_buy)) == (1, 5, 1)
    assert plan.to_buy[0].shot.row == 1


def test_a_plan_costs_what_its_takes_to_buy_cost() -> None:
    plan = make_plan(manifest(4, takes=2), {}, NOTHING)
    kind = priced_by(plan.to_buy[0].shot)
    assert plan.cost_usd({kind: 2.5}) == 20.0
    assert plan.cost_usd({}) is None
    assert plan_of([State.COMPLETED]).cost_usd({}) == 0.0


@pytest.mark.parametrize("max_usd", [None, 5.0, 1e9])
def test_a_plan_within_its_budget_may_run(max_usd: float | None) -> None:
    plan = plan_of([None, None])
    plan.require_budget({priced_by(plan.to_buy[0].shot): 2.5}, max_usd)


def test_a_plan_beyond_its_budget_is_refused_with_both_sums() -> None:
    plan = plan_of([None, None])
    with pytest.raises(BudgetError, match=r"costs \$5\.00 for 2 takes; allowed: \$4\.99\. Nothing was bought"):
        plan.require_budget({priced_by(plan.to_buy[0].shot): 2.5}, 4.99)


def test_a_budget_without_a_price_is_refused_and_says_what_to_set() -> None:
    with pytest.raises(BudgetError, match="ANIMATIC_PRICE_USD"):
        plan_of([None]).require_budget({}, 100.0)


def test_floating_point_dust_does_not_refuse_a_plan() -> None:
    plan = plan_of([None] * 3)
    plan.require_budget({priced_by(plan.to_buy[0].shot): 0.1}, 0.3)


@pytest.mark.parametrize("takes", [0, 1, TASKS_OF_ONE])
def test_while_there_are_few_takes_each_is_a_batch_of_its_own(takes: int) -> None:
    batches = make_plan(manifest(takes), {}, NOTHING).batches()
    assert [len(batch.takes) for batch in batches] == [1] * takes
    assert [batch.name for batch in batches][:1] == ["s1 take 1"][:takes]


@pytest.mark.parametrize("takes", [TASKS_OF_ONE + 1, 401, 2_001])
def test_many_takes_make_no_more_batches_than_prefect_can_carry(takes: int) -> None:
    plan = make_plan(manifest(takes), {}, NOTHING)
    batches = plan.batches()
    assert len(batches) <= MOST_BATCHES
    assert [take for batch in batches for take in batch.takes] == plan.to_do
    assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))


def test_a_large_batch_says_which_takes_it_holds() -> None:
    assert make_plan(manifest(800), {}, NOTHING).batches()[1].name == "batch 2: s3 take 1 to s4 take 1"


def test_the_table_shows_every_row_and_take_with_its_outcome() -> None:
    checked = manifest(2, takes=2)
    first, second, third, _ = checked.takes()
    done = record(first, State.COMPLETED, outputs=("https://cdn.example/1.mp4",), has_nsfw_contents=(False,))
    failed = record(second, State.FAILED, error_code=5000, error="the model failed", attempt_id=7)
    plan = make_plan(checked, {first.fingerprint: done}, NOTHING)
    now = {first.fingerprint: done, second.fingerprint: failed, third.fingerprint: record(third, State.HELD)}
    rows = plan.table(now, "run-1").to_pylist()
    assert [(row["row"], row["take"], row["status"]) for row in rows] == [
        (1, 1, "completed"),
        (1, 2, "failed"),
        (2, 1, "held"),
        (2, 2, "pending"),
    ]
    assert [row["cached"] for row in rows] == [True, False, False, False]
    assert rows[1]["error_code"] == 5000
    assert rows[0]["error"] is None


def test_a_take_bought_again_is_not_cached() -> None:
    checked = manifest(1)
    (take,) = checked.takes()
    plan = make_plan(checked, {take.fingerprint: record(take, State.FAILED, attempt_id=1)}, BuyingPolicy(True))
    now = {take.fingerprint: record(take, State.COMPLETED, attempt_id=2, outputs=("https://cdn.example/1.mp4",))}
    assert plan.table(now, "run-1").to_pylist()[0]["cached"] is False


def test_local_and_remote_stills_make_different_takes() -> None:
    shot = manifest(1).shots[0]
    local = replace(shot, still="sha256:" + "0" * 64)
    assert {take.fingerprint for take in takes_of(shot, PROVIDER)}.isdisjoint(
        take.fingerprint for take in takes_of(local, PROVIDER)
    )
