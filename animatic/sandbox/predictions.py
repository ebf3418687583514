"""The predictions of one account: what it submitted, what it may still start, what it has spent.

Durable by the witness alone: opened on a folder, it knows all that was accepted there. Never blocks but for that one
line on disk; time is an argument, in seconds since 1970.
"""

import hashlib
import heapq
import json
import secrets
from bisect import bisect_left, bisect_right, insort
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from animatic.errors import SettingsError
from animatic.sandbox.catalogue import MODELS, Model
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.lifecycle import DELETED, FAILED, PROCESSING, Lifecycle, WorkerSlots, draw_latency_s
from animatic.sandbox.listed import ListedModel
from animatic.sandbox.moments import iso_from, moment_from, to_milliseconds
from animatic.sandbox.scenarios import ScenarioError, ScenarioRequest, read_scenario
from animatic.sandbox.uploads import uploaded_name
from animatic.sandbox.witness import Accepted, Deleted, Witness, read_deleted, read_witness

KEPT_S = 7 * 86_400
DEDUCT, REFUND = "deduct", "refund"
_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """An accepted submission with its life and what happens in it; `suffix` is that of its outputs."""

    accepted: Accepted
    life: Lifecycle
    asked: ScenarioRequest
    deleted_at: float = float("inf")
    suffix: str = ".mp4"

    @property
    def outputs(self) -> int:
        """Number of clips that it has once completed."""
        return self.asked.scenario.outputs

    @property
    def refunded_at(self) -> float:
        """Time at which its price would be given back, were that done at once; infinity if it never is."""
        return self.life.finishes_at if self.asked.scenario.ends_as == FAILED else float("inf")

    def status_at(self, now: float) -> str:
        """Fields as the API gives them."""
        if now >= self.deleted_at:
            return DELETED
        scenario = self.asked.scenario
        status = self.life.status_at(now, scenario.ends_as or PROCESSING)
        if scenario.says and (status == PROCESSING or self.asked.value == "forever"):
            return scenario.says
        return status

    def is_final_at(self, now: float) -> bool:
        """Tell if its status will not change any more."""
        is_endless = not self.asked.scenario.ends_as or self.asked.value == "forever"
        return (now >= self.life.finishes_at and not is_endless) or now >= self.deleted_at


@dataclass(frozen=True, slots=True)
class Window:
    """Predictions that a list asks for; moments are inclusive at both ends."""

    created_after: float = 0.0
    created_before: float = float("inf")
    model: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """A line of the bill: a price taken, or given back."""

    at: float
    billing_type: str
    prediction: Prediction


