"""What can be done to the ledger: each a function of a connection inside a transaction that its caller commits.

None of them sends, waits or decides whether to buy; all of them refuse what `takes.SUCCESSORS` does not allow.
Times are UTC, stored without a zone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from animatic.errors import BudgetError, LedgerError, TakenError
from animatic.ledger.records import Finish, Intent, Record
from animatic.ledger.schema import ATTEMPT, REMARK, RUN, TAKE
from animatic.ledger.statements import (
    ATTEMPTS_OF,
    INSERT_ATTEMPT,
    INSERT_TAKE,
    OTHER_OWNER,
    RESERVE,
    RESERVE_WITHIN,
    STATE_OF,
    move_to,
    no_sooner_than,
)
from animatic.takes import FINAL, LEAST_USD, PAID, Standing, State, permission_to_buy

LOOKUP_CHUNK = 5_000
HISTORY_ROWS = 2_000
MOST_REMARKS = 20


def begin_run(db: sa.Connection, run_id: str, manifest: str, host: str, pid: int) -> None:
    """Write down that a run begins."""
    db.execute(
        RUN.insert().values(run_id=run_id, manifest=manifest, started_at=now(), host=host, pid=pid, committed_usd=0.0)
    )


def runs_submitting(db: sa.Connection) -> list[str]:
    """The ids of runs that have an attempt in `submitting`."""
    rows = db.execute(sa.select(ATTEMPT.c.run_id).where(ATTEMPT.c.state == State.SUBMITTING.value).distinct())
    return [row.run_id for row in rows]


def give_up_submitting(db: sa.Connection, run_id: str, latest: datetime) -> int:
    """Turn what a dead run was submitting into `unknown`; returns how many.

    Nobody can tell whether its POST went out, so it is never sent again. Nor when: a run that was stopped for hours
    and then went on and died may have sent it at any time up to now, by the API's clock no later than `latest`.
    """
    changed = db.execute(
        ATTEMPT.update()
        .where(ATTEMPT.c.run_id == run_id, ATTEMPT.c.state == State.SUBMITTING.value)
        .values(
            state=State.UNKNOWN.value,
            error=died(run_id),
            window_to=no_sooner_than(sa.literal(naive(latest), sa.DateTime)),
        )
    )
    return changed.rowcount


def died(run_id: str) -> str:
    """Why a take is unknown that a dead run was submitting."""
    return f"run {run_id} died while it was submitting this take"


def intend(db: sa.Connection, intent: Intent) -> int:
    """Record that a take is about to be bought, and reserve its price; returns the attempt's id.

    Must be committed before the POST. Whether the take may be bought, and within the budget, is decided here, in the
    same transaction: what was looked up before the wait for a place may have changed since.

    Raises:
        BudgetError: the run would commit more than `max_usd`, or the price is not known.
        TakenError: another run has bought it meanwhile, or is about to.
    """
    newest = _newest(db, intent.fingerprint, intent.run_id)
    allowed_by = permission_to_buy(newest.standing if newest else Standing(None), intent.policy)
    if allowed_by is None:
        state = newest and newest.standing.state
        raise TakenError(f"take {intent.fingerprint[:12]}: it is {state} by now, and stays so")
    _reserve(db, intent)
    INSERT_TAKE.run(
        db,
        {
            "fingerprint": intent.fingerprint,
            "provider": intent.provider,
            "model": intent.model,
            "duration": intent.duration,
            "request": intent.request,
        },
    )
    values: dict[str, Any] = {
        "state": State.SUBMITTING.value,
        "run_id": intent.run_id,
        "allowed_by": allowed_by,
        "image_url": intent.image_url,
        "cost_usd": intent.cost_usd,
        "intent_at": now(),
        "nonce": intent.nonce,
        "window_from": naive(intent.window_from),
        "window_to": naive(intent.window_to),
    }
    if newest is not None and newest.standing.state is State.UNSENT:
        again = ATTEMPT.update().where(ATTEMPT.c.attempt_id == newest.attempt_id)
        db.execute(again.values(error=None, error_code=None, **values))
        return newest.attempt_id
    number = 1 if newest is None else newest.attempt_no + 1
    made = INSERT_ATTEMPT.run(db, {"fingerprint": intent.fingerprint, "attempt_no": number, **values})
    return int(made.fetchall()[0][0])


class _Newest(NamedTuple):
    """The newest attempt of a take, as far as it decides what may follow."""

    attempt_id: int
    attempt_no: int
    standing: Standing


def _newest(db: sa.Connection, fingerprint: str, run_id: str) -> _Newest | None:
    tries = ATTEMPTS_OF.run(db, {"of_take": fingerprint}).fetchall()
    if not tries:
        return None
    attempt_id, attempt_no, *_ = tries[-1]
    standing = standing_of([(State(state), code, by) for _, _, state, code, by in tries], run_id)
    return _Newest(attempt_id, attempt_no, standing)


def _reserve(db: sa.Connection, intent: Intent) -> None:
    """Add the price to what the run has committed, unless that would be more than it may."""
    if intent.max_usd is not None and intent.cost_usd is None:
        raise BudgetError(f"--max-usd: the price of a take of {intent.model}, {intent.duration} cannot be had")
    cost_usd = intent.cost_usd or 0.0
    most_usd = intent.max_usd
    asked = {"by_run": intent.run_id, "cost_usd": cost_usd}
    if most_usd is None:
        changed = RESERVE.run(db, asked)
    else:
        changed = RESERVE_WITHIN.run(db, asked | {"most_usd": most_usd + LEAST_USD})
    if changed.rowcount != 1 and most_usd is None:
        raise LedgerError(f"run {intent.run_id}: not in the ledger; begin it first")
    if changed.rowcount != 1:
        raise BudgetError(f"a take for ${cost_usd:.2f} does not fit into what is left of --max-usd {most_usd:g}")


def accept(db: sa.Connection, attempt_id: int, prediction_id: str, prediction_status: str | None) -> bool:
    """Bind a prediction to the attempt that bought it; False, and both `held`, if another take already has this id.

    The other stays as it is where its answer is final, which is then remarked.
    """
    owner = OTHER_OWNER.run(db, {"of_prediction": prediction_id, "but_attempt": attempt_id}).fetchone()
    if owner is None:
        values = {"prediction_id": prediction_id, "prediction_status": prediction_status, "submitted_at": now()}
        move(db, attempt_id, State.SUBMITTED, values)
        return True
    other_attempt, other, state, other_run = owner
    mine = db.execute(sa.select(ATTEMPT.c.fingerprint).where(ATTEMPT.c.attempt_id == attempt_id)).scalar_one()
    said = f"the API gave prediction {prediction_id} to this take and to take"
    error = f"{said} {other[:12]}; {settled_by_hand(mine, prediction_id)}"
    move(db, attempt_id, State.HELD, {"error": error, "submitted_at": now()})
    error = f"{said} {mine[:12]}; {settled_by_hand(other, prediction_id)}"
    if State(state) is State.SUBMITTED:
        move(db, other_attempt, State.HELD, {"error": error})
    else:
        remark(db, other_attempt, other_run, error)
    return False


def settled_by_hand(fingerprint: str, prediction_id: str = "PREDICTION_ID") -> str:
    """How a person settles a held take."""
    short = fingerprint[:12]
    return f"settle it with: animatic reconcile --adopt {short}={prediction_id}, or --absent {short}"


def remark(db: sa.Connection, attempt_id: int, run_id: str, text: str) -> None:
    """Keep what contradicts an attempt's state without changing it; at most `MOST_REMARKS` of an attempt."""
    made = db.execute(sa.select(sa.func.count()).where(REMARK.c.attempt_id == attempt_id)).scalar_one()
    if made < MOST_REMARKS:
        db.execute(REMARK.insert().values(attempt_id=attempt_id, run_id=run_id, made_at=now(), text=text[:2_000]))


