"""Settlement of takes once it is known whether they were bought: by receipt, or by WaveSpeed's list.

Each is a function of a connection inside a transaction that its caller commits. `animatic.takes.evidence` decides
what the list proves, `animatic.wavespeed.outcomes` what a reply means; these functions record it.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from animatic.ledger import aliases
from animatic.ledger.moments import aware, aware_always, naive, now
from animatic.ledger.operations import accept, conclude, give_back, move, settled_by_hand
from animatic.ledger.predictions import Orphan, remember_orphans, unbound
from animatic.ledger.records import HeldFor
from animatic.ledger.schema import ATTEMPT, TAKE
from animatic.takes.evidence import Absent, Adopt, Candidate, Claim, Hold, Scan, is_near, judge, shift_of, shifted
from animatic.takes.inputs import read_request
from animatic.takes.states import Accepted, State

LOOSE_WINDOW = timedelta(hours=1)
"""Around our own time of an intent that was recorded without a window."""

MOST_NAMED = 10

SHIFT_ROWS = 100
"""So many of the newest accepted submissions are asked how far the list's clock is from that of `Date`."""


@dataclass(slots=True)
class Settlement:
    """Result of a scan: counts of settled takes, and the fingerprints of those that can go on."""

    counts: Counter[str] = field(default_factory=Counter[str])
    adopted: list[str] = field(default_factory=list[str])
    absent: list[str] = field(default_factory=list[str])
    orphans: list[Orphan] = field(default_factory=list[Orphan])


def claims(db: sa.Connection, provider: str) -> list[Claim]:
    """Return every attempt at this provider whose submission may have been accepted, live ones included.

    Held takes are included only if reconciling held them: two takes with one id are for a person. Windows are moved to
    the list's clock, as far as accepted submissions show it to differ from that of `Date`.
    """
    rows = db.execute(
        sa.select(ATTEMPT, TAKE.c.model, TAKE.c.request)
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .where(
            ATTEMPT.c.state.in_([State.UNKNOWN.value, State.HELD.value, State.SUBMITTING.value]),
            TAKE.c.provider == provider,
            sa.or_(ATTEMPT.c.state != State.HELD.value, ATTEMPT.c.held_for == HeldFor.EVIDENCE),
        )
        .order_by(ATTEMPT.c.attempt_id)
    ).all()
    if not rows:
        return []
    shift = clock_shift(db, provider)
    return [shifted(_claim(row), shift) for row in rows]


def clock_shift(db: sa.Connection, provider: str) -> tuple[timedelta, timedelta]:
    """Return by how much the list's clock leaves the windows of accepted submissions, at either end."""
    known = db.execute(
        sa.select(ATTEMPT.c.window_from, ATTEMPT.c.window_to, ATTEMPT.c.created_at)
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .where(
            TAKE.c.provider == provider,
            ATTEMPT.c.window_from.is_not(None),
            ATTEMPT.c.window_to.is_not(None),
            ATTEMPT.c.created_at.is_not(None),
        )
        .order_by(ATTEMPT.c.attempt_id.desc())
        .limit(SHIFT_ROWS)
    )
    return shift_of((row.window_from, row.window_to, row.created_at) for row in known)


def settle(  # noqa: PLR0913 - what was read, whose it is, and by which rule it is judged
    db: sa.Connection,
    provider: str,
    listed: Sequence[Candidate],
    scan: Scan,
    settle_s: float,
    *,
    adopts_by_window: bool = False,
) -> Settlement:
    """Judge every open claim that a scan of the list covers, which ended before this began, and write it down."""
    model_claims = [claim for claim in claims(db, provider) if claim.model == scan.span.model]
    free = {each.prediction_id: each for each in unbound(db, listed)}
    settle_for = timedelta(seconds=settle_s)
    verdicts = judge(model_claims, list(free.values()), scan, settle_for, adopts_by_window=adopts_by_window)
    settled, named = Settlement(), set[str]()
    for attempt_id, verdict in verdicts.items():
        fingerprint = _fingerprint(db, attempt_id)
        match verdict:
            case Adopt(prediction_id, by):
                adopt(db, attempt_id, prediction_id, by)
                settled.adopted.append(fingerprint)
                named.add(prediction_id)
            case Absent():
                declare_absent(db, attempt_id, "window", "WaveSpeed's list, read twice, does not have it")
                settled.absent.append(fingerprint)
            case Hold(candidates, why):
                _hold(db, provider, attempt_id, candidates, why)
                named.update(each.prediction_id for each in candidates)
            case _:
                db.execute(
                    ATTEMPT.update()
                    .where(ATTEMPT.c.attempt_id == attempt_id)
                    .values(absent_since=naive(verdict.absent_since))
                )
        settled.counts[type(verdict).__name__.lower()] += 1
    mine = _live_may_own(model_claims, list(free.values()))
    settled.orphans = [
        Orphan(each.prediction_id, each.model, each.created_at)
        for key, each in free.items()
        if key not in named | mine and _is_within(each, scan)
    ]
    remember_orphans(db, provider, settled.orphans)
    return settled