class Predictions:
    """All predictions of a folder, in order of acceptance."""

    def __init__(self, config: SandboxConfig, models: Mapping[str, Model | ListedModel] = MODELS) -> None:
        self._config, self._models = config, models
        self._slots = WorkerSlots(config.max_in_flight)
        self._all: list[Prediction] = []
        self._moments: list[float] = []
        self._index_of: dict[str, int] = {}
        self._refunds: list[tuple[float, int]] = []  # when, and whose, in order of time
        self._refunds_due: list[tuple[float, float]] = []  # a heap: when, and how much, of those not given back yet
        self._starts: deque[float] = deque()
        self._same_inputs: Counter[bytes] = Counter()
        self._spent_usd = 0.0
        self._witness = Witness(config.folder, syncs=config.syncs)
        try:
            for accepted in read_witness(config.folder):
                self._enter(self._prediction_from(accepted), _digest_of(accepted.model, accepted.inputs))
            for deleted in read_deleted(config.folder):
                if deleted.id in self._index_of:  # a power cut may leave a deletion without what it deleted
                    self._strike(deleted.id, moment_from(deleted.deleted_at))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the witness; nothing can be accepted any more."""
        self._witness.close()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def newest_id(self) -> str:
        """The id of the newest prediction; empty where there is none."""
        return self._all[-1].accepted.id if self._all else ""

    def balance_at(self, now: float) -> float:
        """Return the balance, in USD. Time must not go back between calls."""
        while self._refunds_due and self._refunds_due[0][0] <= now:
            self._spent_usd -= heapq.heappop(self._refunds_due)[1]
        return round(self._config.balance_usd - self._spent_usd, 4)

    def unfinished_at(self, now: float) -> int:
        """Return how many predictions wait or work."""
        return self._slots.unfinished_at(now)

    def wait_s(self, now: float) -> float:
        """Seconds until one more may start; 0 if it may now."""
        while self._starts and self._starts[0] <= now - _WINDOW_S:
            self._starts.popleft()
        limit = self._config.starts_per_minute
        if len(self._starts) < limit:
            return 0.0
        return self._starts[-limit] + _WINDOW_S - now if limit else _WINDOW_S

    def accept(  # noqa: PLR0913 - a submission, whole
        self,
        model: Model | ListedModel,
        inputs: Mapping[str, Any],
        asked: ScenarioRequest,
        now: float,
        *,
        wants_base64: bool = False,
        webhook_url: str = "",
    ) -> Prediction:
        """Accept a submission: on disk when this returns. An OSError means that it was not accepted."""
        accepted_at = max(to_milliseconds(now), self._moments[-1] if self._moments else 0.0)
        digest = _digest_of(model.model_id, inputs)
        # Equal submissions differ by how many came before, so that takes of one shot are not the same clip; their seeds
        # follow each other, so that neighbours are different variants of a move.
        before = self._same_inputs[digest]
        seed = f"{self._config.seed}:{digest.hex()}"
        drawn_s = draw_latency_s(f"{seed}:{before}", self._config.inference_s, self._config.spread)
        accepted = Accepted(
            id=secrets.token_hex(16),
            accepted_at=iso_from(accepted_at),
            model=model.model_id,
            inputs=inputs,
            scenario=str(asked),
            started_at=iso_from(self._slots.start_of(accepted_at)),
            latency_s=round(asked.latency_s(drawn_s), 3),
            seed=int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") + before,
            price_usd=model.quote_usd(inputs),
            wants_base64=wants_base64,
            webhook_url=webhook_url,
        )
        self._witness.write(accepted)
        prediction = self._prediction_from(accepted)
        self._enter(prediction, digest)
        return prediction

    def _prediction_from(self, accepted: Accepted) -> Prediction:
        model = self._models.get(accepted.model)
        return _prediction_from(accepted, model.suffix if model else ".mp4")

    def find(self, prediction_id: str, now: float) -> Prediction | None:
        """Return the prediction of that id, deleted or not, unless it is unknown or older than 7 days."""
        index = self._index_of.get(prediction_id)
        if index is None:
            return None
        found = self._all[index]
        return found if found.life.accepted_at > now - KEPT_S else None

    def delete(self, prediction_ids: Iterable[str], now: float) -> list[Prediction]:
        """Delete those that are there; these, as they are now. On disk when this returns; an OSError: none was."""
        found = [self.find(each, now) for each in dict.fromkeys(prediction_ids)]
        there = [each for each in found if each is not None and now < each.deleted_at]
        at = to_milliseconds(now)
        self._witness.write_deleted([Deleted(each.accepted.id, iso_from(at)) for each in there])
        return [self._strike(each.accepted.id, at) for each in there]

    def working(self, now: float) -> Iterator[Prediction]:
        """Those that are not final yet, oldest first."""
        return (each for each in self._all if not each.is_final_at(now))

    def listed(self, window: Window, now: float) -> Iterator[Prediction]:
        """Return the predictions in the list at this moment, newest first: 7 days, minus the list's delay."""
        oldest = max(window.created_after, now - KEPT_S)
        newest = min(window.created_before, now - self._config.list_delay_s)
        first, end = bisect_left(self._moments, oldest), bisect_right(self._moments, newest)
        for index in range(end - 1, first - 1, -1):
            found = self._all[index]
            is_shown = found.life.accepted_at + _hidden_s(found) <= now < found.deleted_at
            if is_shown and window.model in {"", found.accepted.model} and window.status in {"", found.status_at(now)}:
                yield found

    def bill(
        self, window: Window, now: float, *, billing_type: str = "", ids: frozenset[str] = frozenset()
    ) -> list[Charge]:
        """Return the charges and refunds of a window, oldest first: 7 days, as late as the list; only `ids`."""
        oldest, newest = max(window.created_after, now - KEPT_S), min(window.created_before, now)
        delayed = min(now - self._config.list_delay_s, newest)
        first, end = bisect_left(self._moments, oldest), bisect_right(self._moments, delayed)
        charges = (Charge(each.life.accepted_at, DEDUCT, each) for each in self._all[first:end])
        first, end = (bisect_left(self._refunds, (oldest, 0)), bisect_right(self._refunds, (newest, len(self))))
        refunds = (Charge(at, REFUND, self._all[index]) for at, index in self._refunds[first:end])
        return [
            each
            for each in heapq.merge(charges, refunds, key=lambda charge: charge.at)
            if billing_type in {"", each.billing_type}
            and (not ids or each.prediction.accepted.id in ids)
            and window.model in {"", each.prediction.accepted.model}
            and window.status in {"", each.prediction.status_at(now)}
            and now >= each.prediction.life.accepted_at + _hidden_s(each.prediction)
        ]

    def _strike(self, prediction_id: str, at: float) -> Prediction:
        index = self._index_of[prediction_id]
        struck = self._all[index] = replace(self._all[index], deleted_at=at)
        return struck

    def _enter(self, prediction: Prediction, digest: bytes) -> None:
        self._all.append(prediction)
        self._moments.append(prediction.life.accepted_at)
        index = self._index_of[prediction.accepted.id] = len(self._all) - 1
        self._starts.append(prediction.life.accepted_at)
        self._same_inputs[digest] += 1
        self._spent_usd += prediction.accepted.price_usd
        if prediction.refunded_at != float("inf"):
            at = to_milliseconds(prediction.refunded_at + self._config.refund_delay_s)
            insort(self._refunds, (at, index))
            heapq.heappush(self._refunds_due, (at, prediction.accepted.price_usd))
        self._slots.take(prediction.life)


