"""Settlement of takes once it is known whether they were bought: by receipt, by the list, by a person.

Each is a function of a connection inside a transaction that its caller commits. What the list proves is decided in
`animatic.takes.evidence`; what a reply means, in `animatic.wavespeed.outcomes`; here it is written down.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from animatic.errors import FixInputError
from animatic.ledger import aliases
from animatic.ledger.moments import aware, naive, now
from animatic.ledger.operations import (
    abandoned_by_hand,
    accept,
    conclude,
    give_back,
    move,
    settled_by_hand,
)
from animatic.ledger.records import POLLED, HeldFor
from animatic.ledger.schema import ATTEMPT, ORPHAN, RUN, TAKE
from animatic.ledger.statements import in_chunks
from animatic.takes.evidence import Absent, Adopt, Candidate, Claim, Hold, Scan, is_near, judge, shift_of, shifted
from animatic.takes.inputs import read_request
from animatic.takes.states import Accepted, State

LOOSE_WINDOW = timedelta(hours=1)
"""Around our own time of an intent that was recorded without a window."""

MOST_NAMED = 10
SHIFT_ROWS = 100
"""So many of the newest accepted submissions are asked how far the list's clock is from that of `Date`."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A prediction of the account that belongs to no take of the ledger."""

    prediction_id: str
    model: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class Open:
    """A take that is unknown or held: since when, by our clock, why, and which manifest asked for it.

    Attributes:
        fingerprint: what its attempt is known by: of before, where it stays under an alias.
        take: the fingerprint of the take that it is now.
    """

    fingerprint: str
    state: str
    since: datetime
    error: str
    run_id: str = ""
    manifest: str = ""
    take: str = ""


@dataclass(slots=True)
class Settlement:
    """Result of a scan: counts of settled takes, and the fingerprints of those that can go on."""

    counts: Counter[str] = field(default_factory=Counter[str])
    adopted: list[str] = field(default_factory=list[str])
    absent: list[str] = field(default_factory=list[str])
    orphans: list[Orphan] = field(default_factory=list[Orphan])