def conclude(  # noqa: PLR0913, PLR0917 - which attempt, how it ended, and by when it must have
    db: sa.Connection, attempt_id: int, state: State, error_code: int | None, error: str, latest: datetime
) -> None:
    """Record how a submission without a prediction id ended; what was not bought is no longer committed.

    `latest` is the API's time by which it was over: later than planned where the run was stopped on the way.
    """
    move(db, attempt_id, state, {"error_code": error_code, "error": error, "window_to": naive(latest)})
    if state not in PAID:
        give_back(db, attempt_id)


def give_back(db: sa.Connection, attempt_id: int) -> None:
    """Take the price of an attempt that was not bought off what its run has committed."""
    attempt = db.execute(
        sa.select(ATTEMPT.c.run_id, ATTEMPT.c.cost_usd).where(ATTEMPT.c.attempt_id == attempt_id)
    ).one()
    db.execute(
        RUN.update()
        .where(RUN.c.run_id == attempt.run_id)
        .values(committed_usd=RUN.c.committed_usd - (attempt.cost_usd or 0.0))
    )


def finish(db: sa.Connection, attempt_id: int, end: Finish, polls: int, run_id: str) -> str | None:
    """Record the final answer of the API; `polls` is our looks. What contradicts it, if anything, in a sentence.

    Where the attempt has a final state already, or is held, that stays; an answer that says otherwise is remarked.
    """
    found = _state_of(db, attempt_id)
    if found is not None and State(found) in FINAL | {State.HELD}:
        if found == end.state.value:
            return None
        said = f"it is {found}, and the API now says {end.prediction_status}"
        remark(db, attempt_id, run_id, f"{said}: {end}")
        return said
    values = {
        "prediction_status": end.prediction_status,
        "outputs": json.dumps(end.outputs),
        "has_nsfw_contents": json.dumps(end.has_nsfw_contents),
        "inference_ms": end.inference_ms,
        "created_at": naive(end.created_at),
        "completed_at": now(),
        "error_code": end.error_code,
        "error": end.error,
        "polls": polls,
    }
    move(db, attempt_id, end.state, values)
    return None


