"""The life of a take: its states, what may follow each, and when it may be bought. No clock, no I/O.

    planned ──▶ submitting ──▶ submitted ──▶ completed
       ▲            │              └───────▶ failed ──┐
       │            ├──▶ rejected ────────────────────┤ a policy may plan it again
       ├────────────┼──▶ unsent                       │
       └────────────┼─────────────────────────────────┘
                    └──▶ unknown ──▶ submitted | absent | held        submitted ──▶ held ──▶ any of what may follow

A take is what is asked for; an attempt is one try to buy it, and each attempt has a row in the ledger. A take has the
state of its newest attempt, or `planned` where there is none or the newest bought nothing (`unsent`, `absent`).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

PREDICTION_ID = r"[A-Za-z0-9_-]{1,200}"
"""An id that is safe as one path segment; anything else is not an id."""

LARGEST_MS = 10**12
"""No inference lasts longer; a larger number is a mistake, and may not fit into a column."""


class State(StrEnum):
    """The state of an attempt, as the ledger stores it."""

    SUBMITTING = "submitting"
    """The intent is durable; the POST may or may not have gone. Next: submitted | rejected | unsent | unknown."""

    SUBMITTED = "submitted"
    """The API gave a prediction id. Next: completed | failed; held if another take has that id, or the API lost it."""

    COMPLETED = "completed"
    """Outputs are there. Final."""

    FAILED = "failed"
    """The API accepted it, then failed it or completed it without outputs. Final, unless a policy buys it again."""

    REJECTED = "rejected"
    """The API refused the request; nothing was bought. Final, unless a policy buys it again."""

    UNSENT = "unsent"
    """Nothing was bought: it never left, or was turned away unread (429, 401, 402, 403). The take is planned again."""

    UNKNOWN = "unknown"
    """It may have been bought. Never sent again; next: submitted | absent | held, by evidence; failed, by a person."""

    ABSENT = "absent"
    """Proven never to have been accepted. The take is planned again."""

    HELD = "held"
    """Evidence could not settle it, or WaveSpeed has forgotten it or never ends it. Next: submitted | absent, by a
    person; completed | failed, where WaveSpeed says so after all, or a person gives it up."""


SUCCESSORS: dict[State, frozenset[State]] = {
    State.SUBMITTING: frozenset({State.SUBMITTED, State.REJECTED, State.UNSENT, State.UNKNOWN, State.HELD}),
    State.SUBMITTED: frozenset({State.COMPLETED, State.FAILED, State.HELD}),
    State.UNKNOWN: frozenset({State.SUBMITTED, State.ABSENT, State.HELD, State.FAILED}),
    State.HELD: frozenset({State.SUBMITTED, State.ABSENT, State.COMPLETED, State.FAILED}),
    State.UNSENT: frozenset({State.SUBMITTING}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.REJECTED: frozenset(),
    State.ABSENT: frozenset(),
}

LIVE = frozenset({State.SUBMITTING, State.SUBMITTED, State.UNKNOWN, State.HELD, State.COMPLETED})
"""A take has at most one attempt in these states for each change of its stills that it was bought for.

The ledger's unique index `one_live` says so too.
"""

PAID = frozenset({State.SUBMITTED, State.COMPLETED, State.FAILED, State.UNKNOWN, State.HELD})
"""States in which money was, or may have been, spent."""

FINAL = frozenset({State.COMPLETED, State.FAILED, State.REJECTED})

WAVESPEEDS_OWN_FAILURES = frozenset({5000, 5003, 5004})
"""Task codes for server error, unavailable and timed out: the only failures that `--attempts` buys again.

