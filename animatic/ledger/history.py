"""All paid attempts of all runs, for analysts: a function of a connection in a transaction of its caller."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from animatic.ledger.moments import naive
from animatic.ledger.newest import Rows
from animatic.ledger.schema import ATTEMPT, MANIFEST, PLANNED, RUN, TAKE, is_paid, of_bill
from animatic.takes.money.bill_items import DEDUCT, REFUND

MOST_AT_ONCE = 5_000

_EACH = PLANNED.alias("each_planned")
_NEWEST_PLANNED = (
    sa.select(sa.func.max(_EACH.c.planned_id))
    .where(_EACH.c.fingerprint == ATTEMPT.c.fingerprint)
    .correlate(ATTEMPT)
    .scalar_subquery()
)
COLUMNS = (
    *("attempt_id", "provider", "model", "shot_id", "storyboard", "manifest", "request", "attempt_no", "state"),
    *("run_id", "flow_run_id", "prediction_id", "prediction_model", "quoted_microusd", "intent_at", "submitted_at"),
    *("created_at", "completed_at", "inference_ms", "outputs", "has_nsfw_contents", "error_code", "error"),
    *("fingerprint", "charged_microusd", "refunded_microusd"),
)
"""Names of the columns of `paid_attempts`, in order; moments are in UTC, without a zone."""

_ITSELF = ATTEMPT.alias("itself")
_IS_ITSELF = _ITSELF.c.attempt_id == ATTEMPT.c.attempt_id

_SELECT = (
    sa.select(
        *(ATTEMPT.c.attempt_id, TAKE.c.provider, TAKE.c.model, PLANNED.c.shot_id, PLANNED.c.storyboard),
        MANIFEST.c.uri.label("manifest"),
        *(TAKE.c.request, ATTEMPT.c.attempt_no, ATTEMPT.c.state, ATTEMPT.c.run_id, RUN.c.flow_run_id),
        *(ATTEMPT.c.prediction_id, ATTEMPT.c.prediction_model, ATTEMPT.c.quoted_microusd, ATTEMPT.c.intent_at),
        *(ATTEMPT.c.submitted_at, ATTEMPT.c.created_at, ATTEMPT.c.completed_at, ATTEMPT.c.inference_ms),
        *(ATTEMPT.c.outputs, ATTEMPT.c.has_nsfw_contents, ATTEMPT.c.error_code, ATTEMPT.c.error),
        ATTEMPT.c.fingerprint,
        of_bill(DEDUCT, _ITSELF, _IS_ITSELF).label("charged_microusd"),
        of_bill(REFUND, _ITSELF, _IS_ITSELF).label("refunded_microusd"),
    )
    .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
    .join(RUN, RUN.c.run_id == ATTEMPT.c.run_id)
    .outerjoin(PLANNED, PLANNED.c.planned_id == _NEWEST_PLANNED)
    .outerjoin(MANIFEST, MANIFEST.c.manifest_id == PLANNED.c.manifest_id)
    .order_by(ATTEMPT.c.intent_at, ATTEMPT.c.attempt_id)
)


def paid_select(*, may_be_unpaid: bool = False) -> sa.Select[*tuple[Any, ...]]:
    """Return the statement that selects the columns of `paid_attempts`, oldest first."""
    return _SELECT if may_be_unpaid else _SELECT.where(is_paid(ATTEMPT))


Position = tuple[datetime, int]
"""Position of an attempt among all: when it was intended, and its id."""


def paid_attempts(
    db: sa.Connection, provider: str, after: Position | None, since: datetime | None = None, most: int = MOST_AT_ONCE
) -> Rows:
    """Return the next attempts of a provider that were, or may have been, paid for, oldest first."""
    wanted = paid_select().where(TAKE.c.provider == provider).limit(most)
    if since is not None:
        wanted = wanted.where(ATTEMPT.c.intent_at >= naive(since))
    if after is not None:
        intent_at, attempt_id = after
        wanted = wanted.where(
            sa.or_(
                ATTEMPT.c.intent_at > intent_at,
                sa.and_(ATTEMPT.c.intent_at == intent_at, ATTEMPT.c.attempt_id > attempt_id),
            )
        )
    return db.execute(wanted).all()


def position_of(row: Sequence[Any]) -> Position:
    """Return the position of an attempt among all."""
    return row[COLUMNS.index("intent_at")], row[COLUMNS.index("attempt_id")]


def models_bought(db: sa.Connection, provider: str) -> list[str]:
    """Return the ids of all models that takes of a provider are of."""
    found = db.execute(sa.select(TAKE.c.model).where(TAKE.c.provider == provider).distinct().order_by(TAKE.c.model))
    return list(found.scalars())
