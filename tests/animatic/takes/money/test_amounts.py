"""Amounts: what is a price, which of two prices counts, and which way an amount is rounded."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from animatic.takes.money.amounts import (
    Quote,
    as_number,
    believed,
    cost_in_words,
    dollars,
    limit_microusd,
    microusd,
    price_of,
    quoted_price,
    read_limit,
    usd,
)

unhurried = examples()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (2.5, 2_500_000),
        (3, 3_000_000),
        (Decimal("2.5"), 2_500_000),
        ("2.5", 2_500_000),
        (" 2.50 ", 2_500_000),
        (0.1, 100_000),
        (0.001, 1_000),
        (100_000, 100_000_000_000),
    ],
    ids=repr,
)
def test_a_price_above_zero_is_believed(value: Any, found: int) -> None:
    assert believed(value) == found


@pytest.mark.parametrize(
    "value",
    [
        *(0, 0.0, -0.0, -1, -0.01, 100_000.01, 10**400),
        *(float("nan"), float("inf"), float("-inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")),
        *(True, False, None, "", "0", "-1", "nan", "inf", "1e3", "$2.5", "2,5", "free", "2.5 USD", "٣", "9" * 5_000),
        *([2.5], {"price": 2.5}, b"2.5"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_cannot_be_a_price_is_not_believed(value: Any) -> None:
    assert believed(value) is None


@unhurried
@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals() | st.lists(st.floats()))
def test_whatever_is_believed_is_above_zero_and_below_the_most(value: Any) -> None:
    found = believed(value)
    assert found is None or 0 < found <= 100_000_000_000


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"price": 3.0}, 3_000_000),
        ({"unit_price": 3.0}, 3_000_000),
        ({"price": 0, "unit_price": 3.0}, 3_000_000),
        ({"price": 2.0, "unit_price": 3.0}, 2_000_000),
        ({"price": 3.0, "discounted_price": 2.5}, 2_500_000),
        ({"price": "3.0", "discounted_price": "2.5"}, 2_500_000),
        ({"unit_price": 3.0, "discounted_price": 2.5}, 2_500_000),
        ({"price": 3.0, "discounted_price": 3.0}, 3_000_000),
        ({"price": 3.0, "discounted_price": 0}, 3_000_000),
        ({"price": 3.0, "discounted_price": None}, 3_000_000),
        ({"price": 3.0, "discounted_price": -1}, 3_000_000),
        ({"price": 3.0, "discounted_price": float("nan")}, 3_000_000),
        ({"price": 3.0, "discounted_price": True}, 3_000_000),
        ({"price": 3.0, "discounted_price": 3.01}, None),
        ({"price": 0, "discounted_price": 2.5}, None),
        ({"price": 0}, None),
        ({"price": None, "unit_price": "free"}, None),
        ({"discounted_price": 2.5}, None),
        ({}, None),
    ],
    ids=repr,
)
def test_a_discount_counts_where_it_does_not_contradict_the_price(data: dict[str, Any], found: int | None) -> None:
    assert quoted_price(data) == found


@pytest.mark.parametrize(
    ("amount", "up", "down"),
    [
        (2.5, 2_500_000, 2_500_000),
        ("0.0000001", 1, 0),
        (0.1, 100_000, 100_000),
        (0.1 + 0.2, 300_001, 300_000),  # 0.30000000000000004
        (Decimal("4.9999999"), 5_000_000, 4_999_999),
        (0, 0, 0),
    ],
    ids=repr,
)
def test_prices_are_rounded_up_and_limits_down(amount: Any, up: int, down: int) -> None:
    assert microusd(amount) == up
    assert limit_microusd(amount) == down


@pytest.mark.parametrize("amount", ["nan", "inf", "-inf", "", "x", float("nan"), float("inf"), "1e9999999999"])
def test_what_is_no_finite_number_is_no_amount(amount: Any) -> None:
    for read in (microusd, limit_microusd):
        with pytest.raises(ValueError, match="allowed: a finite number"):
            read(amount)


@unhurried
@given(st.decimals(0, 100_000, places=9))
def test_rounding_is_by_less_than_a_millionth(amount: Decimal) -> None:
    exact = Fraction(amount) * 1_000_000
    assert exact <= microusd(amount) < exact + 1
    assert exact - 1 < limit_microusd(float(amount)) + Fraction(1, 1_000)
    assert Fraction(microusd(amount, rounding="ROUND_FLOOR")) <= exact


@unhurried
@given(st.integers(0, 10**15))
def test_millionths_come_back_from_dollars(amount: int) -> None:
    assert microusd(usd(amount)) == amount
    assert usd(amount).as_tuple().exponent == -6
    assert dollars(amount).removeprefix("$").replace(",", "") == f"{usd(amount):f}".rstrip("0").ljust(
        len(f"{usd(amount):f}") - 4, "0"
    )


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (7_500_000, "$7.50"),
        (1_234_567_500_000, "$1,234,567.50"),
        (1, "$0.000001"),
        (2_500_001, "$2.500001"),
        (125_000, "$0.125"),
        (10_000_000, "$10.00"),
    ],
)
def test_an_amount_is_written_with_cents_and_more_only_where_needed(amount: int, text: str) -> None:
    assert dollars(amount) == text


@pytest.mark.parametrize(
    ("cost", "unpriced", "text"),
    [
        (7_500_000, 0, "$7.50"),
        (0, 0, "$0.00"),
        (7_500_000, 2, "$7.50 and 2 at a price that is not known"),
        (0, 3, "price not known"),
    ],
)
def test_a_cost_says_what_is_not_known_of_it(cost: int, unpriced: int, text: str) -> None:
    assert cost_in_words(cost, unpriced) == text


@pytest.mark.parametrize(("amount", "number"), [(None, None), (0, 0.0), (2_500_000, 2.5), (100_001, 0.100001)])
def test_json_gets_dollars_as_a_number(amount: int | None, number: float | None) -> None:
    assert as_number(amount) == number


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("40", 40_000_000),
        ("$40.50", 40_500_000),
        (" $1,000 ", 1_000_000_000),
        ("0", 0),
        ("0.0000009", 0),
        ("40.0000019", 40_000_001),
    ],
)
def test_a_limit_is_read_as_people_type_it(text: str, found: int) -> None:
    assert read_limit(text) == found


@pytest.mark.parametrize(
    "text", ["", " ", "y", "yes", "-1", "nan", "inf", "1e3", "40 USD", "€40", "$", "4.0.0", "٣", "40.", ".5", "$$40"]
)
def test_anything_else_is_no_limit(text: str) -> None:
    assert read_limit(text) is None


FLOOR = Quote(2_000_000, is_floor=True)


@pytest.mark.parametrize(
    ("quote", "setting", "share", "price"),
    [
        (Quote(2_500_000), None, None, 2_500_000),
        (Quote(2_500_000), 9_000_000, 8_000_000, 2_500_000),
        (None, 9_000_000, 8_000_000, 9_000_000),
        (None, None, 8_000_000, 8_000_000),
        (None, None, None, None),
        (FLOOR, None, None, None),
        (FLOOR, 9_000_000, None, 9_000_000),
        (FLOOR, 1_000_000, 9_000_000, 2_000_000),
        (FLOOR, None, 8_000_000, 8_000_000),
        (FLOOR, None, 1_000_000, 2_000_000),
    ],
    ids=repr,
)
def test_a_quote_counts_then_setting_then_share_never_below_the_floor(
    quote: Quote | None, setting: int | None, share: int | None, price: int | None
) -> None:
    assert price_of(quote, setting, share) == price


@pytest.mark.parametrize(("now_s", "age_s"), [(1_000.0, 0.0), (1_600.5, 600.5), (999.0, float("inf"))])
def test_a_quote_from_the_future_is_too_old_for_anything(now_s: float, age_s: float) -> None:
    assert Quote(1, asked_at_s=1_000.0).age_s(now_s) == age_s
