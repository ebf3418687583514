"""Operations on the ledger: each a function of a connection, in a transaction that its caller commits.

None of them sends, waits or decides whether to buy; all of them refuse what `takes.SUCCESSORS` does not allow.
Times are UTC, stored without a zone.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from animatic.errors import BudgetError, LedgerError, TakenError
from animatic.errors.text import command
from animatic.ledger import chains, looks, renewals, spending, uploads
from animatic.ledger.moments import naive, now
from animatic.ledger.newest import died, newest_status
from animatic.ledger.records import Finish, HeldFor, Intended, Intent
from animatic.ledger.schema import ATTEMPT, REMARK, RUN, TAKE
from animatic.ledger.statements import (
    COUNT_INTENTS,
    INSERT_ATTEMPT,
    OTHER_OWNER,
    PRICE_OF,
    RESERVE,
    RESERVE_WITHIN,
    STATE_OF,
    bind_to,
    finish_as,
    insert_missing,
    move_to,
    no_sooner_than,
)
from animatic.takes.canonical import EMBEDDED_SANDBOX
from animatic.takes.money.amounts import dollars
from animatic.takes.money.budgets import MAX_USD_PER_DAY, Reserved
from animatic.takes.schemas import LatencyClass
from animatic.takes.states import FINAL, PAID, Accepted, State, TakeStatus, permission_to_buy

HISTORY_ROWS = 2_000
MOST_REMARKS = 20


def begin_run(  # noqa: PLR0913, PLR0917 - a run, and where it is carried out
    db: sa.Connection, run_id: str, manifest: str, host: str, pid: int, flow_run_id: str | None = None
) -> None:
    """Record that a run begins; `manifest` is its absolute URI, `flow_run_id` Prefect's id of it."""
    newest = sa.select(sa.func.coalesce(sa.func.max(RUN.c.run_no), 0) + 1).scalar_subquery()
    db.execute(
        RUN.insert().values(
            run_id=run_id,
            run_no=newest,
            manifest=manifest,
            started_at=now(),
            host=host,
            pid=pid,
            flow_run_id=flow_run_id,
        )
    )


def runs_submitting(db: sa.Connection) -> list[str]:
    """Return the ids of runs that have an attempt in `submitting`."""
    rows = db.execute(sa.select(ATTEMPT.c.run_id).where(ATTEMPT.c.state == State.SUBMITTING.value).distinct())
    return [row.run_id for row in rows]


