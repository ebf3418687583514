"""Operations that run for every take, for many takes at once: a group in one transaction shares a few statements.

Each does the same as the operation of its name in `ledger.operations`, but for the usual case only. An unusual take is
passed on to that operation, or raises `UnusualError` before anything is committed: then the group runs one by one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from animatic.ledger import operations
from animatic.ledger.records import Finish, Intended, Intent
from animatic.ledger.statements import INSERT_ATTEMPTS, add_takes, attempts_among, bind_each, finish_each, tried_among
from animatic.takes.states import Accepted, TakeStatus, permission_to_buy


class UnusualError(Exception):
    """Some of these cannot be done together; nothing of any is in the ledger yet."""


def intend(db: sa.Connection, asked: Sequence[tuple[Intent]]) -> list[Intended]:
    """Write down intents; those whose takes were never tried together, the others each by itself.

    Each gets the sum that the run has reserved with all of them, since the run keeps the one that it gets last.
    """
    intents = [intent for (intent,) in asked]
    usual = _never_tried(db, intents)
    allowed_by = permission_to_buy(TakeStatus(None), usual[0].policy) if usual else None
    if allowed_by is None:
        return [operations.intend(db, intent) for intent in intents]
    reserved = operations.reserve(db, usual)
    add_takes(db.dialect.name).changed(db, [operations.take_of(intent) for intent in usual])
    count = operations.count_intents(db, len(usual))
    first = {"attempt_no": 1, "renewal": 0}
    rows = [first | {"fingerprint": each.fingerprint} | operations.attempt_of(each, allowed_by) for each in usual]
    INSERT_ATTEMPTS.changed(db, rows)
    made = attempts_among(db.dialect.name).rows(db, {"takes": [intent.fingerprint for intent in usual]})
    done, last = dict(made), Intended(0, reserved, count)
    for intent in intents:
        if intent.fingerprint not in done:
            last = operations.intend(db, intent)
            done[intent.fingerprint] = last.attempt_id
    return [last._replace(attempt_id=done[intent.fingerprint]) for intent in intents]


def accept(db: sa.Connection, asked: Sequence[tuple[int, Accepted]]) -> list[bool]:
    """Bind predictions to the attempts that bought them."""
    new = [(attempt_id, operations.acceptance_of(accepted)) for attempt_id, accepted in asked]
    many = [operations.moved_by(attempt_id, values) for attempt_id, values in new]
    if bind_each(tuple(new[0][1])).changed(db, many) != len(many):
        raise UnusualError
    return [True] * len(many)


def finish(db: sa.Connection, asked: Sequence[tuple[int, Finish, int, str]]) -> list[str | None]:
    """Record final answers of the API."""
    for state in dict.fromkeys(end.state for _, end, _, _ in asked):
        new = [(attempt_id, operations.end_of(end, polls)) for attempt_id, end, polls, _ in asked if end.state is state]
        many = [operations.moved_by(attempt_id, values) for attempt_id, values in new]
        if finish_each(state, tuple(new[0][1])).changed(db, many) != len(many):
            raise UnusualError
    return [None] * len(asked)


def _never_tried(db: sa.Connection, intents: Sequence[Intent]) -> list[Intent]:
    """Return the intents whose takes have no attempt.

    None are returned if one is not plain, if two are of one take, or if they differ in more than their takes.
    """
    plain = {each.fingerprint: each for each in intents if _is_plain(each)}
    if len(plain) < len(intents) or len({_rules_of(each) for each in intents}) > 1:
        return []
    tried = {take for (take,) in tried_among(db.dialect.name).rows(db, {"takes": list(plain)})}
    return [intent for fingerprint, intent in plain.items() if fingerprint not in tried]


def _is_plain(intent: Intent) -> bool:
    """Tell if an intent is about a take that stands alone: no source, no looks at stills, no attempt to replace."""
    return intent.origin is None and intent.replaces is None and not intent.looks


def _rules_of(intent: Intent) -> tuple[Any, ...]:
    """Return whose money an intent spends, within which limits, and what its run may buy."""
    limits = (intent.max_microusd, intent.limited_by, intent.day_microusd)
    return (intent.run_id, intent.provider, intent.policy, intent.spends_on, *limits)


IN_BULK: dict[Callable[..., Any], Callable[[sa.Connection, Sequence[Any]], list[Any]]] = {
    operations.intend: intend,
    operations.accept: accept,
    operations.finish: finish,
}
"""Operations that are done together, and how."""