def lose(db: sa.Connection, attempt_id: int, polls: int) -> None:
    """The API no longer knows a prediction that it had accepted: only a person can say what becomes of the take."""
    found = db.execute(
        sa.select(ATTEMPT.c.fingerprint, ATTEMPT.c.prediction_id, ATTEMPT.c.state).where(
            ATTEMPT.c.attempt_id == attempt_id
        )
    ).one()
    if State(found.state) is State.SUBMITTED:
        error = (
            f"the API accepted it as prediction {found.prediction_id} and does not know that id any more; "
            f"{settled_by_hand(found.fingerprint)}"
        )
        move(db, attempt_id, State.HELD, {"error": error, "error_code": 404, "polls": polls})


def leave(db: sa.Connection, attempt_id: int, polls: int, prediction_status: str | None, error: str) -> None:
    """Record why a take that is not final is no longer watched; the next run looks again."""
    db.execute(
        ATTEMPT.update()
        .where(ATTEMPT.c.attempt_id == attempt_id, ATTEMPT.c.state == State.SUBMITTED.value)
        .values(
            polls=ATTEMPT.c.polls + polls,
            prediction_status=sa.func.coalesce(prediction_status, ATTEMPT.c.prediction_status),
            error=error,
        )
    )


def look_up(db: sa.Connection, fingerprints: Iterable[str], run_id: str | None = None) -> dict[str, Record]:
    """The newest attempt of each take that has one, by fingerprint; `run_id` is the run that asks."""
    wanted = list(dict.fromkeys(fingerprints))
    found: dict[str, Record] = {}
    for start in range(0, len(wanted), LOOKUP_CHUNK):
        chunk = wanted[start : start + LOOKUP_CHUNK]
        rows = db.execute(
            sa.select(ATTEMPT)
            .where(ATTEMPT.c.fingerprint.in_(chunk))
            .order_by(ATTEMPT.c.fingerprint, ATTEMPT.c.attempt_no)
        ).mappings()
        attempts: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            attempts.setdefault(row["fingerprint"], []).append(row)  # pyright: ignore[reportArgumentType]
        found.update({key: _record(tries, run_id) for key, tries in attempts.items()})
    return found


