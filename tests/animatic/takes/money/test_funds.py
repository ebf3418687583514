"""The account's money beside what is to be bought: what is missing, and what is not known."""

import pytest

from animatic.takes.money.funds import Funds


@pytest.mark.parametrize(
    ("funds", "missing"),
    [
        (Funds(10_000_000, 10_000_000), 0),
        (Funds(10_000_000, 10_000_001), 1),
        (Funds(-2_500_000, 2_500_000), 5_000_000),
        (Funds(0, 0), 0),
        (Funds(10_000_000, None), None),
        (Funds(1_000_000, 2_500_000, is_least=True), 1_500_000),
        (Funds(5_000_000, 2_500_000, is_least=True), None),
    ],
)
def test_what_is_missing_is_known_only_where_the_cost_is(funds: Funds, missing: int | None) -> None:
    assert funds.missing == missing
    assert (funds.note is not None) == bool(missing)


def test_the_note_says_how_much_less_the_account_has() -> None:
    assert "the account has -$2.50, $5.00 less than this costs" in str(Funds(-2_500_000, 2_500_000).note)
    assert "at least $1.50 less" in str(Funds(1_000_000, 2_500_000, is_least=True).note)


def test_a_stop_says_what_the_rest_lacks() -> None:
    assert Funds(1_000_000, 7_500_000).left_in_words == (
        "The account has $1.00, the rest of the plan costs $7.50: $6.50 is missing"
    )
    assert Funds(9_000_000, 7_500_000).left_in_words == "The account has $9.00, and the rest of the plan costs $7.50"
    assert Funds(9_000_000, None).left_in_words == "The account has $9.00; what the rest costs is not known"
