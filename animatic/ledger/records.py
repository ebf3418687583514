"""What goes into the ledger and what comes out, as values."""

from dataclasses import dataclass
from datetime import datetime

from animatic.takes import BuyingPolicy, Standing, State


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be bought.

    Attributes:
        request: canonical JSON of what is asked, as the fingerprint was made from.
        image_url: the URL that is sent.
        cost_usd: the quoted price, or None where there is none.
        policy: what the run may buy again; whether it may buy this take is decided when the intent is written.
        max_usd: the most that the run may commit, or None.
        nonce: names this very intent, so that a receipt can't be taken for another's.
        window_from, window_to: when the API may accept it, by its own clock.
    """

    fingerprint: str
    provider: str
    model: str
    duration: str
    request: str
    run_id: str
    policy: BuyingPolicy
    image_url: str
    cost_usd: float | None
    max_usd: float | None
    nonce: str
    window_from: datetime
    window_to: datetime


@dataclass(frozen=True, slots=True)
class Finish:
    """How a prediction ended, as the API gave it; times in UTC."""

    state: State
    prediction_status: str | None
    outputs: tuple[str, ...]
    has_nsfw_contents: tuple[bool, ...]
    inference_ms: int | None
    created_at: datetime | None
    error_code: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """The newest attempt of a take, and how many were paid for.

    Attributes:
        attempts: paid submissions, counting those that may have been paid (unknown, held).
        bought_here: how many of them the asking run made.
        cost_usd: what all of them cost; None where a price is not known.
    """

    fingerprint: str
    attempt_id: int
    attempt_no: int
    state: State
    run_id: str
    tried_here: bool
    prediction_id: str | None
    prediction_status: str | None
    outputs: tuple[str, ...] | None
    has_nsfw_contents: tuple[bool, ...] | None
    inference_ms: int | None
    error_code: int | None
    error: str | None
    submitted_at: datetime | None
    completed_at: datetime | None
    created_at: datetime | None
    polls: int
    attempts: int
    bought_here: int
    cost_usd: float | None

    @property
    def standing(self) -> Standing:
        """The part of it that decides what may follow."""
        return Standing(self.state, self.error_code, self.bought_here, self.tried_here)
