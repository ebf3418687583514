"""Rules that a planted bug breaks and that no row of the matrix reaches."""

from types import SimpleNamespace
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("given", "agreed", "limit"), [(None, 7_500_000, 7_500_000), (40.0, 7_500_000, 40_000_000), (None, None, None)]
)
def test_the_limit_that_was_agreed_to_is_the_runs_own(
    given: float | None, agreed: int | None, limit: int | None
) -> None:
    from flows.run import Run

    limit_of: Any = Run.max_microusd.fget
    run = SimpleNamespace(order=SimpleNamespace(max_usd=given), session=SimpleNamespace(max_microusd=agreed))
    assert limit_of(run) == limit