def give_up_submitting(db: sa.Connection, run_id: str, latest: datetime) -> int:
    """Turn what a dead run was submitting into `unknown`; returns how many.

    It is not known whether its POST went out, so it is never sent again. Nor when: a run that was stopped for hours
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


def intend(db: sa.Connection, intent: Intent) -> Intended:
    """Record that a take is about to be bought, and reserve its price.

    Must be committed before the POST. Whether the take may be bought, and within the budget, is decided here, in the
    same transaction: what was looked up before the wait for a slot may have changed since.

    Raises:
        BudgetError: the run, or the day, would reserve more than it may, or the price is not known.
        TakenError: another run has bought it since, or is about to.
        SourceError: the take that it starts from is not completed, or is not the one that its shot was bought with.
    """
    newest = renewals.seen_by(newest_status(db, intent.fingerprint, intent.run_id), intent.replaces)
    allowed_by = permission_to_buy(newest.take_status if newest else TakeStatus(None), intent.policy)
    if allowed_by is None:
        state = newest and newest.take_status.state
        raise TakenError(f"take {intent.fingerprint[:12]}: it is {state} by now, and stays so")
    chains.link(db, intent)
    reserved = reserve(db, [intent])
    db.execute(insert_missing(TAKE, db.dialect.name), take_of(intent))
    values = attempt_of(intent, allowed_by)
    intents = count_intents(db, 1)
    following = renewals.next_attempt(db, intent.fingerprint, newest, allowed_by)
    attempt_id = following.unsent_id
    if attempt_id is not None:
        again = ATTEMPT.update().where(ATTEMPT.c.attempt_id == attempt_id)
        db.execute(again.values(error=None, error_code=None, **values))
    else:
        more = {"fingerprint": intent.fingerprint, "attempt_no": following.attempt_no, "renewal": following.renewal}
        attempt_id = int(INSERT_ATTEMPT.rows(db, {**more, **values})[0][0])
    if allowed_by == renewals.CHANGED_STILL:
        uploads.forget_last_frame(db, intent.fingerprint)
    if intent.looks or following.unsent_id is not None:
        looks.bind(db, attempt_id, intent.looks)
    return Intended(attempt_id, reserved, intents)


def take_of(intent: Intent) -> dict[str, Any]:
    """Return the row of the take that an intent is about."""
    return {
        "fingerprint": intent.fingerprint,
        "provider": intent.provider,
        "model": intent.model,
        "duration": intent.latency_class,
        "request": intent.request,
    }


def attempt_of(intent: Intent, allowed_by: str) -> dict[str, Any]:
    """Return the row of an attempt that is about to be sent, without its place among those of its take."""
    return {
        "state": State.SUBMITTING.value,
        "run_id": intent.run_id,
        "allowed_by": allowed_by,
        "uploads": json.dumps(dict(intent.uploads)) if intent.uploads else None,
        "quoted_microusd": intent.quoted_microusd,
        "intent_at": now(),
        "nonce": intent.nonce,
        "window_from": naive(intent.window_from),
        "window_to": naive(intent.window_to),
        "spent_on": spending.day_of(intent),
    }


def count_intents(db: sa.Connection, more: int) -> int:
    """Count so many more intents; return how many the ledger has seen."""
    return int(COUNT_INTENTS.rows(db, {"more": more})[0][0])


def reserve(db: sa.Connection, intents: Sequence[Intent]) -> Reserved:
    """Add prices to what the run and the day have reserved, unless that would be more than they may.

    The intents differ in nothing but their takes and prices.
    """
    intent, prices = intents[0], [each.quoted_microusd for each in intents]
    if intent.is_limited and None in prices:
        limited_by = MAX_USD_PER_DAY if intent.max_microusd is None else intent.limited_by
        raise BudgetError(
            f"{limited_by}: the price of a take of {intent.model}, {intent.latency_class} cannot be had; run again "
            "when WaveSpeed quotes prices, or set ANIMATIC_PRICE_USD to what a take costs at most"
        )
    price, unpriced = sum(each or 0 for each in prices), prices.count(None)
    asked = {"by_run": intent.run_id, "price_microusd": price, "unpriced_more": unpriced}
    if intent.max_microusd is None:
        changed = RESERVE.rows(db, asked)
    else:
        changed = RESERVE_WITHIN.rows(db, asked | {"most_microusd": intent.max_microusd})
    if not changed and intent.max_microusd is None:
        raise LedgerError(f"run {intent.run_id}: not in the ledger; begin it first")
    if not changed:
        raise BudgetError(
            f"{intent.limited_by}: buying this take ({dollars(price)}) would exceed the limit of "
            f"{dollars(intent.max_microusd or 0)}; raise {intent.limited_by} to go on"
        )
    spending.spend(db, intent, price, unpriced)
    return Reserved(*changed[0])


def accept(db: sa.Connection, attempt_id: int, accepted: Accepted) -> bool:
    """Bind a prediction to the attempt that bought it; False, and both `held`, if another take already has this id.

    Another take that is final keeps its state, and gets a remark.
    """
    prediction_id, values = accepted.prediction_id, acceptance_of(accepted)
    if _moved(db, attempt_id, bind_to(tuple(values)), values):
        return True
    owner = db.execute(OTHER_OWNER, {"of_prediction": prediction_id, "but_attempt": attempt_id}).fetchone()
    if owner is None:
        mine = sa.select(ATTEMPT.c.prediction_id).where(ATTEMPT.c.attempt_id == attempt_id)
        if db.execute(mine).scalar() == prediction_id:  # evidence was faster: the run had been taken for dead
            return True
        raise _forbidden(db, attempt_id, State.SUBMITTED)
    other_attempt, other, state, other_run = owner
    mine = db.execute(sa.select(ATTEMPT.c.fingerprint).where(ATTEMPT.c.attempt_id == attempt_id)).scalar_one()
    said = f"the API gave prediction {prediction_id} to this take and to take"
    provider = _provider_of(db, mine)
    error = f"{said} {other[:12]}; {settled_by_hand(provider, mine, prediction_id)}"
    move(db, attempt_id, State.HELD, {"error": error, "submitted_at": now(), "held_for": HeldFor.CONFLICT})
    error = f"{said} {mine[:12]}; {settled_by_hand(provider, other, prediction_id)}"
    if State(state) is State.SUBMITTED:
        move(db, other_attempt, State.HELD, {"error": error, "held_for": HeldFor.CONFLICT})
    elif State(state) is State.HELD:
        db.execute(
            ATTEMPT.update().where(ATTEMPT.c.attempt_id == other_attempt).values(held_for=HeldFor.CONFLICT, error=error)
        )
    else:
        remark(db, other_attempt, other_run, error)
    return False


def acceptance_of(accepted: Accepted) -> dict[str, Any]:
    """Return what an attempt gets when it becomes `submitted`."""
    return {
        "prediction_id": accepted.prediction_id,
        "prediction_status": accepted.status,
        "prediction_model": accepted.model,
        "created_at": naive(accepted.created_at),
        "submitted_at": now(),
    }


def reconcile_command(provider: str, *arguments: str) -> str:
    """Return the command that settles takes of a provider by hand."""
    return command("reconcile", *(["--sandbox"] if provider == EMBEDDED_SANDBOX else []), *arguments)


def settled_by_hand(provider: str, fingerprint: str, prediction_id: str = "PREDICTION_ID") -> str:
    """Say how a person settles a take of which it is not known whether it was bought."""
    short = fingerprint[:12]
    adopting = reconcile_command(provider, "--adopt", f"{short}={prediction_id}")
    return f"settle it with: {adopting}, or: {reconcile_command(provider, '--absent', short)}"


def abandoned_by_hand(provider: str, fingerprint: str) -> str:
    """Say how a person gives up a take that was bought and never came."""
    return (
        "every run polls it once more; to give it up, so that --retry-failed may buy it again: "
        f"{reconcile_command(provider, '--abandon', fingerprint[:12])}"
    )


def remark(db: sa.Connection, attempt_id: int, run_id: str, text: str) -> None:
    """Keep what contradicts an attempt's state without changing it; at most `MOST_REMARKS` of an attempt."""
    made = db.execute(sa.select(sa.func.count()).where(REMARK.c.attempt_id == attempt_id)).scalar_one()
    if made < MOST_REMARKS:
        db.execute(REMARK.insert().values(attempt_id=attempt_id, run_id=run_id, made_at=now(), text=text[:2_000]))


