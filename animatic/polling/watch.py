"""Polls of submitted takes until they are final; their results go into the ledger. Buys nothing.

How long takes usually need is learned from the ledger and from each take that ends; when to look follows from that.
"""

import asyncio
import math
import random
from collections.abc import Callable, Hashable, Iterator

from animatic.errors import AccountRefusedError, ApiRefusedError, NeverAgainError, ProxyRefusedError, TryLaterError
from animatic.ledger import operations as ledger_operations
from animatic.ledger.desk import LedgerDesk
from animatic.pace.limits import queued_ahead
from animatic.planning.terms import Terms
from animatic.polling.flights import Flight, Flights
from animatic.polling.looks import Watched, finish_of
from animatic.polling.schedule import LAST_TAKES, UNTOLD_S, Experience, latency_of
from animatic.polling.scouts import Scouts
from animatic.polling.turns import Turns
from animatic.progress import Tally
from animatic.takes.shots import Take
from animatic.takes.states import State
from animatic.waiting import Halt, Halted
from animatic.wavespeed.client import Look, WaveSpeedClient
from animatic.wavespeed.wire import Prediction

JITTER, JITTER_FLOORS = 0.05, 0.25
"""A wait is longer or shorter by this share of it, and by no more than this share of the floor."""

FLOOR_TICKS, LONGEST_TICK_S = 10, 0.2
"""Looks come at ticks, a tenth of the floor apart and no more than this: waking up costs as much as a look."""

COUNTS_A_FLOOR = 4
"""How often, in the time of a floor, it is worked out how many takes are done that we have not seen."""

UNREACHABLE = 1402
"""The code of a prediction that failed because the still could not be fetched. Source: WaveSpeed's page on codes."""

WRITES_WITHIN_S = 0.2
"""How long an answer waits for others, to share a transaction with them. Nothing hangs on it: it can be asked again."""

Log = Callable[[str], None]


