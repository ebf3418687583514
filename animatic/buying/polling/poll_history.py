"""Meaning of polls: the status so far, oddities, and the final result of a prediction."""

from dataclasses import dataclass

from animatic.ledger import Finish
from animatic.takes.evidence import is_same_model
from animatic.takes.states import State
from animatic.wavespeed.wire import FINAL_STATUSES, Prediction


@dataclass(slots=True)
class PollHistory:
    """Polls of one prediction so far. It is known not to have been done at age `not_done_at_s`."""

    not_done_at_s: float = 0.0
    polls: int = 0
    status: str | None = None
    problem: str = ""
    _rank: int = 0
    _missing_since: float | None = None
    _odd_model: str = ""

    def miss(self, now: float) -> None:
        """Record that the API does not know the prediction."""
        self._missing_since = now if self._missing_since is None else self._missing_since

    def missing_s(self, now: float) -> float:
        """Seconds for which it has shown nothing else."""
        return 0.0 if self._missing_since is None else now - self._missing_since

    def show(self) -> None:
        """Record that the API knows the prediction again."""
        self._missing_since = None

    def note_status(self, status: str) -> str | None:
        """Take note of a status; a sentence where it goes back, or is none that is known."""
        before, self.status, self.problem = self.status, status, ""
        self.show()
        rank = _RANKS.get(status)
        if rank is None:
            return None if status == before else f'the API says "{status[:64]}", a status that is not known'
        is_back, self._rank = rank < self._rank, max(rank, self._rank)
        return f"the API went back from {before} to {status}" if is_back else None

    def see_model(self, found: str, asked: str) -> str | None:
        """Return a sentence where the API names another model than was asked for; once for each."""
        if found == self._odd_model or is_same_model(found, asked):
            return None
        self._odd_model = found
        return f"asked for {asked}, and the API says that {found[:200]} made it"


_RANKS = {"created": 1, "processing": 2, **dict.fromkeys(FINAL_STATUSES, 3)}


def finish_of(prediction: Prediction) -> Finish:
    """Return the final result of a take: completed only if the outputs are there."""
    is_completed = prediction.status == "completed" and bool(prediction.outputs)
    error = prediction.error or None
    if prediction.status == "completed" and not prediction.outputs:
        error = error or "completed without outputs"
    elif not is_completed:
        error = error or f"WaveSpeed says {prediction.status}, and no more"
    return Finish(
        state=State.COMPLETED if is_completed else State.FAILED,
        prediction_status=prediction.status,
        outputs=prediction.outputs,
        has_nsfw_contents=prediction.has_nsfw_contents,
        inference_ms=prediction.timings.inference,
        created_at=prediction.created_at,
        error_code=None if is_completed else prediction.code,
        error=None if is_completed else error,
        prediction_model=prediction.model or None,
    )