def claims(db: sa.Connection, provider: str) -> list[Claim]:
    """Return every attempt at this provider whose submission may have been accepted, live ones included.

    Of what is held, only what reconciling held itself: two takes with one id are for a person. Windows are moved to
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
                _adopt(db, attempt_id, prediction_id, by)
                settled.adopted.append(fingerprint)
                named.add(prediction_id)
            case Absent():
                _declare_absent(db, attempt_id, "window", "WaveSpeed's list, read twice, does not have it")
                settled.absent.append(fingerprint)
            case Hold(candidates, why):
                _hold(db, attempt_id, candidates, why)
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
    _remember_orphans(db, provider, settled.orphans)
    return settled


def orphans(db: sa.Connection, provider: str) -> list[Orphan]:
    """Predictions that were seen to belong to no take, and still do, oldest first."""
    bound = sa.select(ATTEMPT.c.prediction_id).where(ATTEMPT.c.prediction_id.is_not(None))
    rows = db.execute(
        sa.select(ORPHAN)
        .where(ORPHAN.c.provider == provider, ORPHAN.c.prediction_id.not_in(bound))
        .order_by(ORPHAN.c.created_at, ORPHAN.c.prediction_id)
    )
    return [Orphan(row.prediction_id, row.model, aware(row.created_at)) for row in rows]


def open_takes(db: sa.Connection, provider: str, *, also: Collection[State] = ()) -> list[Open]:
    """Return takes that are unknown or held, or in one of the other states, oldest first."""
    states = [state.value for state in {State.UNKNOWN, State.HELD, *also}]
    rows = db.execute(
        sa.select(
            *(ATTEMPT.c.fingerprint, ATTEMPT.c.state, ATTEMPT.c.intent_at, ATTEMPT.c.error),
            *(ATTEMPT.c.run_id, RUN.c.manifest),
        )
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .join(RUN, RUN.c.run_id == ATTEMPT.c.run_id)
        .where(ATTEMPT.c.state.in_(states), TAKE.c.provider == provider)
        .order_by(ATTEMPT.c.intent_at, ATTEMPT.c.attempt_id)
    ).all()
    now_called = aliases.takes_of(db, [row.fingerprint for row in rows])
    return [
        Open(
            row.fingerprint,
            row.state,
            _aware_always(row.intent_at),
            row.error or _UNTOLD.get(row.state, ""),
            row.run_id,
            row.manifest,
            now_called.get(row.fingerprint) or str(row.fingerprint),
        )
        for row in rows
    ]


_UNTOLD = {State.SUBMITTING.value: "its run died while it was being submitted; `animatic reconcile` looks for it"}


@dataclass(frozen=True, slots=True)
class Stuck:
    """A take that was submitted long ago, or is held for that, and is polled once by every run."""

    attempt_id: int
    fingerprint: str
    prediction_id: str
    is_held: bool
    submitted_at: datetime


def stuck(db: sa.Connection, provider: str, submitted_before: datetime, most: int) -> list[Stuck]:
    """Return takes to poll once, those that were polled least often first."""
    is_held = sa.and_(ATTEMPT.c.state == State.HELD.value, ATTEMPT.c.held_for.in_(POLLED))
    is_old = sa.and_(ATTEMPT.c.state == State.SUBMITTED.value, ATTEMPT.c.submitted_at < naive(submitted_before))
    rows = db.execute(
        sa.select(
            *(ATTEMPT.c.attempt_id, ATTEMPT.c.fingerprint, ATTEMPT.c.prediction_id, ATTEMPT.c.state),
            *(ATTEMPT.c.submitted_at, ATTEMPT.c.intent_at),
        )
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .where(TAKE.c.provider == provider, ATTEMPT.c.prediction_id.is_not(None), sa.or_(is_held, is_old))
        .order_by(ATTEMPT.c.polls, ATTEMPT.c.attempt_id)
        .limit(most)
    )
    return [
        Stuck(
            row.attempt_id,
            row.fingerprint,
            row.prediction_id,
            row.state == State.HELD.value,
            _aware_always(row.submitted_at or row.intent_at),
        )
        for row in rows
    ]


def count_poll(db: sa.Connection, attempt_id: int) -> None:
    """Count a poll of a held take that changed nothing."""
    db.execute(ATTEMPT.update().where(ATTEMPT.c.attempt_id == attempt_id).values(polls=ATTEMPT.c.polls + 1))


def redeem_accepted(db: sa.Connection, attempt_id: int, nonce: str, accepted: Accepted) -> bool:
    """Bind the id that a receipt holds, unless the ledger has it already; whether that changed anything."""
    found = _open_intent(db, attempt_id, nonce)
    if found is None:
        return False
    accept(db, attempt_id, accepted)
    db.execute(ATTEMPT.update().where(ATTEMPT.c.attempt_id == attempt_id).values(settled_by="receipt", candidates=None))
    return True


def redeem_no(  # noqa: PLR0913, PLR0917 - the parts of a receipt that says no, and by when it was written
    db: sa.Connection, attempt_id: int, nonce: str, state: State, error_code: int | None, error: str, latest: datetime
) -> bool:
    """Conclude a take that was not bought, or is unknown, by its receipt; tell if that changed anything."""
    found = _open_intent(db, attempt_id, nonce)
    if found is State.SUBMITTING:
        conclude(db, attempt_id, state, error_code, error, latest)
    elif found is State.UNKNOWN and state is not State.UNKNOWN:
        _declare_absent(db, attempt_id, "receipt", error)
    return found is not None


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
            f"its prediction {prediction_id} was given to another take by hand; {settled_by_hand(owner.fingerprint)}"
        )
        db.execute(
            ATTEMPT.update()
            .where(ATTEMPT.c.attempt_id == owner.attempt_id)
            .values(prediction_id=None, error=error, held_for=HeldFor.CONFLICT)
        )
    _adopt(db, attempt.attempt_id, prediction_id, "operator")
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
            f"{abandoned_by_hand(attempt.fingerprint)}"
        )
    _declare_absent(db, attempt.attempt_id, "operator", "declared absent by hand")
    return str(attempt.fingerprint)


def abandon_by_hand(db: sa.Connection, provider: str, fingerprint: str) -> str:
    """Give up a take that WaveSpeed has forgotten or that is stuck; its whole fingerprint.

    What it cost stays what it cost. It is `failed` then, so that `--retry-failed` buys it again.

    Raises:
        FixInputError: there is no such take, or nothing about it is open.
    """
    attempt = _open_attempt(db, provider, fingerprint, {State.UNKNOWN, State.HELD, State.SUBMITTED})
    error = "abandoned by hand: WaveSpeed has forgotten it, or never ended it"
    values = {"error": error, "settled_by": "abandoned", "candidates": None, "completed_at": now()}
    move(db, attempt.attempt_id, State.FAILED, values)
    return str(attempt.fingerprint)


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


def _open_attempt(
    db: sa.Connection,
    provider: str,
    fingerprint: str,
    states: Collection[State] = frozenset({State.UNKNOWN, State.HELD}),
) -> sa.Row[*tuple[Any, ...]]:
    """Return the newest attempt of the take whose fingerprint, or an alias of it, begins so."""
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
            f"{fingerprint}: found {count} takes with a fingerprint that begins so; allowed: at least the first 8 hex "
            "digits of one take's fingerprint, as the results table shows it"
        )
    if State(rows[0].state) not in states:
        allowed = " or ".join(state.value for state in State if state in states)
        advice = ""
        if State(rows[0].state) is State.SUBMITTED:
            advice = f". It was bought; {abandoned_by_hand(rows[0].fingerprint)}"
        raise FixInputError(
            f"{fingerprint}: this take is {rows[0].state}; allowed: one that is {allowed}. Nothing was changed{advice}"
        )
    return rows[0]


def _adopt(db: sa.Connection, attempt_id: int, prediction_id: str, by: str) -> None:
    values = {"prediction_id": prediction_id, "submitted_at": now(), "settled_by": by}
    move(db, attempt_id, State.SUBMITTED, values | {"error": None, "error_code": None, "candidates": None})


def _declare_absent(db: sa.Connection, attempt_id: int, by: str, error: str) -> None:
    values = {"prediction_id": None, "settled_by": by, "error": error, "candidates": None}
    move(db, attempt_id, State.ABSENT, values)
    give_back(db, attempt_id)


def _hold(db: sa.Connection, attempt_id: int, candidates: Sequence[Candidate], why: str) -> None:
    fingerprint, state = db.execute(
        sa.select(ATTEMPT.c.fingerprint, ATTEMPT.c.state).where(ATTEMPT.c.attempt_id == attempt_id)
    ).one()
    shown = [f"{each.prediction_id} ({_when(each.created_at)})" for each in candidates[:MOST_NAMED]]
    more = f" and {len(candidates) - MOST_NAMED} more" if len(candidates) > MOST_NAMED else ""
    named = f"; it may be {', '.join(shown)}{more}" if shown else ""
    error = f"{why}{named}; {settled_by_hand(fingerprint)}"
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


def _remember_orphans(db: sa.Connection, provider: str, found: Sequence[Orphan]) -> None:
    known = set(db.execute(sa.select(ORPHAN.c.prediction_id)).scalars())
    rows = [
        {
            "prediction_id": each.prediction_id,
            "provider": provider,
            "model": each.model,
            "created_at": naive(each.created_at),
            "found_at": now(),
        }
        for each in found
        if each.prediction_id not in known
    ]
    if rows:
        db.execute(ORPHAN.insert(), rows)


def note_unbound(db: sa.Connection, provider: str, listed: Sequence[Candidate]) -> None:
    """Remember those predictions of the account that belong to no take."""
    free = [Orphan(each.prediction_id, each.model, each.created_at) for each in unbound(db, listed)]
    _remember_orphans(db, provider, free)


def unbound(db: sa.Connection, listed: Sequence[Candidate]) -> list[Candidate]:
    """Those that no attempt has."""
    bound: set[str] = set()
    for some in in_chunks([each.prediction_id for each in listed]):
        bound.update(db.execute(sa.select(ATTEMPT.c.prediction_id).where(ATTEMPT.c.prediction_id.in_(some))).scalars())
    return [each for each in listed if each.prediction_id not in bound]


_GONE = ("deleted",)
"""What the API says of predictions that it may not list any more."""


def known_between(db: sa.Connection, provider: str, model: str, after: datetime, before: datetime) -> list[str]:
    """Return the predictions that a list must show which was asked for this window by the API's clock."""
    rows = db.execute(_known(provider, model).where(ATTEMPT.c.created_at.between(naive(after), naive(before))))
    return [row.prediction_id for row in rows]