def apply_acceptance(db: sa.Connection, attempt_id: int, nonce: str, accepted: Accepted) -> bool:
    """Bind the id that a receipt holds, unless the ledger has it already; return true if that changed anything."""
    found = _open_intent(db, attempt_id, nonce)
    if found is None:
        return False
    accept(db, attempt_id, accepted)
    db.execute(ATTEMPT.update().where(ATTEMPT.c.attempt_id == attempt_id).values(settled_by="receipt", candidates=None))
    return True


def apply_refusal(  # noqa: PLR0913, PLR0917 - the parts of a receipt that says no, and by when it was written
    db: sa.Connection, attempt_id: int, nonce: str, state: State, error_code: int | None, error: str, latest: datetime
) -> bool:
    """Conclude a take that was not bought, or is unknown, by its receipt; return true if that changed anything."""
    found = _open_intent(db, attempt_id, nonce)
    if found is State.SUBMITTING:
        conclude(db, attempt_id, state, error_code, error, latest)
    elif found is State.UNKNOWN and state is not State.UNKNOWN:
        declare_absent(db, attempt_id, "receipt", error)
    return found is not None


def adopt(db: sa.Connection, attempt_id: int, prediction_id: str, by: str) -> None:
    """Bind an attempt to a prediction that exists; the next poll fetches its result."""
    values = {"prediction_id": prediction_id, "submitted_at": now(), "settled_by": by}
    move(db, attempt_id, State.SUBMITTED, values | {"error": None, "error_code": None, "candidates": None})


def declare_absent(db: sa.Connection, attempt_id: int, by: str, error: str) -> None:
    """Record that an attempt was not bought, and release the amount that it reserved."""
    values = {"prediction_id": None, "settled_by": by, "error": error, "candidates": None}
    move(db, attempt_id, State.ABSENT, values)
    give_back(db, attempt_id)


def _hold(db: sa.Connection, provider: str, attempt_id: int, candidates: Sequence[Candidate], why: str) -> None:
    fingerprint, state = db.execute(
        sa.select(ATTEMPT.c.fingerprint, ATTEMPT.c.state).where(ATTEMPT.c.attempt_id == attempt_id)
    ).one()
    shown = [f"{each.prediction_id} ({_when(each.created_at)})" for each in candidates[:MOST_NAMED]]
    more = f" and {len(candidates) - MOST_NAMED} more" if len(candidates) > MOST_NAMED else ""
    named = f"; it may be {', '.join(shown)}{more}" if shown else ""
    likely = [candidates[0].prediction_id] if len(candidates) == 1 else []
    error = f"{why}{named}; {settled_by_hand(provider, fingerprint, *likely)}"
    values = {
        "error": error,
        "candidates": json.dumps([each.prediction_id for each in candidates]),
        "held_for": HeldFor.EVIDENCE,
    }
    if state == State.HELD.value and not candidates:
        return  # the candidates that the list named before it forgot them are still the best hint
    if state == State.HELD.value:
        db.execute(ATTEMPT.update().where(ATTEMPT.c.attempt_id == attempt_id).values(values))
    else:
        move(db, attempt_id, State.HELD, values)


def _open_intent(db: sa.Connection, attempt_id: int, nonce: str) -> State | None:
    """Return the state of the attempt that a receipt names, if it is still the same intent and not concluded yet."""
    found = db.execute(
        sa.select(ATTEMPT.c.state, ATTEMPT.c.prediction_id).where(
            ATTEMPT.c.attempt_id == attempt_id, ATTEMPT.c.nonce == nonce
        )
    ).first()
    if found is None or found.prediction_id is not None:
        return None
    state = State(found.state)
    return state if state in {State.SUBMITTING, State.UNKNOWN} else None


def _is_within(candidate: Candidate, scan: Scan) -> bool:
    """Tell if a prediction lies within the window that was asked for: a list that ignores our filter shows more."""
    if candidate.created_at is None:
        return True
    return scan.span.window_from <= candidate.created_at <= scan.span.window_to


def _live_may_own(all_claims: Sequence[Claim], free: Sequence[Candidate]) -> set[str]:
    """Candidates that an attempt which a run is submitting now may turn out to have bought."""
    live = [claim for claim in all_claims if claim.is_live]
    return {each.prediction_id for each in free if any(is_near(claim, each, timedelta(0)) for claim in live)}


def _claim(row: sa.Row[*tuple[Any, ...]]) -> Claim:
    inputs, _ = read_request(row.request)
    window_from = aware(row.window_from) or aware_always(row.intent_at) - LOOSE_WINDOW
    window_to = aware(row.window_to) or aware_always(row.intent_at) + LOOSE_WINDOW
    return Claim(
        attempt_id=row.attempt_id,
        model=row.model,
        inputs=inputs.with_files(json.loads(row.uploads or "{}")).canonical(),
        window_from=window_from,
        window_to=window_to,
        is_live=row.state == State.SUBMITTING.value,
        absent_since=aware(row.absent_since),
    )


def _fingerprint(db: sa.Connection, attempt_id: int) -> str:
    found = db.execute(sa.select(ATTEMPT.c.fingerprint).where(ATTEMPT.c.attempt_id == attempt_id)).scalar_one()
    return aliases.take_of(db, str(found))


def _when(moment: datetime | None) -> str:
    return "created at an unknown time" if moment is None else f"created {moment:%Y-%m-%d %H:%M:%S} UTC"
