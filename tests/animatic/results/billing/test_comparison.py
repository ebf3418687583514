"""The bill against the ledger: each difference has a name, what may still come is pending, and no dollar is lost."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.results.billing.comparison import SETTLES_WITHIN, Bought, Difference, Line, Moment, Pending, compare
from animatic.takes.money.bill_items import BillItem
from animatic.takes.states import PAID, State

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
PRICE = 2_500_000
LATER = Moment(NOON - timedelta(days=1), NOON + timedelta(days=1), NOON + timedelta(hours=12))
SOON = Moment(NOON - timedelta(days=1), NOON + timedelta(days=1), NOON + timedelta(minutes=5))


def bought(state: State = State.COMPLETED, **changed: Any) -> Bought:
    usual: dict[str, Any] = {
        "prediction_id": "p1",
        "state": state,
        "quoted_microusd": PRICE,
        "bought_at": NOON,
        "ended_at": NOON + timedelta(minutes=2),
        "model": "wavespeed-ai/veo2-i2v",
        "shot_id": "one",
        "storyboard": "shots",
        "manifest": "file:///shots.csv",
        "take": 1,
        "attempt": 1,
        "run_id": "run-1",
        "fingerprint": "f" * 64,
    }
    return Bought(**(usual | changed))


def item(kind: str = "deduct", microusd: int | None = PRICE, **changed: Any) -> BillItem:
    usual: dict[str, Any] = {
        "item": f"{kind}:{microusd}:{changed}",
        "kind": kind,
        "prediction_id": "p1",
        "model": "wavespeed-ai/veo2-i2v",
        "microusd": microusd,
        "charged_at": NOON,
        "order_state": "done",
    }
    return BillItem(**(usual | changed))


CHARGE, REFUND = item(), item("refund")


def line(attempt: Bought | None, *items: BillItem, moment: Moment = LATER) -> Line:
    (found,) = compare([attempt] if attempt else [], items, moment)
    return found


@pytest.mark.parametrize(
    ("attempt", "items", "moment", "differences", "pending"),
    [
        (bought(), [CHARGE], LATER, (), None),
        (bought(), [item(microusd=PRICE + 1)], LATER, (), None),
        (bought(), [item(microusd=PRICE + 2)], LATER, (Difference.QUOTE,), None),
        (bought(), [item(microusd=PRICE - 2)], LATER, (Difference.QUOTE,), None),
        (bought(quoted_microusd=None), [CHARGE], LATER, (), None),
        (bought(), [CHARGE, item(item="again")], LATER, (Difference.TWICE,), None),
        (bought(), [], LATER, (Difference.MISSING,), None),
        (bought(), [], SOON, (), Pending.NOT_BILLED),
        (bought(bought_at=LATER.since - timedelta(seconds=1)), [], LATER, (), None),
        (bought(State.SUBMITTED), [CHARGE], SOON, (), Pending.UNDER_WAY),
        (bought(), [item(order_state="pre")], SOON, (), Pending.UNDER_WAY),
        (bought(State.HELD), [CHARGE], LATER, (), Pending.UNDER_WAY),
        (bought(State.UNKNOWN, prediction_id=None), [], LATER, (), Pending.UNSETTLED),
        (bought(State.ABSENT, prediction_id=None), [], LATER, (), None),
        (bought(State.REJECTED), [CHARGE], LATER, (Difference.UNBOUGHT,), None),
        (bought(State.FAILED), [CHARGE, REFUND], SOON, (), None),
        (bought(State.FAILED), [CHARGE], SOON, (), Pending.REFUND_DUE),
        (bought(State.FAILED), [CHARGE], LATER, (Difference.UNREFUNDED,), None),
        (bought(State.FAILED), [CHARGE, item("refund", 1_000_000)], LATER, (Difference.UNREFUNDED,), None),
        (bought(State.FAILED), [CHARGE, item("refund", PRICE + 5)], LATER, (Difference.EXCESS,), None),
        (bought(), [CHARGE, REFUND], LATER, (Difference.REFUNDED,), None),
        (bought(), [item(microusd=None)], LATER, (Difference.UNREADABLE,), None),
        (bought(), [CHARGE, item("gift")], LATER, (Difference.UNREADABLE,), None),
        (None, [CHARGE], LATER, (Difference.NO_TAKE,), None),
        (None, [item(prediction_id=None)], LATER, (Difference.NO_TAKE,), None),
    ],
)
def test_each_difference_has_a_name(
    attempt: Bought | None, items: list[BillItem], moment: Moment, differences: tuple[Any, ...], pending: Any
) -> None:
    found = line(attempt, *items, moment=moment)
    assert (found.differences, found.pending) == (differences, pending)


def test_a_refund_is_due_until_three_hours_after_the_failure() -> None:
    ended = NOON + timedelta(minutes=2)
    for wait, is_due in ((SETTLES_WITHIN - timedelta(seconds=1), True), (SETTLES_WITHIN, False)):
        moment = Moment(LATER.since, LATER.until, ended + wait)
        found = line(bought(State.FAILED, ended_at=ended), CHARGE, moment=moment)
        assert (found.pending is Pending.REFUND_DUE, bool(found.differences)) == (is_due, not is_due)


def test_a_bill_that_was_not_read_to_its_end_misses_no_charge() -> None:
    part = Moment(LATER.since, LATER.until, LATER.now, is_whole=False)
    assert line(bought(), moment=part).differences == ()


def test_a_young_charge_may_be_of_what_is_submitted_now() -> None:
    young, old = item(charged_at=NOON), item(charged_at=NOON - timedelta(hours=1))
    busy = Moment(SOON.since, SOON.until, SOON.now, is_submitting=True)
    assert line(None, young, moment=busy).pending is Pending.UNSETTLED
    assert line(None, young, moment=SOON).differences == (Difference.NO_TAKE,)
    assert line(None, old, moment=busy).differences == (Difference.NO_TAKE,)


def test_the_difference_is_what_the_ledger_does_not_explain() -> None:
    cases = [
        (line(bought(), item(microusd=3_000_000)), 500_000),
        (line(bought(), CHARGE, item(item="again")), PRICE),
        (line(bought()), -PRICE),
        (line(bought(State.FAILED), CHARGE, item("refund", 1_000_000)), 1_500_000),
        (line(bought(), CHARGE, REFUND), -PRICE),
        (line(None, CHARGE), PRICE),
        (line(None, CHARGE, REFUND), 0),
        (line(bought(), item(microusd=None)), None),
    ]
    for found, microusd in cases:
        assert found.difference_microusd == microusd, found.differences


AMOUNTS = st.sampled_from([0, 1, 333_333, PRICE, PRICE + 1, PRICE * 2])
ITEMS = st.lists(
    st.tuples(
        st.sampled_from(["deduct", "deduct", "refund"]), st.sampled_from(["p1", "p2", "p3", "p4", None]), AMOUNTS
    ),
    max_size=12,
)
ATTEMPTS = st.lists(
    st.tuples(st.sampled_from(list(State)), st.sampled_from(["p1", "p2", "p3"])),
    max_size=3,
    unique_by=lambda each: each[1],
)


@given(ATTEMPTS, ITEMS)
def test_what_is_not_explained_is_named_to_the_millionth(
    attempts: list[tuple[State, str]], items: list[tuple[str, str | None, int]]
) -> None:
    held = [bought(state, prediction_id=name) for state, name in attempts]
    number = itertools.count()
    bill = [item(kind, amount, prediction_id=name, item=str(next(number))) for kind, name, amount in items]
    lines = compare(held, bill, LATER)
    net = sum(each.microusd or 0 if each.kind == "deduct" else -(each.microusd or 0) for each in bill)
    found = [shown for each in lines for shown in each.items]
    assert sorted(each.item for each in found) == sorted(each.item for each in bill)
    assert sum((each.charged or 0) - (each.refunded or 0) for each in lines) == net
    for each in lines:
        if each.differences or each.pending or each.bought is None:
            continue
        paid = (each.charged or 0) - (each.refunded or 0)
        is_given_back = each.bought.state is State.FAILED or each.bought.state not in PAID
        assert abs(paid - (0 if is_given_back else PRICE)) <= 1, each