def newest_known(
    db: sa.Connection, provider: str, model: str, since: datetime, until: datetime
) -> tuple[str, datetime] | None:
    """Return the newest prediction that a list must show, and when it was created by the API's clock."""
    row = db.execute(
        _known(provider, model)
        .where(ATTEMPT.c.created_at.between(naive(since), naive(until)))
        .order_by(ATTEMPT.c.created_at.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.prediction_id, _aware_always(row.created_at))


def _known(provider: str, model: str) -> sa.Select[*tuple[Any, ...]]:
    """Predictions of the ledger that the account's list must show."""
    return (
        sa.select(ATTEMPT.c.prediction_id, ATTEMPT.c.created_at)
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .where(
            TAKE.c.provider == provider,
            TAKE.c.model == model,
            ATTEMPT.c.prediction_id.is_not(None),
            ATTEMPT.c.created_at.is_not(None),
            ATTEMPT.c.state.in_([State.SUBMITTED.value, State.COMPLETED.value, State.FAILED.value]),
            sa.func.coalesce(ATTEMPT.c.prediction_status, "").not_in(_GONE),
            sa.func.coalesce(ATTEMPT.c.settled_by, "") != "abandoned",
        )
    )


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
    window_from = aware(row.window_from) or _aware_always(row.intent_at) - LOOSE_WINDOW
    window_to = aware(row.window_to) or _aware_always(row.intent_at) + LOOSE_WINDOW
    return Claim(
        attempt_id=row.attempt_id,
        model=row.model,
        inputs=inputs.replaced(image=row.image_url).canonical(),
        window_from=window_from,
        window_to=window_to,
        is_live=row.state == State.SUBMITTING.value,
        absent_since=aware(row.absent_since),
    )


def _aware_always(moment: datetime) -> datetime:
    found = aware(moment)
    assert found is not None  # noqa: S101 - the column is never null
    return found


def _fingerprint(db: sa.Connection, attempt_id: int) -> str:
    found = db.execute(sa.select(ATTEMPT.c.fingerprint).where(ATTEMPT.c.attempt_id == attempt_id)).scalar_one()
    return aliases.take_of(db, str(found))


def _when(moment: datetime | None) -> str:
    return "created at an unknown time" if moment is None else f"created {moment:%Y-%m-%d %H:%M:%S} UTC"
