"""Differences between a plan and now: rows, prices, time and place."""

import functools
from collections.abc import Sequence
from datetime import timedelta

import pytest
from kept_plans import MADE_AT, PROVIDER, THREE, VEO2, Row, bytes_of, file_of, manifest_of, plan_of

from animatic.planning.moves import Agreed, Allowed, agreed_prices, misplaced, moved_rows
from animatic.planning.planned_rows import asked_in, rows_of
from animatic.takes.money.amounts import Quote, microusd
from animatic.takes.schemas import PriceClass
from animatic.takes.states import State

ONE, TWO, LAST = THREE
NOTHING = Allowed({})


def moves(before: Sequence[Row], after: Sequence[Row], limit: int | None = None) -> list[str]:
    planned, now = file_of(bytes_of(plan_of(manifest_of(before, limit)))).rows, manifest_of(after, limit)
    return moved_rows(planned, rows_of(plan_of(now)), functools.partial(asked_in, now))


def changed(row: Row, **values: object) -> Row:
    names = ("shot", "prompt", "duration", "takes")
    return tuple(values.get(name, value) for name, value in zip(names, row, strict=True))  # type: ignore[return-value]


def test_the_same_rows_have_not_moved() -> None:
    assert moves(THREE, THREE) == []


def test_a_changed_column_is_named_with_its_values() -> None:
    after = (changed(ONE, prompt="pull out"), changed(TWO, duration="8s"), LAST)
    assert moves(THREE, after) == [
        'row 1 (one): prompt: "push in" -> "pull out"',
        'row 2 (two): duration: "6s" -> "8s"',
    ]


def test_a_long_value_is_named_without_its_text() -> None:
    before = (changed(ONE, prompt="push in slowly over the quay and the boats"),)
    assert moves(before, (changed(ONE, prompt="pull out"),)) == ["row 1 (one): prompt changed"]


def test_rows_that_came_or_went_are_named() -> None:
    assert moves(THREE, THREE[:2]) == ["row 3 (three): gone"]
    assert moves(THREE[:2], THREE) == ["row 3 (three): new, not in the plan"]


def test_takes_that_came_or_went_are_named() -> None:
    assert moves(THREE, (ONE, changed(TWO, takes=1), LAST)) == ["row 2 (two): take 2 is gone"]
    assert moves((changed(ONE, takes=1),), (changed(ONE, takes=3),)) == ["row 1 (one): take 2 is new"]


def test_rows_that_moved_together_are_one_line() -> None:
    new = ("new", "orbit", "5s", 1)
    assert moves(THREE, (new, *THREE)) == ["rows 1-3 are rows 2-4 now", "row 1 (new): new, not in the plan"]


def test_another_shot_id_is_a_move() -> None:
    assert moves(THREE, (changed(ONE, shot="first"), TWO, LAST)) == ['row 1 (one): shot_id: "one" -> "first"']


def test_a_row_that_is_invalid_now_is_named() -> None:
    assert moves(THREE[:1], (changed(ONE, duration="9s"),)) == ["row 1 (one): invalid now"]


def test_rows_that_are_not_chosen_may_change() -> None:
    assert moves(THREE, (ONE, changed(TWO, prompt="pull out")), limit=1) == []


CLASS = {name: PriceClass(VEO2, plan_of().manifest.classes[at].price.inputs) for at, name in enumerate(("5s", "6s"))}


def agreed(  # noqa: PLR0917 - what a plan and today can have
    quotes: dict[str, float],
    prices: dict[str, float | None] | None = None,
    allowed: Allowed = NOTHING,
    floors: Sequence[str] = (),
    states: dict[int, State] | None = None,
    attempts: int = 1,
) -> Agreed:
    file = file_of(bytes_of(plan_of(), prices, {"6s": 3.25}, attempts))
    now = {CLASS[name]: Quote(microusd(usd), is_floor=name in floors) for name, usd in quotes.items()}
    return agreed_prices(file, plan_of(states=states), now, None, allowed)


def test_the_limit_of_a_plan_is_its_sum() -> None:
    found = agreed({"5s": 2.5, "6s": 3.0})
    assert (found.moved, found.unpriced, found.max_microusd) == ([], [], 11_000_000)
    assert agreed({"5s": 2.5, "6s": 3.0}, attempts=2).max_microusd == 22_000_000


def test_takes_that_were_bought_since_leave_the_limit() -> None:
    assert agreed({"5s": 2.5, "6s": 3.0}, states={0: State.COMPLETED, 1: State.UNKNOWN}).max_microusd == 5_500_000


@pytest.mark.parametrize(("price", "more"), [(4.0, ", $2.00 more"), (2.0, "")])
def test_a_price_that_moved_is_named_with_its_rows(price: float, more: str) -> None:
    found = agreed({"5s": 2.5, "6s": price}).moved
    assert found == [
        f'price of {VEO2}, duration "6s", aspect_ratio "16:9": $3.00 -> ${price:.2f} (row 2: 2 takes{more})'
    ]


def test_a_price_that_cannot_be_had_any_more_is_named() -> None:
    assert "$3.00 -> not known" in agreed({"5s": 2.5}).moved[0]


def test_a_price_that_was_not_known_must_be_allowed_by_name() -> None:
    assert agreed({"5s": 2.5}, {"6s": None}).unpriced == [VEO2]
    found = agreed({"5s": 2.5}, {"6s": None}, Allowed({VEO2: 4_000_000}))
    assert (found.moved, found.unpriced, found.max_microusd) == ([], [], 13_000_000)
    assert found.stand_ins == {CLASS["6s"]: 4_000_000}


def test_an_estimate_counts_where_it_is_accepted_only() -> None:
    assert agreed({"5s": 2.5}, {"6s": None}, Allowed({}, accepts_estimates=True)).max_microusd == 11_500_000


@pytest.mark.parametrize("floors", [(), ("6s",)])
def test_a_price_above_what_was_allowed_is_a_move(floors: Sequence[str]) -> None:
    found = agreed({"5s": 2.5, "6s": 5.0}, {"6s": None}, Allowed({VEO2: 4_000_000}), floors)
    assert "at most $4.00 -> $5.00" in found.moved[0]


def test_a_price_below_what_was_allowed_is_none() -> None:
    assert agreed({"5s": 2.5, "6s": 3.0}, {"6s": None}, Allowed({VEO2: 4_000_000})).moved == []


def test_a_plan_is_good_for_its_time_its_provider_and_its_ledger() -> None:
    head = file_of(bytes_of(plan_of())).head
    here = (PROVIDER, "/home/film/ledger.sqlite")
    assert misplaced(head, *here, MADE_AT + timedelta(hours=24)) == []
    assert "it was good until" in misplaced(head, *here, MADE_AT + timedelta(hours=24, seconds=1))[0]
    assert "this machine says" in misplaced(head, *here, MADE_AT - timedelta(hours=1))[0]
    assert "it buys from" in misplaced(head, "sandbox", here[1], MADE_AT)[0]
    assert "against the ledger" in misplaced(head, here[0], "/other.sqlite", MADE_AT)[0]
