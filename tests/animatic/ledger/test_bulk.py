"""Operations of one sort that share a transaction: in few statements, and as each would have ended by itself."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from animatic.errors import BudgetError, TakenError
from animatic.ledger import bulk, operations
from animatic.takes.states import Accepted, BuyingPolicy, State
from tests.animatic.ledger.conftest import FINISH, ON_POSTGRESQL
from tests.animatic.ledger.test_transactions import in_one_group

TAKES = [digit * 64 for digit in "0123456789"]


async def intend(ledger: Any, *intents: Any) -> list[Any]:
    return await in_one_group(ledger, *((operations.intend, intent) for intent in intents))


async def test_intents_of_a_group_each_have_an_attempt_and_a_price(ledger: Any) -> None:
    done = await intend(ledger, *(ledger.intent(take, uploads={"sha256:1": "https://up/1"}) for take in TAKES))
    rows = ledger.rows(
        "SELECT fingerprint, attempt_id, state, quoted_microusd, uploads FROM attempt ORDER BY attempt_id"
    )
    kept = ("submitting", 2_500_000, '{"sha256:1": "https://up/1"}')
    assert rows == [(take, each.attempt_id, *kept) for take, each in zip(TAKES, done, strict=True)]
    assert await ledger.committed_usd() == 25.0
    assert ledger.rows("SELECT value FROM meta WHERE name = 'intents'") == [("10",)]


async def test_a_group_of_intents_needs_nothing_of_sqlalchemy_but_its_transaction(ledger: Any) -> None:
    made: list[str] = []
    event.listen(ledger.opened.transactions.engine, "before_cursor_execute", lambda *said: made.append(said[2]))
    await intend(ledger, *map(ledger.intent, TAKES))
    assert [each for each in made if not each.startswith("BEGIN")] == []


async def test_of_two_intents_for_one_take_one_is_refused(ledger: Any) -> None:
    first, other, second = await intend(ledger, ledger.intent(), ledger.intent("e" * 64), ledger.intent())
    assert first.attempt_id != other.attempt_id
    assert isinstance(second, TakenError)
    assert await ledger.committed_usd() == 5.0


async def test_a_budget_takes_as_many_of_a_group_as_fit(ledger: Any) -> None:
    done = await intend(ledger, *(ledger.intent(take, max_usd=8.0) for take in TAKES))
    assert [isinstance(each, BudgetError) for each in done] == [False] * 3 + [True] * 7
    assert await ledger.committed_usd() == 7.5


async def test_in_a_group_a_take_that_was_tried_is_looked_at_again(ledger: Any) -> None:
    await ledger.conclude(await ledger.intend(TAKES[0]), State.REJECTED, 400)
    await ledger.begin("run-2")
    again = {"run_id": "run-2", "policy": BuyingPolicy(retry_failed=True)}
    done = await intend(ledger, *(ledger.intent(take, **again) for take in TAKES[:3]))
    rows = ledger.rows("SELECT attempt_id, attempt_no FROM attempt WHERE run_id = 'run-2' ORDER BY fingerprint")
    assert rows == [(each.attempt_id, 2 if number == 0 else 1) for number, each in enumerate(done)]
    assert {(each.reserved.cost_microusd, each.intents) for each in done} == {(7_500_000, 4)}


async def test_runs_with_limits_of_their_own_are_not_added_up(ledger: Any) -> None:
    await ledger.begin("run-2")
    await intend(ledger, ledger.intent(TAKES[0]), ledger.intent(TAKES[1], run_id="run-2", cost_usd=1.0))
    assert (await ledger.committed_usd(), await ledger.committed_usd("run-2")) == (2.5, 1.0)


async def test_one_prediction_for_two_attempts_of_a_group_holds_both(ledger: Any) -> None:
    attempts = [await ledger.intend(take) for take in TAKES[:3]]
    ids = ("p-1", "p-2", "p-1")
    done = await in_one_group(
        ledger, *((operations.accept, *each) for each in zip(attempts, map(Accepted, ids), strict=True))
    )
    assert done == [True, True, False]
    assert [(await ledger.find(take)).state for take in TAKES[:3]] == [State.HELD, State.SUBMITTED, State.HELD]


async def test_answers_of_a_group_end_each_take_in_its_own_state(ledger: Any) -> None:
    attempts = [await ledger.buy(take) for take in TAKES[:4]]
    failed = replace(FINISH, state=State.FAILED, prediction_status="failed", outputs=(), error="no \0 frames")
    ends = [FINISH, failed, FINISH, failed]
    done = await in_one_group(
        ledger, *((operations.finish, each, end, 2, "run-1") for each, end in zip(attempts, ends, strict=True))
    )
    assert done == [None] * 4
    found = [await ledger.find(take) for take in TAKES[:4]]
    assert [(each.state, each.polls) for each in found] == [(end.state, 2) for end in ends]
    assert found[1].error in {"no \0 frames", "no \N{SYMBOL FOR NULL} frames"}


async def test_an_answer_that_contradicts_is_remarked_and_the_others_are_kept(ledger: Any) -> None:
    attempts = [await ledger.buy(take) for take in TAKES[:2]]
    await ledger.finish(attempts[0])
    failed = replace(FINISH, state=State.FAILED, prediction_status="failed", outputs=())
    contradicts, ends = await in_one_group(
        ledger, *((operations.finish, each, failed, 1, "run-1") for each in attempts)
    )
    assert contradicts == "it is completed, and the API now says failed"
    assert ends is None
    assert [(await ledger.find(take)).state for take in TAKES[:2]] == [State.COMPLETED, State.FAILED]


async def test_what_nobody_may_buy_is_refused_one_by_one(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "permission_to_buy", lambda *_: None)
    (done,) = await intend(ledger, ledger.intent())
    assert done.attempt_id


@ON_POSTGRESQL
async def test_a_session_that_ends_amid_a_group_is_made_again(ledger: Any) -> None:
    def end_session(db: sa.Connection) -> None:
        if not ended:
            ended.append(db.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
            ledger.write(f"SELECT pg_terminate_backend({ended[0]})")

    ended: list[int] = []
    _, *done = await in_one_group(ledger, (end_session,), *((operations.intend, ledger.intent(each)) for each in TAKES))
    assert len({each.attempt_id for each in done}) == len(TAKES)
    assert await ledger.committed_usd() == 25.0
