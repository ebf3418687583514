"""The statements that run for every take, built once: SQLAlchemy compiles each only the first time it runs."""

import functools
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from animatic.ledger.prepared import Prepared
from animatic.ledger.records import POLLED
from animatic.ledger.schema import ALIAS, ATTEMPT, META, RUN, SPENDING, TAKE
from animatic.takes.states import SUCCESSORS, State

T = TypeVar("T")

MOST_VALUES = 4_096
"""So many values are looked up at once: none keeps others from writing for long."""


def in_chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the values, at most `MOST_VALUES` at a time."""
    return (values[start : start + MOST_VALUES] for start in range(0, len(values), MOST_VALUES))


@functools.cache
def insert_missing(table: sa.Table, dialect: str) -> sa.Insert:
    """Return the INSERT that leaves out rows that are there already."""
    return insert_into(table, dialect).on_conflict_do_nothing()


def insert_into(table: sa.Table, dialect: str) -> Any:
    """Return an INSERT that can say what becomes of rows that are there already. SQLAlchemy has it by database only."""
    return {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect](table)


_INTENT_COLUMNS = (
    *(
        "fingerprint",
        "attempt_no",
        "state",
        "run_id",
        "allowed_by",
        "uploads",
        "quoted_microusd",
        "intent_at",
        "nonce",
    ),
    *("window_from", "window_to", "renewal", "spent_on"),
)
_INSERTING = ATTEMPT.insert().values({name: sa.bindparam(name, type_=ATTEMPT.c[name].type) for name in _INTENT_COLUMNS})
INSERT_ATTEMPT = Prepared(_INSERTING.returning(ATTEMPT.c.attempt_id))
INSERT_ATTEMPTS = Prepared(_INSERTING.inline())
_PRICE = sa.bindparam("price_microusd", type_=sa.BigInteger)
_COMMITTED_THEN: Any = RUN.c.committed_microusd + _PRICE
_RESERVING = (
    RUN.update()
    .where(RUN.c.run_id == sa.bindparam("by_run"))
    .values(
        committed_microusd=_COMMITTED_THEN,
        unpriced=RUN.c.unpriced + sa.bindparam("unpriced_more", type_=sa.Integer),
    )
)
_RESERVED = (RUN.c.committed_microusd, RUN.c.unpriced)
_MOST = sa.bindparam("most_microusd", type_=sa.BigInteger)
RESERVE = Prepared(_RESERVING.returning(*_RESERVED))
RESERVE_WITHIN = Prepared(_RESERVING.where(_COMMITTED_THEN <= _MOST).returning(*_RESERVED))
_SPENT_THEN: Any = SPENDING.c.reserved_microusd + _PRICE
_SPENDING = (
    SPENDING.update()
    .where(
        SPENDING.c.provider == sa.bindparam("at_provider", type_=sa.Text),
        SPENDING.c.day == sa.bindparam("on_day", type_=sa.Date),
    )
    .values(
        reserved_microusd=_SPENT_THEN,
        unpriced=SPENDING.c.unpriced + sa.bindparam("unpriced_more", type_=sa.Integer),
    )
    .returning(SPENDING.c.reserved_microusd)
)
SPEND = Prepared(_SPENDING)
SPEND_WITHIN = Prepared(_SPENDING.where(_SPENT_THEN <= _MOST))
PRICE_OF = (
    sa.select(ATTEMPT.c.run_id, ATTEMPT.c.quoted_microusd, TAKE.c.provider, ATTEMPT.c.spent_on)
    .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
    .where(ATTEMPT.c.attempt_id == sa.bindparam("of_attempt"))
)
COUNT_INTENTS = Prepared(
    META.update()
    .where(META.c.name == "intents")
    .values(value=sa.cast(sa.cast(META.c.value, sa.BigInteger) + sa.bindparam("more", type_=sa.BigInteger), sa.Text))
    .returning(META.c.value)
)


@functools.cache
def add_takes(dialect: str) -> Prepared:
    """Return the statement that adds a take, unless it is there."""
    new = {column.name: sa.bindparam(column.name, type_=column.type) for column in TAKE.c}
    return Prepared(insert_missing(TAKE, dialect).values(new))


@functools.cache
def tried_among(dialect: str) -> Prepared:
    """Return the statement that selects those of these takes that have attempts, of their own or under an alias."""
    own, apart = among(ATTEMPT.c.fingerprint, dialect), among(ALIAS.c.take, dialect)
    under_aliases = sa.select(ALIAS.c.take).where(ALIAS.c.is_apart == sa.literal_column("1"), apart)
    return Prepared(sa.union_all(sa.select(ATTEMPT.c.fingerprint).where(own), under_aliases))


@functools.cache
def attempts_among(dialect: str) -> Prepared:
    """Return the statement that selects the attempts at these takes: take and id."""
    return Prepared(sa.select(ATTEMPT.c.fingerprint, ATTEMPT.c.attempt_id).where(among(ATTEMPT.c.fingerprint, dialect)))


def among(column: sa.ColumnElement[str], dialect: str) -> sa.ColumnElement[bool]:
    """Return the condition that a text is one of `takes`: one parameter, however many they are."""
    if dialect == "postgresql":
        return column == sa.any_(sa.bindparam("takes", type_=postgresql.ARRAY(sa.Text)))
    each = sa.func.json_each(sa.bindparam("takes", type_=sa.JSON)).table_valued("value")
    return column.in_(sa.select(each.c.value))


OTHER_OWNER = sa.select(ATTEMPT.c.attempt_id, ATTEMPT.c.fingerprint, ATTEMPT.c.state, ATTEMPT.c.run_id).where(
    ATTEMPT.c.prediction_id == sa.bindparam("of_prediction"), ATTEMPT.c.attempt_id != sa.bindparam("but_attempt")
)
STATE_OF = sa.select(ATTEMPT.c.state).where(ATTEMPT.c.attempt_id == sa.bindparam("of_attempt"))


@functools.cache
def move_to(to: State, names: tuple[str, ...]) -> sa.Update:
    """Return the statement that moves an attempt; there are a dozen of them."""
    allowed_from = [state.value for state, successors in SUCCESSORS.items() if to in successors]
    new: dict[str, Any] = {name: sa.bindparam(f"new_{name}", type_=ATTEMPT.c[name].type) for name in names}
    if "polls" in new:
        new["polls"] = ATTEMPT.c.polls + new["polls"]
    if "window_to" in new:
        new["window_to"] = no_sooner_than(new["window_to"])
    for name in ("created_at", "prediction_model"):
        if name in new:  # the API said it once: silence later does not take it back
            new[name] = sa.func.coalesce(new[name], ATTEMPT.c[name])
    if to in {State.FAILED, State.REJECTED}:
        new["ended_run_no"] = sa.select(sa.func.max(RUN.c.run_no)).scalar_subquery()
    if to is not State.HELD:
        new["held_for"] = None
    is_allowed = sa.or_(*(ATTEMPT.c.state == state for state in allowed_from))  # an IN would be spelled out each time
    moving = ATTEMPT.update().where(ATTEMPT.c.attempt_id == sa.bindparam("of_attempt"), is_allowed)
    return moving.values(state=to.value, **new)


_OTHER = ATTEMPT.alias("other")
_HAS_OTHER_OWNER = sa.exists().where(
    _OTHER.c.prediction_id == sa.bindparam("new_prediction_id", type_=sa.Text),
    _OTHER.c.attempt_id != sa.bindparam("of_attempt", type_=sa.Integer),
)
_IS_ENDED_BY_AN_ANSWER = sa.or_(
    ATTEMPT.c.state != State.HELD.value, *(ATTEMPT.c.held_for == reason for reason in POLLED)
)


@functools.cache
def bind_to(names: tuple[str, ...]) -> sa.Update:
    """Return the statement that makes an attempt `submitted`, unless another one has its prediction id already."""
    return move_to(State.SUBMITTED, names).where(~_HAS_OTHER_OWNER)


@functools.cache
def bind_each(names: tuple[str, ...]) -> Prepared:
    """Return `bind_to` for many attempts."""
    return Prepared(bind_to(names))


@functools.cache
def finish_each(to: State, names: tuple[str, ...]) -> Prepared:
    """Return `finish_as` for many attempts."""
    return Prepared(finish_as(to, names))


@functools.cache
def finish_as(to: State, names: tuple[str, ...]) -> sa.Update:
    """Return the statement that gives an attempt its final state, unless a person must end its hold."""
    return move_to(to, names).where(_IS_ENDED_BY_AN_ANSWER)


def no_sooner_than(end: sa.ColumnElement[Any]) -> sa.ColumnElement[datetime]:
    """Return the end of an attempt's window: the planned one, or this one if it is later."""
    return sa.case((ATTEMPT.c.window_to > end, ATTEMPT.c.window_to), else_=end)
