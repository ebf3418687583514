"""Prices at which takes were bought before: charged where the ledger knows that, else reserved."""

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from animatic.ledger.schema import ATTEMPT, TAKE, is_paid
from animatic.takes.inputs import Inputs, read_request

MOST_PAID = 1_000
"""Newest attempts of a model that are looked at."""


class Paid(NamedTuple):
    """Price of one paid attempt, in millionths of a dollar."""

    model: str
    inputs: Inputs
    microusd: int


def newest_paid(db: sa.Connection, provider: str, models: Iterable[str]) -> list[Paid]:
    """Return the prices of the newest paid attempts of each model, newest first, without those that had none."""
    found: list[Paid] = []
    for model in models:
        rows = db.execute(
            sa.select(TAKE.c.request, ATTEMPT.c.quoted_microusd)
            .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
            .where(TAKE.c.provider == provider, TAKE.c.model == model, is_paid(ATTEMPT), ATTEMPT.c.quoted_microusd > 0)
            .order_by(ATTEMPT.c.attempt_id.desc())
            .limit(MOST_PAID)
        )
        found += [Paid(model, read_request(request)[0], price) for request, price in rows]
    return found
