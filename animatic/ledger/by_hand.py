"""Settlement by a person: adopt a prediction, declare a take absent, or abandon it.

Each is a function of a connection inside a transaction that its caller commits.
"""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from animatic.errors import FixInputError
from animatic.ledger import aliases
from animatic.ledger.moments import now
from animatic.ledger.operations import abandoned_by_hand, move, settled_by_hand
from animatic.ledger.records import POLLED, HeldFor
from animatic.ledger.schema import ATTEMPT, TAKE
from animatic.ledger.settling import adopt, declare_absent
from animatic.takes.states import State


def settle_by_hand(
    db: sa.Connection,
    provider: str,
    adoptions: Sequence[tuple[str, str]],
    absent: Sequence[str],
    abandoned: Sequence[str] = (),
) -> list[str]:
    """Apply all decisions of a person, or none; return a line for each.

    Raises:
        FixInputError: one of it cannot be so.
    """
    lines = [
        f"adopted {adopt_by_hand(db, provider, *each)[:12]} as {each[1]}: the next run fetches its result"
        for each in adoptions
    ]
    lines += [f"absent {absent_by_hand(db, provider, each)[:12]}: the next run may buy it" for each in absent]
    return lines + [
        f"abandoned {abandon_by_hand(db, provider, each)[:12]}: a run with --retry-failed may buy it again"
        for each in abandoned
    ]


def adopt_by_hand(db: sa.Connection, provider: str, fingerprint: str, prediction_id: str) -> str:
    """Bind a take to a prediction that a person names; return its whole fingerprint.

    Raises:
        FixInputError: there is no such take, nothing about it is open, or the prediction is another take's.
    """
    attempt = _open_attempt(db, provider, fingerprint)
    owner = db.execute(
        sa.select(ATTEMPT.c.attempt_id, ATTEMPT.c.fingerprint, ATTEMPT.c.state, ATTEMPT.c.held_for).where(
            ATTEMPT.c.prediction_id == prediction_id, ATTEMPT.c.attempt_id != attempt.attempt_id
        )
    ).first()
    if owner is not None and (State(owner.state) is not State.HELD or owner.held_for in POLLED):
        raise FixInputError(
            f"--adopt {fingerprint}={prediction_id}: that prediction belongs to take {owner.fingerprint[:12]}, "
            f"which is {owner.state}; allowed: a prediction that no take has"
        )
    if owner is not None:
        error = (
            f"its prediction {prediction_id} was given to another take by hand; "
            f"{settled_by_hand(provider, owner.fingerprint)}"
        )
        db.execute(
            ATTEMPT.update()
            .where(ATTEMPT.c.attempt_id == owner.attempt_id)
            .values(prediction_id=None, error=error, held_for=HeldFor.CONFLICT)
        )
    adopt(db, attempt.attempt_id, prediction_id, "operator")
    return str(attempt.fingerprint)


def absent_by_hand(db: sa.Connection, provider: str, fingerprint: str) -> str:
    """Declare, on a person's word, that a take was not bought, so that it may be; return its whole fingerprint.

    Raises:
        FixInputError: there is no such take, nothing about it is open, or it is known to be bought.
    """
    attempt = _open_attempt(db, provider, fingerprint)
    if State(attempt.state) is State.HELD and attempt.held_for in POLLED:
        raise FixInputError(
            f"--absent {fingerprint}: WaveSpeed accepted this take, so it was bought. Nothing was changed; "
            f"{abandoned_by_hand(provider, attempt.fingerprint)}"
        )
    declare_absent(db, attempt.attempt_id, "operator", "declared absent by hand")
    return str(attempt.fingerprint)


def abandon_by_hand(db: sa.Connection, provider: str, fingerprint: str) -> str:
    """Give up a take that WaveSpeed has forgotten or that is stuck; return its whole fingerprint.

    What it cost stays what it cost. It is `failed` then, so that `--retry-failed` buys it again.

    Raises:
        FixInputError: there is no such take, or nothing about it is open.
    """
    attempt = _open_attempt(db, provider, fingerprint, {State.UNKNOWN, State.HELD, State.SUBMITTED})
    error = "abandoned by hand: WaveSpeed has forgotten it, or never ended it"
    values = {"error": error, "settled_by": "abandoned", "candidates": None, "completed_at": now()}
    move(db, attempt.attempt_id, State.FAILED, values)
    return str(attempt.fingerprint)


def _open_attempt(
    db: sa.Connection,
    provider: str,
    fingerprint: str,
    states: Collection[State] = frozenset({State.UNKNOWN, State.HELD}),
) -> sa.Row[*tuple[Any, ...]]:
    """Return the newest attempt of the take whose fingerprint, or an alias of it, starts with `fingerprint`."""
    attempts = (
        sa.select(ATTEMPT.c.attempt_id, ATTEMPT.c.fingerprint, ATTEMPT.c.state, ATTEMPT.c.held_for)
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .where(TAKE.c.provider == provider)
        .order_by(ATTEMPT.c.attempt_no.desc())
    )
    rows = db.execute(attempts.where(ATTEMPT.c.fingerprint.startswith(fingerprint, autoescape=True))).all()
    if not rows:
        begun = aliases.beginning_with(db, fingerprint)
        rows = db.execute(attempts.where(ATTEMPT.c.fingerprint.in_(begun))).all()
    if len(fingerprint) < 8 or len({row.fingerprint for row in rows}) != 1:
        count = len({row.fingerprint for row in rows})
        raise FixInputError(
            f"{fingerprint}: matches {count} {'take' if count == 1 else 'takes'}; allowed: at least the first 8 hex "
            "digits of one take's fingerprint, as the results table shows it"
        )
    if State(rows[0].state) not in states:
        allowed = " or ".join(state.value for state in State if state in states)
        advice = ""
        if State(rows[0].state) is State.SUBMITTED:
            advice = f". It was bought; {abandoned_by_hand(provider, rows[0].fingerprint)}"
        raise FixInputError(
            f"{fingerprint}: this take is {rows[0].state}; allowed: one that is {allowed}. Nothing was changed{advice}"
        )
    return rows[0]
