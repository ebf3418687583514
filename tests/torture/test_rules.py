"""Rules that a planted bug breaks and that no row of the matrix reaches."""

import pytest

from animatic.takes.states import BuyingPolicy


@pytest.mark.parametrize(
    ("given", "agreed", "limit"), [(None, 7_500_000, 7_500_000), (40.0, 7_500_000, 40_000_000), (None, None, None)]
)
def test_the_limit_that_was_agreed_to_is_the_runs_own(
    given: float | None, agreed: int | None, limit: int | None
) -> None:
    from flows.order import Order

    order = Order("shots.csv", "out.csv", given, skip_invalid=False, policy=BuyingPolicy())
    assert order.max_microusd(agreed) == limit
