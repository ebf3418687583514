"""The statements that run for every take. `prepared` says how they run, `operations` what they are for."""

import functools
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from animatic.ledger.prepared import Prepared
from animatic.ledger.schema import ATTEMPT, RUN
from animatic.takes import SUCCESSORS, State

INSERT_TAKE = Prepared(
    sa.text(
        "INSERT INTO take (fingerprint, provider, model, duration, request) "
        "VALUES (:fingerprint, :provider, :model, :duration, :request) ON CONFLICT (fingerprint) DO NOTHING"
    )
)
_INTENT_COLUMNS = (
    *("fingerprint", "attempt_no", "state", "run_id", "allowed_by", "image_url", "cost_usd", "intent_at", "nonce"),
    *("window_from", "window_to"),
)
INSERT_ATTEMPT = Prepared(
    ATTEMPT.insert()
    .values({name: sa.bindparam(name, type_=ATTEMPT.c[name].type) for name in _INTENT_COLUMNS})
    .returning(ATTEMPT.c.attempt_id)
)
ATTEMPTS_OF = Prepared(
    sa.select(ATTEMPT.c.attempt_id, ATTEMPT.c.attempt_no, ATTEMPT.c.state, ATTEMPT.c.error_code, ATTEMPT.c.run_id)
    .where(ATTEMPT.c.fingerprint == sa.bindparam("of_take"))
    .order_by(ATTEMPT.c.attempt_no)
)
_COMMITTED_THEN: Any = RUN.c.committed_usd + sa.bindparam("cost_usd", type_=sa.Float)
_RESERVING = RUN.update().where(RUN.c.run_id == sa.bindparam("by_run")).values(committed_usd=_COMMITTED_THEN)
RESERVE = Prepared(_RESERVING)
RESERVE_WITHIN = Prepared(_RESERVING.where(sa.bindparam("most_usd", type_=sa.Float) >= _COMMITTED_THEN))
OTHER_OWNER = Prepared(
    sa.select(ATTEMPT.c.attempt_id, ATTEMPT.c.fingerprint, ATTEMPT.c.state, ATTEMPT.c.run_id).where(
        ATTEMPT.c.prediction_id == sa.bindparam("of_prediction"), ATTEMPT.c.attempt_id != sa.bindparam("but_attempt")
    )
)
STATE_OF = Prepared(sa.select(ATTEMPT.c.state).where(ATTEMPT.c.attempt_id == sa.bindparam("of_attempt")))


@functools.cache
def move_to(to: State, names: tuple[str, ...]) -> Prepared:
    """The statement that moves an attempt; there are a dozen of them."""
    allowed_from = [state.value for state, successors in SUCCESSORS.items() if to in successors]
    new: dict[str, Any] = {name: sa.bindparam(f"new_{name}", type_=ATTEMPT.c[name].type) for name in names}
    if "polls" in new:
        new["polls"] = ATTEMPT.c.polls + new["polls"]
    if "window_to" in new:
        new["window_to"] = no_sooner_than(new["window_to"])
    is_allowed = sa.or_(*(ATTEMPT.c.state == state for state in allowed_from))  # an IN would be spelled out each time
    moving = ATTEMPT.update().where(ATTEMPT.c.attempt_id == sa.bindparam("of_attempt"), is_allowed)
    return Prepared(moving.values(state=to.value, **new))


def no_sooner_than(end: sa.ColumnElement[Any]) -> sa.ColumnElement[datetime]:
    """The end of an attempt's window: as it was planned, or this if it is later."""
    return sa.case((ATTEMPT.c.window_to > end, ATTEMPT.c.window_to), else_=end)