def _hidden_s(prediction: Prediction) -> float:
    """Return how long it is in no list, beyond the list's own delay."""
    return prediction.asked.number if prediction.asked.name == "list-late" else 0.0


def _prediction_from(accepted: Accepted, suffix: str) -> Prediction:
    try:
        asked = read_scenario(accepted.scenario)
        accepted_at, started_at = moment_from(accepted.accepted_at), moment_from(accepted.started_at)
    except (ScenarioError, ValueError) as error:
        raise SettingsError(f"sandbox: the witness holds a submission that cannot be read: {error}") from None
    life = Lifecycle(accepted_at, started_at, started_at + accepted.latency_s)
    return Prediction(accepted, life, asked, suffix=suffix)


def _digest_of(model_id: str, inputs: Mapping[str, Any]) -> bytes:
    # ASCII JSON: a lone surrogate in a prompt is escaped, never an encoding error.
    whatever_port = sorted((name, _without_origin(value)) for name, value in inputs.items())
    return hashlib.sha256(json.dumps([model_id, whatever_port]).encode()).digest()


def _without_origin(value: Any) -> Any:
    """Return an input, uploads of ours by their names, so that it is the same on another port."""
    if isinstance(value, list):
        return [_name_of(each) for each in cast("list[Any]", value)]
    return _name_of(value)


def _name_of(value: Any) -> Any:
    return (uploaded_name(value) or value) if isinstance(value, str) else value