def conclude(  # noqa: PLR0913, PLR0917 - which attempt, how it ended, and by when it must have
    db: sa.Connection, attempt_id: int, state: State, error_code: int | None, error: str, latest: datetime
) -> Reserved:
    """Record how a submission without a prediction id ended; return what its run has reserved without it.

    What was not bought is no longer reserved. `latest` is the API's time by which it was over: later than planned where
    the run was stopped on the way.
    """
    values: dict[str, Any] = {"error_code": error_code, "error": error, "window_to": naive(latest)}
    is_unclear = _state_of(db, attempt_id) in {State.UNKNOWN.value, State.HELD.value}
    if is_unclear and (state is State.UNKNOWN or state not in PAID):
        # Its run was taken for dead, since its line to the server was cut.
        if state is State.UNKNOWN:
            later = (ATTEMPT.c.attempt_id == attempt_id, ATTEMPT.c.window_to < naive(latest))
            db.execute(ATTEMPT.update().where(*later).values(window_to=naive(latest)))
            return _add_back(db, attempt_id, 0)
        state = State.ABSENT
        values |= {"prediction_id": None, "candidates": None}
    move(db, attempt_id, state, values)
    return _add_back(db, attempt_id, 0 if state in PAID else -1)


def give_back(db: sa.Connection, attempt_id: int) -> Reserved:
    """Take the price of an attempt that was not bought off what its run has reserved."""
    return _add_back(db, attempt_id, -1)


def _add_back(db: sa.Connection, attempt_id: int, times: int) -> Reserved:
    """Add the attempt's price so many times, 0 or -1, to what its run has reserved; what that is then."""
    run_id, price, provider, day = db.execute(PRICE_OF, {"of_attempt": attempt_id}).fetchall()[0]
    if times:
        spending.give_back(db, provider, day, price)
    values = {"by_run": run_id, "price_microusd": times * (price or 0), "unpriced_more": times * int(price is None)}
    return Reserved(*RESERVE.rows(db, values)[0])


def finish(db: sa.Connection, attempt_id: int, end: Finish, polls: int, run_id: str) -> str | None:
    """Record the API's final answer after so many polls; return a sentence if it contradicts the ledger, else None.

    An attempt that is final already keeps its state; so does one whose hold only a person can end. A different answer
    is kept as a remark.
    """
    values = end_of(end, polls)
    if _moved(db, attempt_id, finish_as(end.state, tuple(values)), values):
        return None
    found = _state_of(db, attempt_id)
    if found == end.state.value:
        return None
    if found != State.HELD.value and (found is None or State(found) not in FINAL):
        raise _forbidden(db, attempt_id, end.state)
    said = f"it is {found}, and the API now says {end.prediction_status}"
    remark(db, attempt_id, run_id, f"{said}: {end}")
    return said


def end_of(end: Finish, polls: int) -> dict[str, Any]:
    """Return what an attempt gets with its final state."""
    return {
        "prediction_status": end.prediction_status,
        "prediction_model": end.prediction_model,
        "outputs": json.dumps(end.outputs),
        "has_nsfw_contents": None if end.has_nsfw_contents is None else json.dumps(end.has_nsfw_contents),
        "inference_ms": end.inference_ms,
        "created_at": naive(end.created_at),
        "completed_at": now(),
        "error_code": end.error_code,
        "error": end.error,
        "polls": polls,
    }


