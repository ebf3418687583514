"""Polls of submitted takes until they are final; their results go into the ledger. Buys nothing.

How long takes usually need is learned from the ledger and from each take that ends; when to poll follows from that.
"""

import asyncio
import math
import random
from collections.abc import Callable, Hashable, Iterator

from animatic.buying.polling.in_flight import ActiveTake, InFlight
from animatic.buying.polling.pilots import PilotPolls
from animatic.buying.polling.poll_history import PollHistory, finish_of
from animatic.buying.polling.schedule import LAST_TAKES, UNTOLD_S, Experience, latency_of
from animatic.buying.polling.scheduler import PollScheduler
from animatic.errors import AccountRefusedError, ApiRefusedError, NeverAgainError, ProxyRefusedError, TryLaterError
from animatic.errors.text import command
from animatic.ledger import Ledger
from animatic.machine.waiting import Stopped, StopSignal
from animatic.pace.latencies import Latencies
from animatic.pace.limits import queued_ahead
from animatic.planning.config import RunConfig
from animatic.progress import Progress
from animatic.takes.shots import Take
from animatic.takes.states import State
from animatic.wavespeed.client import Poll, WaveSpeedClient
from animatic.wavespeed.wire import Prediction

JITTER, JITTER_FLOORS = 0.05, 0.25
"""A wait is longer or shorter by this share of it, and by no more than this share of the floor."""

FLOOR_TICKS, LONGEST_TICK_S = 10, 0.2
"""Polls come at ticks, a tenth of the floor apart and no more than this: waking up costs as much as a poll."""

COUNTS_A_FLOOR = 4
"""Estimates, in the time of a floor, of how many takes are done that we have not seen."""

UNREACHABLE = 1402
"""The code of a prediction that failed because the still could not be fetched. Source: WaveSpeed's page on codes."""

Log = Callable[[str], None]


