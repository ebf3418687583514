"""The book of one account: what it submitted, what it may still start, what it has spent.

Durable by the witness alone: opened on a folder, it knows all that was accepted there. Never blocks but for that one
line on disk; time is an argument, in seconds since 1970.
"""

import hashlib
import json
import secrets
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from animatic.errors import SettingsError
from animatic.sandbox.catalogue import Model
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.life import PROCESSING, Life, Places, draw_latency_s
from animatic.sandbox.moments import iso_from, moment_from, to_milliseconds
from animatic.sandbox.scenarios import Asked, ScenarioError, read_scenario
from animatic.sandbox.witness import Accepted, Witness, read_witness

KEPT_S = 7 * 86_400
_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """An accepted submission with its life and what happens in it."""

    accepted: Accepted
    life: Life
    asked: Asked

    @property
    def outputs(self) -> int:
        """How many clips it has once completed."""
        return self.asked.scenario.outputs

    def status_at(self, now: float) -> str:
        """As the API tells it."""
        scenario = self.asked.scenario
        status = self.life.status_at(now, scenario.ends_as or PROCESSING)
        if scenario.says and (status == PROCESSING or self.asked.value == "forever"):
            return scenario.says
        return status

    def is_final_at(self, now: float) -> bool:
        """Whether its status will not change any more."""
        is_endless = not self.asked.scenario.ends_as or self.asked.value == "forever"
        return now >= self.life.finishes_at and not is_endless


@dataclass(frozen=True, slots=True)
class Window:
    """Which predictions a list asks for; moments are inclusive at both ends."""

    created_after: float = 0.0
    created_before: float = float("inf")
    model: str = ""
    status: str = ""


class Book:
    """All predictions of a folder, in order of acceptance."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._places = Places(config.max_in_flight)
        self._predictions: list[Prediction] = []
        self._moments: list[float] = []
        self._by_id: dict[str, Prediction] = {}
        self._starts: deque[float] = deque()
        self._same_inputs: Counter[bytes] = Counter()
        self._spent_usd = 0.0
        self._witness = Witness(config.folder, syncs=config.syncs)
        try:
            for accepted in read_witness(config.folder):
                self._enter(_prediction_from(accepted), _digest_of(accepted.model, accepted.inputs))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the witness; nothing can be accepted any more."""
        self._witness.close()

    def __len__(self) -> int:
        return len(self._predictions)

    @property
    def newest_id(self) -> str:
        """The id of the newest prediction; empty where there is none."""
        return self._predictions[-1].accepted.id if self._predictions else ""

    @property
    def balance_usd(self) -> float:
        """What is left."""
        return round(self._config.balance_usd - self._spent_usd, 2)

    def unfinished_at(self, now: float) -> int:
        """How many predictions wait or work."""
        return self._places.unfinished_at(now)

    def wait_s(self, now: float) -> float:
        """Seconds until one more may start; 0 if it may now."""
        while self._starts and self._starts[0] <= now - _WINDOW_S:
            self._starts.popleft()
        limit = self._config.starts_per_minute
        if len(self._starts) < limit:
            return 0.0
        return self._starts[-limit] + _WINDOW_S - now if limit else _WINDOW_S

    def accept(self, model: Model, inputs: Mapping[str, str], asked: Asked, now: float) -> Prediction:
        """Accept a submission: on disk when this returns. An OSError means that it was not accepted."""
        accepted_at = max(to_milliseconds(now), self._moments[-1] if self._moments else 0.0)
        digest = _digest_of(model.model_id, inputs)
        # Equal submissions differ by how many came before, so that takes of one shot are not the same clip.
        seed = f"{self._config.seed}:{digest.hex()}:{self._same_inputs[digest]}"
        drawn_s = draw_latency_s(seed, self._config.inference_s, self._config.spread)
        accepted = Accepted(
            id=secrets.token_hex(16),
            accepted_at=iso_from(accepted_at),
            model=model.model_id,
            inputs=inputs,
            scenario=str(asked),
            started_at=iso_from(self._places.start_of(accepted_at)),
            latency_s=round(asked.latency_s(drawn_s), 3),
            seed=int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big"),
            price_usd=model.quote_usd(inputs),
        )
        self._witness.write(accepted)
        prediction = _prediction_from(accepted)
        self._enter(prediction, digest)
        return prediction

    def find(self, prediction_id: str, now: float) -> Prediction | None:
        """The prediction of that id, unless it is unknown or older than 7 days."""
        found = self._by_id.get(prediction_id)
        return found if found and found.life.accepted_at > now - KEPT_S else None

    def listed(self, window: Window, now: float) -> Iterator[Prediction]:
        """What the list shows at this moment, newest first: 7 days, and none sooner than the list's delay."""
        oldest = max(window.created_after, now - KEPT_S)
        newest = min(window.created_before, now - self._config.list_delay_s)
        first, end = bisect_left(self._moments, oldest), bisect_right(self._moments, newest)
        for place in range(end - 1, first - 1, -1):
            found = self._predictions[place]
            hidden_s = found.asked.number if found.asked.name == "list-late" else 0.0
            is_shown = now >= found.life.accepted_at + hidden_s
            if is_shown and window.model in {"", found.accepted.model} and window.status in {"", found.status_at(now)}:
                yield found

    def _enter(self, prediction: Prediction, digest: bytes) -> None:
        self._predictions.append(prediction)
        self._moments.append(prediction.life.accepted_at)
        self._by_id[prediction.accepted.id] = prediction
        self._starts.append(prediction.life.accepted_at)
        self._same_inputs[digest] += 1
        self._spent_usd += prediction.accepted.price_usd
        self._places.take(prediction.life)


def _prediction_from(accepted: Accepted) -> Prediction:
    try:
        asked = read_scenario(accepted.scenario)
        accepted_at, started_at = moment_from(accepted.accepted_at), moment_from(accepted.started_at)
    except (ScenarioError, ValueError) as error:
        raise SettingsError(f"sandbox: the witness holds a submission that cannot be read: {error}") from None
    return Prediction(accepted, Life(accepted_at, started_at, started_at + accepted.latency_s), asked)


def _digest_of(model_id: str, inputs: Mapping[str, str]) -> bytes:
    # ASCII JSON: a lone surrogate in a prompt is escaped, never an encoding error.
    return hashlib.sha256(json.dumps([model_id, sorted(inputs.items())]).encode()).digest()