def lose(db: sa.Connection, attempt_id: int, polls: int) -> None:
    """Hold a take whose prediction the API had accepted and does not know."""
    found = _submitted(db, attempt_id)
    if found is not None:
        error = (
            f"WaveSpeed accepted it as prediction {found.prediction_id} and does not know that id (predictions are "
            "kept for 7 days, and known to their own account only); "
            f"{abandoned_by_hand(found.provider, found.fingerprint)}"
        )
        values = {"error": error, "error_code": 404, "polls": polls, "held_for": HeldFor.LOST}
        move(db, attempt_id, State.HELD, values)


def give_up(db: sa.Connection, attempt_id: int, polls: int, status: str | None, after_s: float) -> None:
    """Hold a take that is not final so long after its submission."""
    found = _submitted(db, attempt_id)
    if found is not None:
        error = (
            f"prediction {found.prediction_id} is still {status or 'not final'} {after_s / 3_600:,.1f} h after its "
            f"submission; {abandoned_by_hand(found.provider, found.fingerprint)}"
        )
        values = {"error": error, "polls": polls, "held_for": HeldFor.STUCK}
        move(db, attempt_id, State.HELD, values | ({"prediction_status": status} if status else {}))


def _submitted(db: sa.Connection, attempt_id: int) -> Any:
    """Return id, fingerprint and provider of an attempt that is submitted, or None."""
    found = db.execute(
        sa.select(ATTEMPT.c.fingerprint, ATTEMPT.c.prediction_id, ATTEMPT.c.state, TAKE.c.provider)
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .where(ATTEMPT.c.attempt_id == attempt_id)
    ).one()
    return found if State(found.state) is State.SUBMITTED else None


def _provider_of(db: sa.Connection, fingerprint: str) -> str:
    return str(db.execute(sa.select(TAKE.c.provider).where(TAKE.c.fingerprint == fingerprint)).scalar_one())


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


def reserved_by(db: sa.Connection, run_id: str) -> Reserved:
    """Return what a run has reserved so far."""
    found = db.execute(sa.select(RUN.c.committed_microusd, RUN.c.unpriced).where(RUN.c.run_id == run_id)).first()
    return Reserved(*found) if found else Reserved()


def reserved_under(db: sa.Connection, flow_run_id: str, manifest: str) -> int:
    """Return what all runs of a manifest with this id of Prefect's have reserved, in millionths of a dollar.

    A run that is started again after a crash or a suspension keeps Prefect's id. An inbox that is started again may
    give that of one manifest's run to the run of another.
    """
    committed = sa.func.coalesce(sa.func.sum(RUN.c.committed_microusd), 0)
    found = sa.select(committed).where(RUN.c.flow_run_id == flow_run_id, RUN.c.manifest == manifest)
    return int(db.execute(found).scalar_one())


def inference_history(db: sa.Connection, provider: str) -> dict[LatencyClass, list[float]]:
    """Inference times in seconds of the newest completed takes, by latency class."""
    rows = db.execute(
        sa.select(TAKE.c.model, TAKE.c.duration, ATTEMPT.c.inference_ms)
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .where(TAKE.c.provider == provider, ATTEMPT.c.state == State.COMPLETED.value, ATTEMPT.c.inference_ms > 0)
        .order_by(ATTEMPT.c.attempt_id.desc())
        .limit(HISTORY_ROWS)
    )
    history: dict[LatencyClass, list[float]] = {}
    for row in rows:
        history.setdefault(LatencyClass(row.model, row.duration), []).append(row.inference_ms / 1_000)
    return history


def move(db: sa.Connection, attempt_id: int, to: State, values: Mapping[str, Any]) -> None:
    """Change an attempt's state along `takes.SUCCESSORS`, or not at all.

    `polls` among the values are added to those before; a `window_to` never makes the window end sooner.
    """
    if not _moved(db, attempt_id, move_to(to, tuple(sorted(values))), values):
        raise _forbidden(db, attempt_id, to)


def _moved(db: sa.Connection, attempt_id: int, moving: sa.Update, values: Mapping[str, Any]) -> bool:
    """Run a statement of `move_to`; False where the attempt's state does not allow it."""
    return db.execute(moving, moved_by(attempt_id, values)).rowcount == 1


def moved_by(attempt_id: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a statement of `move_to`: not called like the columns that are set."""
    return {"of_attempt": attempt_id} | {f"new_{name}": value for name, value in values.items()}


def _forbidden(db: sa.Connection, attempt_id: int, to: State) -> LedgerError:
    return LedgerError(f"attempt {attempt_id}: found state {_state_of(db, attempt_id)}, which {to} may not follow")


def _state_of(db: sa.Connection, attempt_id: int) -> str | None:
    found = db.execute(STATE_OF, {"of_attempt": attempt_id}).fetchone()
    return found[0] if found else None