class Poller:
    """Poller of a run. `warn` gets contradictions and losses; make it inside the event loop."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a run shares
        self,
        config: RunConfig,
        client: WaveSpeedClient,
        ledger: Ledger,
        stop_signal: StopSignal,
        progress: Progress,
        warn: Log,
    ) -> None:
        self._config, self._client, self._ledger, self._stop_signal, self._progress = (
            config,
            client,
            ledger,
            stop_signal,
            progress,
        )
        self._warn = warn
        self._now = asyncio.get_running_loop().time
        self._experience = Experience(config.poll_floor_s, config.limits.max_in_flight, self._not_done_at_s)
        self._in_flight = InFlight(config.limits.max_in_flight, stop_signal)
        self._unseen, self._counted_at = 0.0, -math.inf
        self._pilots = PilotPolls(self._experience, stop_signal)
        self._scheduler = PollScheduler(
            config.polls_per_second,
            stop_signal,
            min(config.poll_floor_s / FLOOR_TICKS, LONGEST_TICK_S),
            progress.meters,
        )

    async def learn(self) -> None:
        """Ask the ledger how long takes lately were."""
        history = await self._ledger.inference_history(self._config.provider)
        for latency_class, latencies_s in history.items():
            self._experience.learn(latency_class, reversed(latencies_s))
        known = {*history, *self._progress.waiting}
        lengths_s = {each: each.length_s for each in known if each and each.length_s}
        self._progress.latencies = Latencies.after(history, self._config.usual_latency_s, lengths_s)

    async def poll_until_final(  # noqa: PLR0913, PLR0917 - what is polled, since when, and who hears of it
        self,
        take: Take,
        attempt_id: int,
        prediction_id: str,
        log: Log,
        was_submitted_ago_s: float = 0.0,
        is_over: Callable[[], None] = lambda: None,
    ) -> State | None:
        """Poll a prediction until it is final, lost, or its deadline is over; one from an earlier run, at once.

        `is_over` is called as soon as the API has finished with it, before its result is in the ledger. Returns its
        final state, or None if it is not final or something contradicts it: then the ledger says how it stands.

        Raises:
            Stopped: the run stopped first.
        """
        latency_class = take.shot.latency_class
        began, history = self._now(), PollHistory(was_submitted_ago_s)
        poll = self._client.poll_of(prediction_id)
        gives_up_at = began - was_submitted_ago_s + self._config.give_up_s
        ends_at = min(began + self._config.take_deadline_s, max(gives_up_at, began))
        active = ActiveTake(latency_class, began - was_submitted_ago_s, history)
        self._in_flight.add(active, is_resumed=was_submitted_ago_s > 0)
        self._progress.began_polling(take.fingerprint, take.name, active.began_at, latency_class, ends_at)
        try:
            await (self._scheduler.at(began) if was_submitted_ago_s else self._await_first_poll(active, ends_at))
            while True:
                prediction = await self._poll_once(poll, history)
                age_s = self._now() - active.began_at
                if prediction is not None:
                    self._progress.polled(
                        take.fingerprint, prediction.status, self._now(), is_final=prediction.is_final
                    )
                    await self._note(take, attempt_id, history.note_status(prediction.status))
                    await self._note(take, attempt_id, history.see_model(prediction.model, take.shot.model))
                    if prediction.is_final:
                        took_s = latency_of((prediction.timings.inference or 0) / 1_000, history.not_done_at_s, age_s)
                        self._in_flight.remove(active, active.began_at + took_s)
                        if prediction.code != UNREACHABLE:  # else the upload is to be forgotten before the next is sent
                            is_over()
                        return await self._finish(take, attempt_id, prediction, history, took_s, log)
                    history.not_done_at_s = age_s
                elif history.missing_s(self._now()) > self._config.not_found_grace_s:
                    await self._lose(take, attempt_id, history)
                    return None
                if self._now() >= ends_at:
                    break
                await self._scheduler.at(min(self._now() + self._wait_s(latency_class, age_s), ends_at))
            if self._now() >= gives_up_at:
                await self._give_up(take, attempt_id, history)
                return None
            waited_s = self._now() - began
            self._progress.passed_on += 1
            await self._leave(attempt_id, history, f"not final after {waited_s:.0f} s of polling{history.problem}")
        except Stopped:
            self._progress.passed_on += 1
            still = history.status or "running"
            await self._leave(attempt_id, history, f"still {still} when the run stopped{history.problem}")
            raise
        finally:
            self._in_flight.remove(active, self._now())
            self._pilots.wake_next(latency_class)
            self._progress.stopped_polling(take.fingerprint)
        return None

    async def _await_first_poll(self, active: ActiveTake, ends_at: float) -> None:
        """Wait until the take leaves the queue and a latency estimate exists, then until it is due.

        If the estimate has grown by then, the poll is put off. After half of the time until `ends_at`, the take counts
        as begun even if it seems to be queued.
        """
        await self._in_flight.begun(active, (active.began_at + ends_at) / 2)
        await self._pilots.join(active.latency_class, until=min(active.began_at + UNTOLD_S, ends_at))
        due, later = -math.inf, active.began_at + self._wait_s(active.latency_class, 0.0)
        while due < ends_at and later > due + self._config.poll_floor_s / 2:
            due = min(later, ends_at)
            await self._scheduler.at(due)
            later = active.began_at + self._wait_s(active.latency_class, 0.0)

    def _wait_s(self, latency_class: Hashable, age_s: float) -> float:
        """Seconds to the next poll of a take of this age, so that takes which started together do not ask together."""
        is_last = self._progress.left <= LAST_TAKES
        wait_s = self._experience.schedule(latency_class).next_age_s(age_s, is_last=is_last) - age_s
        jitter_s = min(JITTER * wait_s, JITTER_FLOORS * self._config.poll_floor_s)
        return max(wait_s + random.uniform(-jitter_s, jitter_s), self._config.poll_floor_s)  # noqa: S311

    def _not_done_at_s(self, latency_class: Hashable) -> Iterator[float]:
        return (active.history.not_done_at_s for active in self._in_flight if active.latency_class == latency_class)

    async def _poll_once(self, poll: Poll, history: PollHistory) -> Prediction | None:
        """One poll; None, and why in `history`, where it shows nothing. A key that is refused stops everything."""
        history.polls += 1
        try:
            return await poll()
        except AccountRefusedError as error:
            self._stop_signal.refuse_account(str(error), polls=False)
            history.problem = f" ({error})"
        except ProxyRefusedError as error:
            self._stop_signal.stop_all(str(error))
            history.problem = f" ({error})"
        except (TryLaterError, NeverAgainError) as error:
            if isinstance(error, TryLaterError):
                self._progress.unreached(self._now(), str(error))
            if isinstance(error, ApiRefusedError):  # whichever code it is refused with: it is not known here
                history.miss(self._now())
            else:
                history.show()  # it says nothing of the prediction, so it does not say that there is none
            history.problem = f" ({error})"
        return None

    async def _note(self, take: Take, attempt_id: int, remark: str | None) -> None:
        """Keep what is odd about a poll beside the attempt."""
        if remark is not None:
            self._warn(f"{take.name}: {remark}")
            await self._ledger.remark(attempt_id, self._config.run_id, remark)

    async def _lose(self, take: Take, attempt_id: int, history: PollHistory) -> None:
        """Give up a take whose prediction the API has not known for too long."""
        await self._ledger.lose(attempt_id, history.polls)
        self._progress.finished(take.fingerprint, State.HELD)
        gives_up = command("reconcile", "--abandon", take.fingerprint[:12])
        self._warn(f"{take.name}: held, WaveSpeed no longer knows its prediction; give it up: {gives_up}")

    async def _give_up(self, take: Take, attempt_id: int, history: PollHistory) -> None:
        """Hold a take that is not final so long after its submission."""
        arguments = (attempt_id, history.polls, history.status, self._config.give_up_s)
        await self._ledger.give_up(*arguments)
        self._progress.finished(take.fingerprint, State.HELD)
        self._warn(
            f"{take.name}: held, it is not final {self._config.give_up_s:,.0f} s after its submission; every run "
            "polls it once more"
        )

    async def _leave(self, attempt_id: int, history: PollHistory, error: str) -> None:
        said = f"{error}; the next run polls again"
        await self._ledger.leave(attempt_id, history.polls, history.status, said)

    async def _finish(  # noqa: PLR0913, PLR0917 - the take, its end, and what it took
        self, take: Take, attempt_id: int, prediction: Prediction, history: PollHistory, took_s: float, log: Log
    ) -> State | None:
        """Record the final answer and learn from it; return the state, or None if something contradicts it."""
        end = finish_of(prediction)
        arguments = (attempt_id, end, history.polls, self._config.run_id)
        contradiction = await self._ledger.finish(*arguments)
        if contradiction is not None:
            self._warn(f"{take.name}: {contradiction}")
            return None
        is_failure = end.state is State.FAILED
        self._progress.latencies.add(took_s, take.shot.latency_class, is_failure=is_failure)
        if end.state is State.COMPLETED and end.inference_ms:
            self._experience.learn(take.shot.latency_class, [took_s])
        is_flagged = any(end.has_nsfw_contents or ())
        flagged = ", flagged NSFW" if is_flagged else ""
        log(f"{take.name}: {end.state}{flagged}{f' ({end.error})' if end.error else ''}")
        is_judged = is_flagged or sum(flag is not None for flag in end.has_nsfw_contents or ()) >= len(end.outputs)
        self._progress.finished(take.fingerprint, end.state, is_flagged=is_flagged, is_judged=is_judged)
        return end.state

    def queued_ahead(self) -> int:
        """Return how many takes WaveSpeed should have in its queue, so that it never idles until the next poll."""
        if self._config.queued_ahead is not None:
            return self._config.queued_ahead
        now = self._now()
        if now >= self._counted_at + self._config.poll_floor_s / COUNTS_A_FLOOR:
            self._counted_at = now
            self._unseen = self._experience.unseen(
                (active.latency_class, active.history.not_done_at_s, now - active.began_at)
                for active in self._in_flight
            )
        return queued_ahead(self._config.limits, self._unseen)