class Watch:
    """Poller of a run. `warn` gets contradictions and losses; make it inside the event loop."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a run shares
        self, terms: Terms, client: WaveSpeedClient, desk: LedgerDesk, halt: Halt, tally: Tally, warn: Log
    ) -> None:
        self._terms, self._client, self._desk, self._halt, self._tally = terms, client, desk, halt, tally
        self._warn = warn
        self._now = asyncio.get_running_loop().time
        self._experience = Experience(terms.poll_floor_s, terms.limits.max_in_flight, self._not_done_at_s)
        self._flights = Flights(terms.limits.max_in_flight, halt)
        self._unseen, self._counted_at = 0.0, -math.inf
        self._scouts = Scouts(self._experience, halt)
        self._turns = Turns(terms.looks_per_second, halt, min(terms.poll_floor_s / FLOOR_TICKS, LONGEST_TICK_S))

    async def learn(self) -> None:
        """Ask the ledger how long takes lately were."""
        history = await self._desk.do(ledger_operations.inference_history, self._terms.provider)
        for kind, latencies_s in history.items():
            self._experience.learn(kind, reversed(latencies_s))

    async def see(  # noqa: PLR0913, PLR0917 - what is watched, since when, and who hears of it
        self,
        take: Take,
        attempt_id: int,
        prediction_id: str,
        log: Log,
        was_submitted_ago_s: float = 0.0,
        is_over: Callable[[], None] = lambda: None,
    ) -> State | None:
        """Look at a prediction until it is final, lost, or its deadline is over; at one from earlier, at once.

        `is_over` is called as soon as the API does no more for it, whatever is still to be written down.
        Returns its final state, or None where it is not final or something contradicts it: the ledger knows.

        Raises:
            Halted: the run stopped first.
        """
        kind = (take.shot.model, take.shot.duration)
        began, watched = self._now(), Watched(was_submitted_ago_s)
        look = self._client.look_at(prediction_id)
        gives_up_at = began - was_submitted_ago_s + self._terms.give_up_s
        ends_at = min(began + self._terms.take_deadline_s, max(gives_up_at, began))
        flight = Flight(kind, began - was_submitted_ago_s, watched)
        self._flights.add(flight, is_resumed=was_submitted_ago_s > 0)
        self._tally.watching(take.fingerprint)
        try:
            await (self._turns.at(began) if was_submitted_ago_s else self._first_turn(flight, ends_at))
            while True:
                prediction = await self._look(look, watched)
                age_s = self._now() - flight.began_at
                if prediction is not None:
                    await self._note(take, attempt_id, watched.see(prediction.status))
                    await self._note(take, attempt_id, watched.see_model(prediction.model, take.shot.model))
                    if prediction.is_final:
                        took_s = latency_of((prediction.timings.inference or 0) / 1_000, watched.not_done_at_s, age_s)
                        self._flights.remove(flight, flight.began_at + took_s)
                        if prediction.code != UNREACHABLE:  # else the upload is to be forgotten before the next is sent
                            is_over()
                        return await self._finish(take, attempt_id, prediction, watched, took_s, log)
                    watched.not_done_at_s = age_s
                elif watched.missing_s(self._now()) > self._terms.not_found_grace_s:
                    await self._lose(take, attempt_id, watched)
                    return None
                if self._now() >= ends_at:
                    break
                await self._turns.at(min(self._now() + self._wait_s(kind, age_s), ends_at))
            if self._now() >= gives_up_at:
                await self._give_up(take, attempt_id, watched)
                return None
            waited_s = self._now() - began
            await self._leave(attempt_id, watched, f"not final after {waited_s:.0f} s of watching{watched.problem}")
        except Halted:
            still = watched.status or "running"
            await self._leave(attempt_id, watched, f"still {still} when the run stopped{watched.problem}")
            raise
        finally:
            self._flights.remove(flight, self._now())
            self._scouts.pass_on(kind)
            self._tally.unwatching(take.fingerprint)
        return None

    async def _first_turn(self, flight: Flight, ends_at: float) -> None:
        """Wait until the take leaves the queue and a latency estimate exists, then until it is due.

        By then the estimate may have grown, so that it is still too soon. After half of the time that there is, it
        passes for worked on, whatever we know of WaveSpeed's queue.
        """
        await self._flights.begun(flight, (flight.began_at + ends_at) / 2)
        await self._scouts.join(flight.kind, until=min(flight.began_at + UNTOLD_S, ends_at))
        due, later = -math.inf, flight.began_at + self._wait_s(flight.kind, 0.0)
        while due < ends_at and later > due + self._terms.poll_floor_s / 2:
            due = min(later, ends_at)
            await self._turns.at(due)
            later = flight.began_at + self._wait_s(flight.kind, 0.0)

    def _wait_s(self, kind: Hashable, age_s: float) -> float:
        """Seconds to the next look at a take of this age, so that takes which started together do not ask together."""
        is_last = self._tally.left <= LAST_TAKES
        wait_s = self._experience.schedule(kind).next_age_s(age_s, is_last=is_last) - age_s
        jitter_s = min(JITTER * wait_s, JITTER_FLOORS * self._terms.poll_floor_s)
        return max(wait_s + random.uniform(-jitter_s, jitter_s), self._terms.poll_floor_s)  # noqa: S311

    def _not_done_at_s(self, kind: Hashable) -> Iterator[float]:
        return (flight.watched.not_done_at_s for flight in self._flights if flight.kind == kind)

    async def _look(self, look: Look, watched: Watched) -> Prediction | None:
        """One look; None, and why in `watched`, where it shows nothing. A key that is refused stops everything."""
        watched.polls += 1
        try:
            return await look()
        except (AccountRefusedError, ProxyRefusedError) as error:
            self._halt.stop_all(str(error))
            watched.problem = f" ({error})"
        except (TryLaterError, NeverAgainError) as error:
            if isinstance(error, ApiRefusedError):  # whichever code it is refused with: it is not known here
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
        """Give up a take whose prediction the API has not known for too long."""
        await self._desk.do(ledger_operations.lose, attempt_id, watched.polls)
        self._tally.settled(take.fingerprint, State.HELD)
        self._warn(f"{take.name}: held, the API does not know its prediction any more")

    async def _give_up(self, take: Take, attempt_id: int, watched: Watched) -> None:
        """Hold a take that is not final so long after its submission."""
        told = (attempt_id, watched.polls, watched.status, self._terms.give_up_s)
        await self._desk.do(ledger_operations.give_up, *told)
        self._tally.settled(take.fingerprint, State.HELD)
        self._warn(f"{take.name}: held, it is not final {self._terms.give_up_s:,.0f} s after its submission")

    async def _leave(self, attempt_id: int, watched: Watched, error: str) -> None:
        said = f"{error}; the next run looks again"
        await self._desk.do(ledger_operations.leave, attempt_id, watched.polls, watched.status, said)

    async def _finish(  # noqa: PLR0913, PLR0917 - the take, its end, and what it took
        self, take: Take, attempt_id: int, prediction: Prediction, watched: Watched, took_s: float, log: Log
    ) -> State | None:
        """Write down the final answer, and learn from it; the state, unless something contradicts it."""
        end = finish_of(prediction)
        told = (attempt_id, end, watched.polls, self._terms.run_id)
        contradiction = await self._desk.do_within(WRITES_WITHIN_S, ledger_operations.finish, *told)
        if contradiction is not None:
            self._warn(f"{take.name}: {contradiction}")
            return None
        if end.state is State.COMPLETED and end.inference_ms:
            self._experience.learn((take.shot.model, take.shot.duration), [took_s])
        is_flagged = any(end.has_nsfw_contents or ())
        flagged = ", flagged NSFW" if is_flagged else ""
        log(f"{take.name}: {end.state}{flagged}{f' ({end.error})' if end.error else ''}")
        is_judged = is_flagged or sum(flag is not None for flag in end.has_nsfw_contents or ()) >= len(end.outputs)
        self._tally.settled(take.fingerprint, end.state, is_flagged=is_flagged, is_judged=is_judged)
        return end.state

    def queued_ahead(self) -> int:
        """Return how many takes WaveSpeed should have in its queue, so that it never idles until the next poll."""
        if self._terms.queued_ahead is not None:
            return self._terms.queued_ahead
        now = self._now()
        if now >= self._counted_at + self._terms.poll_floor_s / COUNTS_A_FLOOR:
            self._counted_at = now
            self._unseen = self._experience.unseen(
                (flight.kind, flight.watched.not_done_at_s, now - flight.began_at) for flight in self._flights
            )
        return queued_ahead(self._terms.limits, self._unseen)
