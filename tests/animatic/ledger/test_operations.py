"""Operations of the ledger, and its refusals: one live attempt, one budget, only drawn transitions."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from animatic.errors import BudgetError, LedgerError, LedgerUnusableError, TakenError
from animatic.ledger import open_ledger, operations
from animatic.takes.states import SUCCESSORS, BuyingPolicy, State, Submitted

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

FAR = "e" * 64


async def test_an_intent_is_there_before_anything_else(ledger: Any) -> None:
    await ledger.intend()
    record = await ledger.find()
    assert (record.state, record.run_id, record.tried_here) == (State.SUBMITTING, "run-1", True)
    assert (record.attempts, record.cost_microusd, record.prediction_id) == (0, 0, None)


async def test_a_take_from_intent_to_clip(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    await ledger.do("leave", attempt_id, 3, "processing", "the run stopped")
    created_at = datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    await ledger.finish(attempt_id, polls=4, created_at=created_at, has_nsfw_contents=(True,))
    record = await ledger.find()
    assert (record.state, record.prediction_status, record.polls) == (State.COMPLETED, "completed", 7)
    assert (record.outputs, record.has_nsfw_contents) == (("https://cdn.example/1.mp4",), (True,))
    assert (record.inference_ms, record.attempts, record.cost_microusd, record.error) == (4_000, 1, 2_500_000, None)
    assert record.created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert record.submitted_at <= record.completed_at <= datetime.now(UTC)


async def test_a_second_intent_for_a_live_take_is_refused_and_reserves_nothing(ledger: Any) -> None:
    await ledger.intend()
    await ledger.begin("run-2")
    with pytest.raises(TakenError, match="it is submitting by now"):
        await ledger.intend(run_id="run-2")
    assert (await ledger.committed_usd("run-2"), await ledger.committed_usd()) == (0.0, 2.5)


async def test_an_intent_of_a_run_that_never_began_is_refused(ledger: Any) -> None:
    with pytest.raises(LedgerError, match="run nobody: not in the ledger"):
        await ledger.intend(run_id="nobody")
    assert ledger.rows("SELECT count(*) FROM attempt") == [(0,)]


@pytest.mark.parametrize("to", [State.SUBMITTED, State.REJECTED, State.UNSENT, State.UNKNOWN, State.HELD])
async def test_what_was_not_bought_gives_its_price_back(ledger: Any, to: State) -> None:
    attempt_id = await ledger.intend()
    if to is State.SUBMITTED:
        await ledger.accept(attempt_id, "p1")
    else:
        await ledger.conclude(attempt_id, to, 400, "why")
    was_bought = to in {State.SUBMITTED, State.UNKNOWN, State.HELD}
    assert await ledger.committed_usd() == (2.5 if was_bought else 0.0)
    assert (await ledger.find()).attempts == was_bought


async def test_an_unsent_attempt_is_used_again_so_that_waiting_leaves_no_trail(ledger: Any) -> None:
    first = await ledger.intend()
    for _ in range(5):
        await ledger.conclude(first, State.UNSENT, 429, "busy")
        assert await ledger.intend(uploads={"sha256:0": "https://up/again"}, run_id="run-1") == first
    assert ledger.rows("SELECT attempt_no, error_code, uploads FROM attempt") == [
        (1, None, '{"sha256:0": "https://up/again"}')
    ]
    assert await ledger.committed_usd() == 2.5


async def test_an_attempt_that_was_paid_is_never_written_over(ledger: Any) -> None:
    first = await ledger.buy()
    await ledger.finish(first, state=State.FAILED, outputs=(), error_code=5000, error="the model failed")
    second = await ledger.buy(policy=BuyingPolicy(attempts=2))
    assert first != second
    await ledger.finish(second)
    record = await ledger.find()
    assert (record.state, record.attempts, record.bought_here, record.cost_microusd) == (
        State.COMPLETED,
        2,
        2,
        5_000_000,
    )
    assert ledger.rows("SELECT attempt_no, state, allowed_by FROM attempt ORDER BY attempt_no") == [
        (1, "failed", "plan"),
        (2, "completed", "attempts"),
    ]


async def test_what_this_run_bought_is_told_from_what_others_bought(ledger: Any) -> None:
    await ledger.finish(await ledger.buy(), state=State.FAILED)
    await ledger.begin("run-2")
    await ledger.finish(await ledger.buy(run_id="run-2", policy=BuyingPolicy(retry_failed=True)), state=State.FAILED)
    record = await ledger.find(run_id="run-2")
    assert (record.attempts, record.bought_here, record.tried_here) == (2, 1, True)
    record = await ledger.find(run_id="run-3")
    assert (record.bought_here, record.tried_here) == (0, False)


async def test_of_two_takes_with_one_prediction_both_are_held(ledger: Any) -> None:
    await ledger.accept(await ledger.intend(), "p1")
    assert not await ledger.accept(await ledger.intend(FAR), "p1")
    near, far = await ledger.find(), await ledger.find(FAR)
    assert (near.state, near.prediction_id) == (State.HELD, "p1")
    assert (far.state, far.prediction_id) == (State.HELD, None)
    for record, other in ((near, FAR), (far, "f" * 64)):
        assert f"to take {other[:12]}" in record.error
        assert f"animatic reconcile --sandbox --adopt {record.fingerprint[:12]}=p1" in record.error
    assert await ledger.committed_usd() == 5.0


async def test_a_final_take_stays_final_whoever_is_given_its_prediction(ledger: Any) -> None:
    attempt_id = await ledger.intend()
    await ledger.accept(attempt_id, "p1")
    await ledger.finish(attempt_id)
    assert not await ledger.accept(await ledger.intend(FAR), "p1")
    assert (await ledger.find()).state is State.COMPLETED
    assert (await ledger.find(FAR)).state is State.HELD
    ((remarked, text),) = ledger.rows("SELECT attempt_id, text FROM remark")
    assert remarked == attempt_id
    assert FAR[:12] in text


async def test_accepting_the_same_id_again_changes_nothing_and_another_id_is_refused(ledger: Any) -> None:
    attempt_id = await ledger.intend()
    await ledger.accept(attempt_id, "p1")
    assert await ledger.accept(attempt_id, "p1")
    assert (await ledger.find()).prediction_id == "p1"
    with pytest.raises(LedgerError, match="found state submitted"):
        await ledger.accept(attempt_id, "p2")


async def test_an_attempt_has_at_most_so_many_remarks_and_none_is_endless(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    for number in range(operations.MOST_REMARKS + 5):
        await ledger.do("remark", attempt_id, "run-1", f"{number} " + "x" * 5_000)
    rows = ledger.rows("SELECT text FROM remark")
    assert (len(rows), max(len(text) for (text,) in rows)) == (operations.MOST_REMARKS, 2_000)


async def test_a_prediction_that_the_api_has_forgotten_is_for_a_person(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    await ledger.do("lose", attempt_id, 7)
    record = await ledger.find()
    assert (record.state, record.polls, record.error_code) == (State.HELD, 7, 404)
    assert record.held_for == operations.HeldFor.LOST
    assert "does not know that id" in record.error
    assert "--abandon ffffffffffff" in record.error
    assert await ledger.committed_usd() == 2.5
    await ledger.do("lose", attempt_id, 7)
    assert await ledger.find() == record


async def move(ledger: Any, attempt_id: int, to: State) -> None:
    match to:
        case State.SUBMITTED:
            await ledger.accept(attempt_id, f"again-{attempt_id}-{uuid4()}")
        case State.COMPLETED | State.FAILED:
            await ledger.finish(attempt_id, state=to)
        case _:
            await ledger.conclude(attempt_id, to, None, "why")


WAYS: list[tuple[State, str | None, list[State]]] = [  # the state, what it is held for, how it came there
    (State.SUBMITTING, None, []),
    (State.SUBMITTED, None, [State.SUBMITTED]),
    (State.COMPLETED, None, [State.SUBMITTED, State.COMPLETED]),
    (State.FAILED, None, [State.SUBMITTED, State.FAILED]),
    (State.REJECTED, None, [State.REJECTED]),
    (State.UNSENT, None, [State.UNSENT]),
    (State.UNKNOWN, None, [State.UNKNOWN]),
    (State.ABSENT, None, [State.UNKNOWN, State.ABSENT]),
    (State.HELD, None, [State.HELD]),
    (State.HELD, "lost", [State.SUBMITTED]),
    (State.HELD, "stuck", [State.SUBMITTED]),
]


async def hold(ledger: Any, attempt_id: int, held_for: str) -> None:
    if held_for == "lost":
        await ledger.do("lose", attempt_id, 1)
    else:
        await ledger.do("give_up", attempt_id, 1, "processing", 3_600.0)


@pytest.mark.parametrize("to", sorted(set(State) - {State.SUBMITTING}))
async def test_only_drawn_transitions_are_made(ledger: Any, to: State) -> None:
    assert {start for start, _, _ in WAYS} == set(State)
    for number, (start, held_for, way) in enumerate(WAYS):
        fingerprint = f"{number:064d}"
        attempt_id = await ledger.intend(fingerprint)
        for step in way:
            await move(ledger, attempt_id, step)
        if held_for is not None:
            await hold(ledger, attempt_id, held_for)
        assert (await ledger.find(fingerprint)).held_for == held_for
        is_answer = to in {State.COMPLETED, State.FAILED}
        is_for_a_person = start is State.HELD and held_for is None
        if is_answer and (is_for_a_person or start in {State.COMPLETED, State.FAILED, State.REJECTED}):
            await move(ledger, attempt_id, to)  # remarked, where it says otherwise
            assert (await ledger.find(fingerprint)).state is start
            remarks = ledger.rows("SELECT count(*) FROM remark WHERE attempt_id = ?", attempt_id)
            assert remarks == [(int(start is not to),)]
        elif start in {State.UNKNOWN, State.HELD} and to in {State.UNSENT, State.REJECTED}:
            await move(ledger, attempt_id, to)  # its run lives after all, and says that nothing was bought
            assert (await ledger.find(fingerprint)).state is State.ABSENT
        elif start in {State.UNKNOWN, State.HELD} and to is State.UNKNOWN:
            await move(ledger, attempt_id, to)  # it lives, and its reply is lost
            assert (await ledger.find(fingerprint)).state is start
        elif to in SUCCESSORS[start]:
            await move(ledger, attempt_id, to)
            record = await ledger.find(fingerprint)
            assert record.state is to
            assert to is State.HELD or record.held_for is None
        else:
            with pytest.raises(LedgerError, match=f"found state {start}, which {to} may not follow"):
                await move(ledger, attempt_id, to)
            assert (await ledger.find(fingerprint)).state is start


async def test_the_first_answer_of_two_runs_stays(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    await ledger.finish(attempt_id, polls=3)
    before = ledger.rows("SELECT * FROM attempt")
    await ledger.finish(attempt_id, polls=5, outputs=("https://cdn.example/other.mp4",))
    assert ledger.rows("SELECT * FROM attempt") == before
    assert ledger.rows("SELECT * FROM remark") == []


async def test_an_answer_that_contradicts_a_final_one_is_kept_beside_it(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    await ledger.finish(attempt_id)
    before = ledger.rows("SELECT * FROM attempt")
    await ledger.finish(attempt_id, state=State.FAILED, prediction_status="failed", error="boom")
    assert ledger.rows("SELECT * FROM attempt") == before
    ((text,),) = ledger.rows("SELECT text FROM remark")
    assert "it is completed, and the API now says failed" in text
    assert "boom" in text


async def test_an_attempt_that_is_not_there_cannot_be_moved(ledger: Any) -> None:
    with pytest.raises(LedgerError, match="found state None"):
        await ledger.finish(99)


async def test_the_budget_holds_to_the_cent(ledger: Any) -> None:
    for number in range(4):
        await ledger.intend(f"{number:064d}", max_usd=10.0)
    with pytest.raises(BudgetError, match=r"\(\$2\.50\) would exceed the limit of \$10\.00; raise --max-usd"):
        await ledger.intend(FAR, max_usd=10.0)
    assert await ledger.committed_usd() == 10.0
    assert await ledger.find(FAR) is None


async def test_dust_of_floating_point_does_not_eat_the_last_take(ledger: Any) -> None:
    for number in range(3):
        await ledger.intend(f"{number:064d}", cost_usd=0.1, max_usd=0.3)
    with pytest.raises(BudgetError):
        await ledger.intend(FAR, cost_usd=0.1, max_usd=0.3)


async def test_writers_that_race_never_commit_more_than_the_budget(ledger: Any) -> None:
    others = [open_ledger(ledger.url) for _ in range(3)]
    desks = [ledger.opened, *others]

    async def buys(number: int) -> bool:
        try:
            await desks[number % 4].intend(ledger.intent(f"{number:064d}", max_usd=25.0))
        except BudgetError:
            return False
        return True

    bought = await asyncio.gather(*(buys(number) for number in range(40)))
    for other in others:
        other.close()
    assert sum(bought) == 10
    assert ledger.rows("SELECT count(*) FROM attempt WHERE state = 'submitting'") == [(10,)]
    assert await ledger.committed_usd() == 25.0


async def test_writers_that_race_for_one_take_leave_one_attempt(ledger: Any) -> None:
    others = [open_ledger(ledger.url) for _ in range(3)]
    for number in range(4):
        await ledger.begin(f"racer-{number}")

    async def intends(number: int) -> bool:
        try:
            opened = [ledger.opened, *others][number]
            await opened.intend(ledger.intent(run_id=f"racer-{number}"))
        except LedgerError:
            return False
        return True

    won = await asyncio.gather(*(intends(number) for number in range(4)))
    for other in others:
        other.close()
    assert sum(won) == 1
    assert ledger.rows("SELECT count(*) FROM attempt") == [(1,)]


async def test_twenty_thousand_takes_are_looked_up_at_once(ledger: Any) -> None:
    wanted = [f"{number:064d}" for number in range(20_000)]
    known = {wanted[0], wanted[4_999], wanted[5_000], wanted[19_999]}
    for fingerprint in known:
        await ledger.intend(fingerprint)
    found = await ledger.do("look_up", [*wanted, *wanted], "run-1")
    assert set(found) == known
    assert all(record.fingerprint == fingerprint for fingerprint, record in found.items())
    assert await ledger.do("look_up", []) == {}


async def test_what_a_dead_run_was_submitting_becomes_unknown_and_nothing_else_does(ledger: Any) -> None:
    await ledger.begin("run-2")
    dying = await ledger.intend("1" * 64)
    await ledger.buy("2" * 64)
    await ledger.intend("3" * 64, run_id="run-2")
    assert sorted(await ledger.do("runs_submitting")) == ["run-1", "run-2"]
    assert await ledger.do("give_up_submitting", "run-1", NOON) == 1
    assert await ledger.do("runs_submitting") == ["run-2"]
    record = await ledger.find("1" * 64)
    assert (record.state, record.attempt_id) == (State.UNKNOWN, dying)
    assert "run run-1 died" in record.error
    assert await ledger.committed_usd() == 5.0
    assert (await ledger.find("2" * 64)).state is State.SUBMITTED
    assert (await ledger.find("3" * 64)).state is State.SUBMITTING


async def test_leaving_a_take_that_has_an_answer_changes_nothing(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    await ledger.finish(attempt_id)
    await ledger.do("leave", attempt_id, 5, "processing", "too late")
    record = await ledger.find()
    assert (record.state, record.polls, record.error, record.prediction_status) == ("completed", 1, None, "completed")


async def test_history_is_of_this_provider_newest_first_and_in_seconds(ledger: Any) -> None:
    for number, (provider, inference_ms) in enumerate([("sandbox", 4_000), ("sandbox", 6_000), ("real", 90_000)]):
        await ledger.finish(await ledger.buy(f"{number:064d}", provider=provider), inference_ms=inference_ms)
    await ledger.finish(await ledger.buy("7" * 64, provider="sandbox"), inference_ms=None)
    await ledger.finish(await ledger.buy("8" * 64, provider="sandbox"), state=State.FAILED, inference_ms=1)
    assert await ledger.do("inference_history", "sandbox") == {("wavespeed-ai/veo2-i2v", "5s"): [6.0, 4.0]}


async def test_an_unknown_price_makes_the_whole_cost_unknown(ledger: Any) -> None:
    await ledger.finish(await ledger.buy(cost_usd=None), state=State.FAILED, error_code=5000)
    await ledger.buy(cost_usd=2.5, policy=BuyingPolicy(attempts=2))
    assert (await ledger.find()).cost_microusd is None
    assert await ledger.committed_usd() == 2.5


async def test_a_run_id_cannot_begin_twice(ledger: Any) -> None:
    with pytest.raises(LedgerUnusableError, match="refused a change"):
        await ledger.begin("run-1")


async def test_the_largest_numbers_of_the_api_fit(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    await ledger.finish(attempt_id, inference_ms=10**12, error_code=2**63 - 1, state=State.FAILED, error="ü" * 100_000)
    record = await ledger.find()
    assert (record.inference_ms, record.error_code, len(record.error)) == (10**12, 2**63 - 1, 100_000)


async def test_a_record_says_what_decides_about_the_next_step(ledger: Any) -> None:
    await ledger.buy()
    take_status = (await ledger.find()).take_status
    assert (take_status.state, take_status.bought_here, take_status.tried_here) == (State.SUBMITTED, 1, True)


@pytest.mark.parametrize("later_s", [-600, 600])
async def test_a_submission_that_was_over_late_may_have_been_accepted_late(ledger: Any, later_s: int) -> None:
    attempt_id = await ledger.intend()
    planned = NOON + timedelta(minutes=1)
    latest = planned + timedelta(seconds=later_s)
    await ledger.do("conclude", attempt_id, State.UNKNOWN, None, "no answer", latest)
    end = max(planned, latest)
    assert ledger.rows("SELECT window_to FROM attempt") == [(f"{end:%Y-%m-%d %H:%M:%S}.000000",)]


async def test_a_dead_run_may_have_sent_until_now(ledger: Any) -> None:
    await ledger.intend()
    assert await ledger.do("give_up_submitting", "run-1", NOON + timedelta(hours=9)) == 1
    assert ledger.rows("SELECT window_to FROM attempt") == [("2026-03-01 21:00:00.000000",)]


@pytest.mark.parametrize("ended", [State.FAILED, State.REJECTED])
async def test_another_runs_failed_take_is_not_bought_without_a_policy(ledger: Any, ended: State) -> None:
    attempt_id = await ledger.intend()
    if ended is State.FAILED:
        await ledger.accept(attempt_id, "p1")
        await ledger.finish(attempt_id, state=ended, outputs=(), error_code=5000)
    else:
        await ledger.conclude(attempt_id, ended, 400)
    await ledger.begin("run-2")
    with pytest.raises(TakenError, match=f"it is {ended} by now"):
        await ledger.intend(run_id="run-2", policy=BuyingPolicy(attempts=5))
    assert await ledger.committed_usd("run-2") == 0.0
    assert await ledger.intend(run_id="run-2", policy=BuyingPolicy(retry_failed=True)) != attempt_id


async def test_with_a_budget_nothing_is_bought_at_an_unknown_price(ledger: Any) -> None:
    with pytest.raises(BudgetError, match="cannot be had"):
        await ledger.intend(cost_usd=None, max_usd=1_000.0)
    assert ledger.rows("SELECT count(*) FROM attempt") == [(0,)]


async def test_a_budget_is_spent_to_the_last_take(ledger: Any) -> None:
    for number in range(1_000):
        await ledger.intend(f"{number:064d}", cost_usd=0.1, max_usd=100.0)
    with pytest.raises(BudgetError):
        await ledger.intend(cost_usd=0.1, max_usd=100.0)


@pytest.mark.parametrize("ended", [State.FAILED, State.REJECTED])
async def test_only_what_had_ended_before_a_run_began_is_retried(ledger: Any, ended: State) -> None:
    attempt_id = await ledger.intend()
    await ledger.begin("run-2")
    if ended is State.FAILED:
        await ledger.accept(attempt_id, "p1")
        await ledger.finish(attempt_id, state=ended, outputs=(), error_code=5000)
    else:
        await ledger.conclude(attempt_id, ended, 400)
    retry = BuyingPolicy(retry_failed=True, attempts=5)
    assert not (await ledger.find(run_id="run-2")).is_left
    with pytest.raises(TakenError, match=f"it is {ended} by now"):
        await ledger.intend(run_id="run-2", policy=retry)
    assert await ledger.committed_usd("run-2") == 0.0
    await ledger.begin("run-3")
    assert (await ledger.find(run_id="run-3")).is_left
    assert await ledger.intend(run_id="run-3", policy=retry) != attempt_id


async def test_runs_are_numbered_in_the_order_of_beginning(ledger: Any) -> None:
    for run_id in ("z", "a"):
        await ledger.begin(run_id)
    assert ledger.rows("SELECT run_id, run_no FROM run ORDER BY run_no") == [("run-1", 1), ("z", 2), ("a", 3)]


async def test_an_intent_says_what_is_reserved_and_counts(ledger: Any) -> None:
    first = await ledger.do("intend", ledger.intent(cost_usd=0.1))
    second = await ledger.do("intend", ledger.intent(FAR, cost_usd=None))
    assert first.attempt_id != second.attempt_id
    assert (first.reserved, second.reserved) == ((100_000, 0), (100_000, 1))
    assert (first.intents, second.intents) == (1, 2)
    assert await ledger.do("reserved_by", "run-1") == (100_000, 1)
    assert await ledger.do("conclude", second.attempt_id, State.UNSENT, 429, "busy", NOON) == (100_000, 0)
    assert await ledger.do("reserved_by", "nobody") == (0, 0)


async def test_processes_of_a_flow_run_reserve_together(ledger: Any) -> None:
    for run_id, fingerprint in (("before", FAR), ("after", "f" * 64)):
        await ledger.do("begin_run", run_id, "file:///shots.csv", "host", 1, "flow-run")
        await ledger.do("intend", ledger.intent(fingerprint, run_id=run_id, cost_usd=0.1))
    assert await ledger.do("reserved_under", "flow-run", "file:///shots.csv") == 200_000
    assert await ledger.do("reserved_under", "flow-run", "file:///others.csv") == 0
    assert await ledger.do("reserved_under", "another", "file:///shots.csv") == 0


async def test_only_what_is_submitted_has_a_prediction_to_poll(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    record = await ledger.find()
    assert record.submitted == Submitted(attempt_id, record.prediction_id, record.submitted_at)
    await ledger.finish(attempt_id)
    assert (await ledger.find()).submitted is None


async def test_what_the_api_said_at_acceptance_outlives_its_later_silence(ledger: Any) -> None:
    attempt_id = await ledger.intend()
    await ledger.accept(attempt_id, "p1", model="veo2", created_at=NOON)
    await ledger.finish(attempt_id)
    rows = ledger.rows("SELECT prediction_model, created_at, state FROM attempt")
    assert rows == [("veo2", "2026-03-01 12:00:00.000000", "completed")]


async def test_a_take_that_never_ends_is_held_and_stays_bought(ledger: Any) -> None:
    attempt_id = await ledger.buy()
    await ledger.do("give_up", attempt_id, 7, "processing", 5_400.0)
    record = await ledger.find()
    assert (record.state, record.polls, record.held_for) == (State.HELD, 7, operations.HeldFor.STUCK)
    assert "still processing 1.5 h after its submission" in record.error
    assert "--abandon ffffffffffff" in record.error
    await ledger.do("give_up", attempt_id, 7, "created", 9_000.0)
    assert await ledger.find() == record
    assert await ledger.committed_usd() == 2.5


async def test_a_hold_for_a_person_outlives_what_the_api_answers(ledger: Any) -> None:
    near, far = await ledger.intend(), await ledger.intend(FAR)
    await ledger.accept(near, "p1")
    await ledger.accept(far, "p1")
    await ledger.finish(near)
    record = await ledger.find()
    assert (record.state, record.held_for) == (State.HELD, operations.HeldFor.CONFLICT)
    ((remarked, text),) = ledger.rows("SELECT attempt_id, text FROM remark")
    assert remarked == near
    assert "it is held, and the API now says completed" in text


@pytest.mark.parametrize("held_for", ["lost", "stuck"])
async def test_what_is_polled_while_held_becomes_a_conflict(ledger: Any, held_for: str) -> None:
    near = await ledger.intend()
    await ledger.accept(near, "p1")
    await hold(ledger, near, held_for)
    assert not await ledger.accept(await ledger.intend(FAR), "p1")
    record = await ledger.find()
    assert (record.state, record.held_for, record.prediction_id) == (State.HELD, operations.HeldFor.CONFLICT, "p1")
    assert "animatic reconcile --sandbox --adopt ffffffffffff=p1" in record.error


@pytest.mark.parametrize("ended", [State.UNSENT, State.REJECTED])
async def test_a_run_taken_for_dead_may_still_say_that_nothing_was_bought(ledger: Any, ended: State) -> None:
    attempt_id = await ledger.intend(cost_usd=2.5)
    await ledger.do("give_up_submitting", "run-1", NOON)
    await ledger.conclude(attempt_id, ended, 400)
    assert (await ledger.find()).state is State.ABSENT
    assert await ledger.committed_usd() == 0


async def test_a_run_taken_for_dead_whose_reply_is_lost_goes_on(ledger: Any) -> None:
    attempt_id = await ledger.intend(cost_usd=2.5)
    await ledger.do("give_up_submitting", "run-1", NOON)
    await ledger.conclude(attempt_id, State.UNKNOWN)
    assert (await ledger.find()).state is State.UNKNOWN
    assert await ledger.committed_usd() == 2.5


async def test_a_run_taken_for_dead_may_still_say_what_was_bought(ledger: Any) -> None:
    attempt_id = await ledger.intend(cost_usd=2.5)
    await ledger.do("give_up_submitting", "run-1", NOON)
    assert await ledger.accept(attempt_id, "p1")
    assert (await ledger.find()).state is State.SUBMITTED