def committed_usd(db: sa.Connection, run_id: str) -> float:
    """What a run has committed so far, in dollars."""
    return float(db.execute(sa.select(RUN.c.committed_usd).where(RUN.c.run_id == run_id)).scalar() or 0.0)


def inference_history(db: sa.Connection, provider: str) -> dict[tuple[str, str], list[float]]:
    """Inference times in seconds of the newest completed takes, by model and duration."""
    rows = db.execute(
        sa.select(TAKE.c.model, TAKE.c.duration, ATTEMPT.c.inference_ms)
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .where(TAKE.c.provider == provider, ATTEMPT.c.state == State.COMPLETED.value, ATTEMPT.c.inference_ms > 0)
        .order_by(ATTEMPT.c.attempt_id.desc())
        .limit(HISTORY_ROWS)
    )
    history: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        history.setdefault((row.model, row.duration), []).append(row.inference_ms / 1_000)
    return history


def move(db: sa.Connection, attempt_id: int, to: State, values: Mapping[str, Any]) -> None:
    """Change an attempt's state along `takes.SUCCESSORS`, or not at all.

    `polls` among the values are added to those before; a `window_to` never makes the window end sooner.
    """
    changed = move_to(to, tuple(sorted(values))).run(db, {"of_attempt": attempt_id, **_as_new(values)})
    if changed.rowcount != 1:
        found = _state_of(db, attempt_id)
        raise LedgerError(f"attempt {attempt_id}: found state {found}, which {to} may not follow")


def _state_of(db: sa.Connection, attempt_id: int) -> str | None:
    found = STATE_OF.run(db, {"of_attempt": attempt_id}).fetchone()
    return found[0] if found else None


def _as_new(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters may not be called like columns that an UPDATE sets."""
    return {f"new_{name}": value for name, value in values.items()}


def standing_of(tries: Sequence[tuple[State, int | None, str]], run_id: str | None) -> Standing:
    """What decides about the next step, from state, error code and run of each attempt at a take, in order."""
    state, error_code, newest_by = tries[-1]
    bought_here = sum(by == run_id for each, _, by in tries if each in PAID)
    return Standing(state, error_code, bought_here, tried_here=newest_by == run_id)


def _record(tries: Sequence[Mapping[str, Any]], run_id: str | None) -> Record:
    """The newest of the attempts (in order), with what all of them cost."""
    newest = tries[-1]
    paid = [attempt for attempt in tries if State(attempt["state"]) in PAID]
    standing = standing_of([(State(each["state"]), each["error_code"], each["run_id"]) for each in tries], run_id)
    costs = [attempt["cost_usd"] for attempt in paid]
    return Record(
        fingerprint=newest["fingerprint"],
        attempt_id=newest["attempt_id"],
        attempt_no=newest["attempt_no"],
        state=State(newest["state"]),
        run_id=newest["run_id"],
        tried_here=standing.tried_here,
        prediction_id=newest["prediction_id"],
        prediction_status=newest["prediction_status"],
        outputs=_tuple(newest["outputs"]),
        has_nsfw_contents=_tuple(newest["has_nsfw_contents"]),
        inference_ms=newest["inference_ms"],
        error_code=newest["error_code"],
        error=newest["error"],
        submitted_at=aware(newest["submitted_at"]),
        completed_at=aware(newest["completed_at"]),
        created_at=aware(newest["created_at"]),
        polls=newest["polls"],
        attempts=len(paid),
        bought_here=standing.bought_here,
        cost_usd=None if None in costs else sum(costs),
    )


def _tuple(text: str | None) -> tuple[Any, ...] | None:
    return None if text is None else tuple(json.loads(text))


def now() -> datetime:
    """This machine's time in UTC, for people to read; no rule depends on it."""
    return datetime.now(UTC).replace(tzinfo=None)


def naive(moment: datetime | None) -> datetime | None:
    """A moment as it is stored: UTC, without saying so."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def aware(moment: datetime | None) -> datetime | None:
    """A stored moment, with its zone."""
    return None if moment is None else moment.replace(tzinfo=UTC)
