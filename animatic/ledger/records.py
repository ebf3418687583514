"""Values that go into the ledger and come out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple
from urllib.parse import quote

from animatic.takes.chains import Origin
from animatic.takes.money.budgets import MAX_USD, Reserved
from animatic.takes.states import BuyingPolicy, State, Submitted, TakeStatus


class HeldFor:
    """Reasons for which a take is held."""

    STUCK = "stuck"
    """WaveSpeed knows its prediction, which is not final long after it was submitted. Polled once by every run."""

    LOST = "lost"
    """WaveSpeed does not know its prediction. Polled once by every run."""

    CONFLICT = "conflict"
    """Two takes were given one prediction id: only a person can say whose it is."""

    EVIDENCE = "evidence"
    """WaveSpeed's list does not settle whether it was bought."""


POLLED = (HeldFor.STUCK, HeldFor.LOST)
"""Reasons of holds that the API's final answer ends; all others are ended by a person."""


@dataclass(frozen=True, slots=True)
class Intent:
    """Take that is about to be bought.

    Attributes:
        latency_class: the values of the inputs that latency depends on; for veo2-i2v the duration.
        request: canonical JSON of what is asked, as the fingerprint was made from.
        uploads: the URLs of its local files, by what identifies them in the request.
        quoted_microusd: the price that is reserved, in millionths of a dollar, or None where there is none.
        policy: what the run may buy again; whether it may buy this take is decided when the intent is written.
        max_microusd: the most that the run may reserve, or None.
        nonce: names this very intent, so that a receipt can't be taken for another's.
        window_from, window_to: when the API may accept it, by its own clock.
        origin: the take whose last frame it starts from, if it does.
        looks: what was seen of its stills on the web, by canonical URL: ids of looks.
        replaces: the attempt that it is to replace, since a still has changed; the take's newest one by then, or
            nothing is bought.
        limited_by: the option that sets `max_microusd`, for the message of a refusal.
        spends_on: the UTC day that its price counts for, by the API's clock; None where it counts for none.
        day_microusd: the most that all runs together may reserve on that day at this provider, or None.
    """

    fingerprint: str
    provider: str
    model: str
    latency_class: str
    request: str
    run_id: str
    policy: BuyingPolicy
    uploads: Mapping[str, str]
    quoted_microusd: int | None
    max_microusd: int | None
    nonce: str
    window_from: datetime
    window_to: datetime
    origin: Origin | None = None
    looks: Mapping[str, int] = field(default_factory=dict[str, int])
    replaces: int | None = None
    limited_by: str = MAX_USD
    spends_on: date | None = None
    day_microusd: int | None = None

    @property
    def is_limited(self) -> bool:
        """Tell if a price must be known before it may be bought."""
        return self.max_microusd is not None or self.day_microusd is not None


@dataclass(frozen=True, slots=True)
class Finish:
    """Final result of a prediction as the API gave it; times in UTC."""

    state: State
    prediction_status: str | None
    outputs: tuple[str, ...]
    has_nsfw_contents: tuple[bool | None, ...] | None
    inference_ms: int | None
    created_at: datetime | None
    error_code: int | None
    error: str | None
    prediction_model: str | None = None


class Intended(NamedTuple):
    """An intent that was written down: its attempt, what its run has reserved with it, and the ledger's intents."""

    attempt_id: int
    reserved: Reserved
    intents: int


@dataclass(frozen=True, slots=True)
class Record:
    """The newest attempt of a take, and how many were paid for.

    Attributes:
        attempts: paid submissions, counting those that may have been paid (unknown, held).
        bought_here: how many of them the asking run made.
        is_left: the newest ended before the asking run began.
        held_for: why it is held.
        quoted_microusd: the price of the newest one, where it is known.
        cost_microusd: the prices of all paid ones together; None where one is not known.
        charged_microusd, refunded_microusd: what the bill has shown of all of them; None where it has shown nothing.
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
    has_nsfw_contents: tuple[bool | None, ...] | None
    inference_ms: int | None
    error_code: int | None
    error: str | None
    submitted_at: datetime | None
    completed_at: datetime | None
    created_at: datetime | None
    polls: int
    attempts: int
    bought_here: int
    quoted_microusd: int | None
    cost_microusd: int | None
    is_left: bool = True
    held_for: str | None = None
    prediction_model: str | None = None
    charged_microusd: int | None = None
    refunded_microusd: int | None = None

    @property
    def take_status(self) -> TakeStatus:
        """The part of it that decides what may follow."""
        return TakeStatus(self.state, self.error_code, self.bought_here, self.tried_here, self.is_left)

    @property
    def submitted(self) -> Submitted | None:
        """The prediction to poll, in the state `submitted`."""
        if self.state is not State.SUBMITTED or self.prediction_id is None:
            return None
        return Submitted(self.attempt_id, self.prediction_id, self.submitted_at)


@dataclass(frozen=True, slots=True)
class WantedClip:
    """An output that is to be archived.

    Attributes:
        output: which of the attempt's outputs, from 1.
        names: names that it may have, without a suffix, the best first, each with its key: the same for names that
            are one file on some disks.
    """

    attempt_id: int
    output: int
    names: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class KeptClip:
    """A clip that was put into its archive, as it was probed; what could not be probed is None."""

    clip_id: int
    file: str
    sha256: str
    size_bytes: int
    container: str | None = None
    codec: str | None = None
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """Result of checking a clip.

    Attributes:
        output: which of the attempt's outputs, from 1.
        sha256: of the file that was checked.
        version: of the checks.
        failed: names of the checks that it fails.
        first_frame_similarity: None also where there was no still to compare; the others where it cannot be decoded.
    """

    attempt_id: int
    output: int
    sha256: str
    version: int
    failed: tuple[str, ...] = ()
    first_frame_similarity: float | None = None
    black_fraction: float | None = None
    frozen_fraction: float | None = None
    cuts: int | None = None
    motion: float | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """One output of an attempt in one archive.

    Attributes:
        output: which of the attempt's outputs, from 1.
        archive: absolute URI of a folder.
        name: of the file in it, without the suffix.
        run_id: the run that fetches it, or that fetched it.
        file: its name with the suffix; None while it is not there.
        error: why it is not there, or what is wrong with it.
        quality: what checking this very file found; None where it was not checked yet.
    """

    clip_id: int
    attempt_id: int
    output: int
    archive: str
    name: str
    run_id: str
    file: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    container: str | None = None
    codec: str | None = None
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int | None = None
    archived_at: datetime | None = None
    error: str | None = None
    quality: Quality | None = None

    @property
    def uri(self) -> str | None:
        """Absolute URI of the file; None while it is not there."""
        if self.file is None:
            return None
        name = quote(self.file) if self.archive.startswith("file:") else self.file
        return f"{self.archive}/{name}"