Source: WaveSpeed's page on error codes; not tried live.
"""


@dataclass(frozen=True, slots=True)
class BuyingPolicy:
    """Permission of this run to buy takes again, as the user gave it.

    Attributes:
        retry_failed: takes that an earlier run left failed or rejected may be bought again, once in this run.
        attempts: how often a take may be bought in this run while WaveSpeed reports the failure as its own; from 1.
        changed_stills: takes that are completed may be bought again, once for each change of a still on the web that
            was seen.
    """

    retry_failed: bool = False
    attempts: int = 1
    changed_stills: bool = False


@dataclass(frozen=True, slots=True)
class TakeStatus:
    """State of a take in the ledger before the next step is decided.

    Attributes:
        state: of the newest attempt, or None where there is none.
        error_code: of the newest attempt.
        bought_here: paid attempts that this run made.
        tried_here: whether this run made the newest attempt.
        is_left: whether the newest attempt had ended when this run began: what fails later was not left by an earlier
            run, and another run's retry of it is not followed by one more.
        is_changed: whether this run saw that a still on the web has changed since the newest attempt bought with it.
    """

    state: State | None
    error_code: int | None = None
    bought_here: int = 0
    tried_here: bool = False
    is_left: bool = True
    is_changed: bool = False


def permission_to_buy(take_status: TakeStatus, policy: BuyingPolicy) -> str | None:
    """Return what allows a new attempt now (`plan`, `retry-failed`, `attempts`, `changed-still`), None if nothing does.

    A take whose still has changed has its clip: until the new one is bought, that stays as it is.
    """
    match take_status.state:
        case None | State.UNSENT | State.ABSENT:
            return "plan"
        case State.FAILED if take_status.tried_here:
            may = take_status.bought_here < policy.attempts and take_status.error_code in WAVESPEEDS_OWN_FAILURES
            return "attempts" if may else None
        case State.FAILED | State.REJECTED if not take_status.tried_here:
            return "retry-failed" if policy.retry_failed and take_status.is_left else None
        case State.COMPLETED if take_status.is_changed and not take_status.tried_here:
            return "changed-still" if policy.changed_stills else None
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Accepted:
    """Reply of the API to an accepted submission.

    Attributes:
        created_at: by the API's clock, where it said so.
    """

    prediction_id: str
    status: str | None = None
    model: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """An attempt that waits for its prediction; `submitted_at` by the clock of the machine that submitted it."""

    attempt_id: int
    prediction_id: str
    submitted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Buy:
    """Submit the take, then poll it."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Poll what was submitted until it is final; `is_ours` if this run submitted it."""

    submitted: Submitted
    is_ours: bool


@dataclass(frozen=True, slots=True)
class AwaitOtherRun:
    """Another run is submitting the take at this moment; wait for the outcome."""


@dataclass(frozen=True, slots=True)
class Done:
    """There is nothing more that this run may do for the take."""


Step = Buy | Watch | AwaitOtherRun | Done
"""Next step of a run for a take."""


def next_step(
    take_status: TakeStatus, submitted: Submitted | None, policy: BuyingPolicy, after: Step | None = None
) -> Step:
    """Return the next step for a take; `after` is the one just made. A step that changed nothing is not repeated.

    `submitted` is there in the state of that name, and in no other.
    """
    if permission_to_buy(take_status, policy) is not None:
        was_unsent = (take_status.state is State.UNSENT and take_status.tried_here) or take_status.is_changed
        is_in_vain = isinstance(after, Buy) and was_unsent
        return Done() if is_in_vain else Buy()
    if submitted is not None:
        was_watched = isinstance(after, Watch) or (isinstance(after, Buy) and take_status.tried_here)
        return Done() if was_watched else Watch(submitted, take_status.tried_here)
    if _is_of_another_run(take_status):
        return Done() if isinstance(after, AwaitOtherRun) else AwaitOtherRun()
    return Done()


def is_open(take_status: TakeStatus, policy: BuyingPolicy) -> bool:
    """Tell if a run that begins has a step to make for a take."""
    is_submitted = take_status.state is State.SUBMITTED
    return is_submitted or _is_of_another_run(take_status) or permission_to_buy(take_status, policy) is not None


def _is_of_another_run(take_status: TakeStatus) -> bool:
    """Tell if another run is submitting the take."""
    return take_status.state is State.SUBMITTING and not take_status.tried_here


def status_of(state: State | None) -> str:
    """Return the status in the results table."""
    match state:
        case State.COMPLETED | State.FAILED | State.REJECTED | State.UNKNOWN | State.HELD:
            return state.value
        case _:
            return "pending"
