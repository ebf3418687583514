"""Looks at what was submitted until it is final, and writes down what came of it. Buys nothing.

How long takes usually need is learned from the ledger and from each take that ends.
"""

import asyncio
from collections.abc import Callable

from animatic.errors import AccountRefusedError, ApiRefusedError, NeverAgainError, TryLaterError
from animatic.gate import Halt, Halted
from animatic.ledger import operations as ledger_operations
from animatic.ledger.desk import LedgerDesk
from animatic.looks import Watched, finish_of
from animatic.pacing import Looks
from animatic.shots import Take
from animatic.takes import State
from animatic.tally import Tally
from animatic.terms import Terms
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.wire import Prediction

MOST_REMEMBERED = 1_000

Log = Callable[[str], None]


class Watch:
    """The eyes of a run. `warn` is told what contradicts itself or is lost; make it inside the event loop."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a run shares
        self, terms: Terms, client: WaveSpeedClient, desk: LedgerDesk, halt: Halt, tally: Tally, warn: Log
    ) -> None:
        self._terms, self._client, self._desk, self._halt, self._tally = terms, client, desk, halt, tally
        self._warn = warn
        self._now = asyncio.get_running_loop().time
        self._history: dict[tuple[str, str], list[float]] = {}

    async def learn(self) -> None:
        """Ask the ledger how long takes lately were."""
        self._history = await self._desk.do(ledger_operations.inference_history, self._terms.provider)

    async def see(self, take: Take, attempt_id: int, prediction_id: str, log: Log) -> None:
        """Look at a prediction until it is final, lost, or its deadline is over.

        Raises:
            Halted: the run stopped first.
        """
        looks = Looks(self._terms.poll_floor_s, likely_s=self._history.get((take.shot.model, take.shot.duration), ()))
        began = self._now()
        watched = Watched()
        wait_s = looks.first_s() if self._tally.was_submitted_here(take.fingerprint) else 0.0
        self._tally.watching(take.fingerprint)
        try:
            while (age_s := self._now() - began) < self._terms.take_deadline_s:
                await self._halt.sleep(min(wait_s, self._terms.take_deadline_s - age_s))
                prediction = await self._look(prediction_id, watched)
                if prediction is not None:
                    await self._note(take, attempt_id, watched.see(prediction.status))
                    if prediction.is_final:
                        return await self._finish(take, attempt_id, prediction, watched.polls, log)
                elif watched.missing_s(self._now()) > self._terms.not_found_grace_s:
                    return await self._lose(take, attempt_id, watched)
                wait_s = looks.next_s(self._now() - began)
            waited_s = self._now() - began
            await self._leave(attempt_id, watched, f"not final after {waited_s:.0f} s of watching{watched.problem}")
        except Halted:
            await self._leave(attempt_id, watched, f"still {watched.status or 'running'} when the run stopped")
            raise
        finally:
            self._tally.unwatching(take.fingerprint)

    async def _look(self, prediction_id: str, watched: Watched) -> Prediction | None:
        """One look; None, and why in `watched`, where it shows nothing. A key that is refused stops everything."""
        watched.polls += 1
        try:
            return await self._client.result(prediction_id)
        except AccountRefusedError as error:
            self._halt.stop_all(str(error))
            watched.problem = f" ({error})"
        except (TryLaterError, NeverAgainError) as error:
            if isinstance(error, ApiRefusedError) and error.code == 404:
                watched.miss(self._now())
            else:
                watched.show()  # it says nothing of the prediction, so it does not say that there is none
            watched.problem = f" ({error})"
        return None

    async def _note(self, take: Take, attempt_id: int, remark: str | None) -> None:
        """Keep what is odd about a look beside the attempt."""
        if remark is not None:
            self._warn(f"{take.name}: {remark}")
            await self._desk.do(ledger_operations.remark, attempt_id, self._terms.run_id, remark)

    async def _lose(self, take: Take, attempt_id: int, watched: Watched) -> None:
        """The API has not known a prediction for too long."""
        await self._desk.do(ledger_operations.lose, attempt_id, watched.polls)
        self._tally.settled(take.fingerprint, State.HELD)
        self._warn(f"{take.name}: held, the API does not know its prediction any more")

    async def _leave(self, attempt_id: int, watched: Watched, error: str) -> None:
        said = f"{error}; the next run looks again"
        await self._desk.do(ledger_operations.leave, attempt_id, watched.polls, watched.status, said)

    async def _finish(self, take: Take, attempt_id: int, prediction: Prediction, polls: int, log: Log) -> None:
        """Write down the final answer, and learn from it."""
        end = finish_of(prediction)
        contradiction = await self._desk.do(ledger_operations.finish, attempt_id, end, polls, self._terms.run_id)
        if contradiction is not None:
            self._warn(f"{take.name}: {contradiction}")
            return
        if end.state is State.COMPLETED and end.inference_ms:
            seen = self._history.setdefault((take.shot.model, take.shot.duration), [])
            seen.append(end.inference_ms / 1_000)
            del seen[:-MOST_REMEMBERED]
        flagged = ", flagged NSFW" if any(end.has_nsfw_contents) else ""
        log(f"{take.name}: {end.state}{flagged}{f' ({end.error})' if end.error else ''}")
        self._tally.settled(take.fingerprint, end.state, is_flagged=any(end.has_nsfw_contents))
