"""Drives takes through ledger, client and pace: the one async loop of a run.

One `Shoot` is shared by all batches of a process. It never decides what may be bought (`takes` does), nor when
(`pacing` does), and it never sends what the ledger has not committed first.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import assert_never

from animatic.errors import (
    AccountRefusedError,
    ApiBusyError,
    ApiRefusedError,
    ApiUnreachableError,
    BudgetError,
    LedgerError,
    LedgerUnusableError,
    NeverAgainError,
    TryLaterError,
)
from animatic.gate import Gate, Halt, Halted
from animatic.ledger import operations as ledger_operations
from animatic.ledger.desk import LedgerDesk
from animatic.ledger.receipts import Receipts, Slot
from animatic.ledger.records import Intent, Record
from animatic.looks import Watched, finish_of
from animatic.pacing import Limits, Looks
from animatic.plan import PricedBy, priced_by
from animatic.shots import Take
from animatic.takes import FINAL, BuyingPolicy, State, permission_to_buy
from animatic.tally import Tally
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.endings import STATE_AFTER, Ended, Ending
from animatic.wavespeed.wire import Prediction

MOST_REFUSALS_IN_A_ROW = 20
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run was told, as plain values.

    Attributes:
        provider: whom takes are bought from, part of each fingerprint.
        prices_usd: the quoted price by (model, duration, aspect ratio).
        max_usd: the most that this run may commit, or None.
        poll_floor_s: never look at the same take again sooner than this.
        take_deadline_s: a take that is not final this long after we began to watch it is left for the next run.
        not_found_grace_s: how long a prediction may be unknown to the API after we began to watch it.
        quote_age_s: with a budget, a price older than this is asked for again before something is bought at it.
    """

    run_id: str
    provider: str
    limits: Limits
    poll_floor_s: float
    take_deadline_s: float
    not_found_grace_s: float = 120.0
    quote_age_s: float = 600.0
    policy: BuyingPolicy = field(default_factory=BuyingPolicy)
    max_usd: float | None = None
    prices_usd: Mapping[PricedBy, float] = field(default_factory=dict[PricedBy, float])


class Shoot:
    """Everything that the batches of one process share: client, ledger, receipts, pace, stop switch and tally.

    Make it inside the event loop that it runs in.
    """

    def __init__(
        self, terms: Terms, client: WaveSpeedClient, desk: LedgerDesk, receipts: Receipts, tally: Tally
    ) -> None:
        self.terms = terms
        self.tally = tally
        self.halt = Halt()
        self._client = client
        self._desk = desk
        self._receipts = receipts
        self._now = asyncio.get_running_loop().time
        self._gate = Gate(terms.limits, self.halt)
        self._history: dict[tuple[str, str], list[float]] = {}
        self._image_urls: dict[str, str] = {}
        self._prices_usd = dict(terms.prices_usd)
        self._quoted_at: dict[PricedBy, float] = {}
        self._began_at = self._now()

    async def prepare(self) -> None:
        """Learn from the ledger how long takes lately were, and from the API what time it is there."""
        await self._client.learn_time()
        self._history = await self._desk.do(ledger_operations.inference_history, self.terms.provider)

    def know_uploads(self, urls: Mapping[str, str]) -> None:
        """Remember where uploaded stills are, by what identifies them (`sha256:…`)."""
        self._image_urls.update(urls)

    async def shoot(self, takes: Sequence[Take], log: Log | None = None) -> None:
        """See every take to an end, or as far as this run may; what came of it is in the ledger.

        Safe to call again with the same takes: the ledger is asked first. `log` is told each step of a take's life.

        Raises:
            TryLaterError: some takes could not be sent because the API is away; the others are done.
            LedgerError: the ledger can't be written; nothing more was sent.
        """
        records = await self._desk.do(
            ledger_operations.look_up, [take.fingerprint for take in takes], self.terms.run_id
        )
        ends = await asyncio.gather(
            *(self._see_through(take, records.get(take.fingerprint), log or _silent) for take in takes),
            return_exceptions=True,
        )
        problems = [end for end in ends if isinstance(end, BaseException)]
        for problem in sorted(problems, key=lambda error: isinstance(error, TryLaterError)):
            raise problem  # what may pass comes last, so that it is raised only if nothing else is wrong

    async def _see_through(self, take: Take, record: Record | None, log: Log) -> None:
        """Buy and watch one take until there is nothing more to do for it in this run."""
        try:
            while True:
                allowed_by = permission_to_buy(record.standing, self.terms.policy) if record else "plan"
                if allowed_by is not None:
                    await self._buy_and_watch(take, allowed_by, log)
                elif record is not None and record.state is State.SUBMITTED:
                    if record.tried_here and not self.tally.was_submitted_here(take.fingerprint):
                        self.tally.submitted(take.fingerprint, self._price_usd(take))  # its reply was lost, then found
                    async with self._gate.resumed():
                        await self._watch(take, record.attempt_id, record.prediction_id or "", log)
                else:
                    return
                record = await self._find(take)
                is_theirs = record is not None and record.state is State.SUBMITTED and not record.tried_here
                if record is None or not (record.state in FINAL or (is_theirs and allowed_by is not None)):
                    return  # what another run bought while we were about to is watched, once, like what was resumed
        except Halted:
            return
        except BudgetError as error:
            self.halt.stop_buying(str(error))

    async def _find(self, take: Take) -> Record | None:
        found = await self._desk.do(ledger_operations.look_up, [take.fingerprint], self.terms.run_id)
        return found.get(take.fingerprint)

    async def _buy_and_watch(self, take: Take, allowed_by: str, log: Log) -> None:
        """Wait for a place and a start, submit once, then watch."""
        async with self._gate.place():
            while True:
                await self._gate.start()
                submission = asyncio.create_task(self._submit(take, allowed_by, log))
                try:
                    bought = await asyncio.shield(submission)
                except asyncio.CancelledError:
                    await asyncio.wait([submission])  # from intent to id nothing may interrupt
                    raise
                except ApiBusyError as error:
                    if self._gate.refusals > MOST_REFUSALS_IN_A_ROW:
                        raise
                    log(f"{take.name}: {error}; waiting")
                    continue
                break
            if bought is None:
                return
            attempt_id, prediction_id = bought
            log(f"{take.name}: submitted as {prediction_id}")
            self.tally.submitted(take.fingerprint, self._price_usd(take))
            await self._watch(take, attempt_id, prediction_id, log)

    async def _submit(self, take: Take, allowed_by: str, log: Log) -> tuple[int, str] | None:
        """Intent, POST, id: each durable before the next. None if it was not bought, or if nobody knows.

        Raises:
            ApiBusyError, ApiUnreachableError: nothing was bought, and it may go again.
            LedgerError: the ledger can't be written; nothing more is bought.
        """
        await self._refresh_price(take)
        async with self._receipts.slot() as slot:
            intent = self._intent(take, allowed_by)
            try:
                attempt_id = await self._desk.do(ledger_operations.intend, intent)
            except (LedgerError, BudgetError) as error:
                self._gate.unsent()
                if isinstance(error, LedgerUnusableError):
                    self.halt.stop_buying(str(error))
                elif isinstance(error, LedgerError) and await self._is_someone_elses(take):
                    return None
                raise
            ended = await self._client.submit(
                take.shot.model,
                self._inputs(take),
                keep=lambda http, body: self._keep(slot, attempt_id, intent.nonce, http, body),
            )
            try:
                bought = await self._conclude(take, attempt_id, ended, log)
            except LedgerError as error:
                self.halt.stop_buying(f"{error}. The API's reply is in {self._receipts.path}")
                raise
            slot.settle()
            return bought

    async def _keep(self, slot: Slot, attempt_id: int, nonce: str, http: int, body: bytes) -> None:
        """Put a reply into its receipt. Where even that fails, the ledger is the reply's only home: buy no more."""
        try:
            await slot.keep(attempt_id, nonce, http, body)
        except OSError as error:
            self.halt.stop_buying(f"receipts {self._receipts.path}: cannot be written ({error.strerror})")

    async def _conclude(self, take: Take, attempt_id: int, ended: Ended, log: Log) -> tuple[int, str] | None:
        """Write down how a submission ended, and act on it; the attempt and its prediction if it was accepted.

        Raises:
            ApiBusyError, ApiUnreachableError: nothing was bought, and it may go again.
        """
        ending = ended.ending
        if ending is Ending.UNSENT:
            self._gate.unsent()
        elif ending is Ending.BUSY:
            self._gate.refused(ended.retry_after_s)
        else:
            self._gate.replied()
        if ending is Ending.STOP:
            self.halt.stop_buying(ended.said)
        if ending is Ending.ACCEPTED:
            return await self._bind(take, attempt_id, ended, log)
        state = STATE_AFTER[ending]
        await self._desk.do(ledger_operations.conclude, attempt_id, state, ended.code, ended.said)
        match ending:
            case Ending.UNSENT:
                raise ApiUnreachableError(ended.said)
            case Ending.BUSY:
                raise ApiBusyError(ended.said, ended.retry_after_s)
            case Ending.STOP:
                pass
            case Ending.REFUSED:
                self.tally.settled(take.fingerprint, state)
                log(f"{take.name}: rejected ({ended.said})")
            case Ending.UNKNOWN:
                self.tally.settled(take.fingerprint, state)
                log(f"{take.name}: unknown whether it was bought ({ended.said})")
            case _:
                assert_never(ending)
        return None

    async def _bind(self, take: Take, attempt_id: int, ended: Ended, log: Log) -> tuple[int, str] | None:
        """Make the id durable; None if it is another take's, which leaves both `held`: nothing to watch."""
        prediction_id = ended.prediction_id or ""
        if await self._desk.do(ledger_operations.accept, attempt_id, prediction_id, ended.prediction_status):
            return attempt_id, prediction_id
        self.tally.settled(take.fingerprint, State.HELD)
        log(f"{take.name}: held, its prediction {prediction_id} belongs to another take")
        return None

    async def _is_someone_elses(self, take: Take) -> bool:
        """Whether another run has a live attempt at the take, which is then theirs to finish."""
        record = await self._find(take)
        return (
            record is not None
            and not record.tried_here
            and permission_to_buy(record.standing, self.terms.policy) is None
        )

    async def _watch(self, take: Take, attempt_id: int, prediction_id: str, log: Log) -> None:
        """Look at a prediction until it is final, the deadline is over, or the run stops."""
        looks = self._looks(take)
        began = self._now()
        watched = Watched()
        wait_s = looks.first_s() if self.tally.was_submitted_here(take.fingerprint) else 0.0
        self.tally.watching(take.fingerprint)
        try:
            while (age_s := self._now() - began) < self.terms.take_deadline_s:
                await self.halt.sleep(min(wait_s, self.terms.take_deadline_s - age_s))
                watched.polls += 1
                try:
                    prediction = await self._client.result(prediction_id)
                except TryLaterError as error:
                    watched.problem = f" ({error})"
                except AccountRefusedError as error:
                    self.halt.stop_all(str(error))
                except NeverAgainError as error:
                    watched.problem = f" ({error})"
                    if age_s > self.terms.not_found_grace_s:
                        return await self._lose(take, attempt_id, watched, error, log)
                else:
                    await self._note(attempt_id, watched.see(prediction.status))
                    if prediction.is_final:
                        return await self._finish(take, attempt_id, prediction, watched.polls, log)
                wait_s = looks.next_s(self._now() - began)
            waited_s = self._now() - began
            await self._leave(attempt_id, watched, f"not final after {waited_s:.0f} s of watching{watched.problem}")
        except Halted:
            await self._leave(attempt_id, watched, f"still {watched.status or 'running'} when the run stopped")
            raise
        finally:
            self.tally.unwatching(take.fingerprint)

    async def _note(self, attempt_id: int, remark: str | None) -> None:
        """Keep what is odd about a look beside the attempt."""
        if remark is not None:
            await self._desk.do(ledger_operations.remark, attempt_id, self.terms.run_id, remark)

    async def _lose(self, take: Take, attempt_id: int, watched: Watched, error: NeverAgainError, log: Log) -> None:
        """The API refuses to show a prediction: held if it does not know it any more, else left for the next run."""
        is_gone = isinstance(error, ApiRefusedError) and error.code == 404
        if not is_gone:
            return await self._leave(attempt_id, watched, f"it cannot be looked at{watched.problem}")
        await self._desk.do(ledger_operations.lose, attempt_id, watched.polls)
        self.tally.settled(take.fingerprint, State.HELD)
        log(f"{take.name}: held, the API does not know its prediction any more")
        return None

    def _looks(self, take: Take) -> Looks:
        likely_s = self._history.get((take.shot.model, take.shot.duration), ())
        return Looks(self.terms.poll_floor_s, likely_s=likely_s)

    async def _leave(self, attempt_id: int, watched: Watched, error: str) -> None:
        said = f"{error}; the next run looks again"
        await self._desk.do(ledger_operations.leave, attempt_id, watched.polls, watched.status, said)

    async def _finish(self, take: Take, attempt_id: int, prediction: Prediction, polls: int, log: Log) -> None:
        """Write down the final answer, and learn from it."""
        end = finish_of(prediction)
        await self._desk.do(ledger_operations.finish, attempt_id, end, polls, self.terms.run_id)
        if end.state is State.COMPLETED and end.inference_ms:
            seen = self._history.setdefault((take.shot.model, take.shot.duration), [])
            seen.append(end.inference_ms / 1_000)
            del seen[:-1_000]
        flagged = ", flagged NSFW" if any(end.has_nsfw_contents) else ""
        log(f"{take.name}: {end.state}{flagged}{f' ({end.error})' if end.error else ''}")
        self.tally.settled(take.fingerprint, end.state, is_flagged=any(end.has_nsfw_contents))

    def _intent(self, take: Take, allowed_by: str) -> Intent:
        shot = take.shot
        asked = {
            "aspect_ratio": shot.aspect_ratio,
            "duration": shot.duration,
            "image": shot.still,
            "prompt": shot.prompt,
            "take": take.number,
        }
        now, margin = self._client.clock.now(), timedelta(seconds=self._client.clock.margin_s)
        return Intent(
            fingerprint=take.fingerprint,
            provider=self.terms.provider,
            model=shot.model,
            duration=shot.duration,
            request=json.dumps(asked, sort_keys=True, ensure_ascii=False),
            run_id=self.terms.run_id,
            allowed_by=allowed_by,
            image_url=self._image_url(take),
            cost_usd=self._price_usd(take),
            max_usd=self.terms.max_usd,
            nonce=secrets.token_hex(8),
            window_from=now - margin,
            window_to=now + margin + timedelta(seconds=self._client.submit_deadline_s),
        )

    def _inputs(self, take: Take) -> dict[str, str]:
        """The body of a submission. Source: the veo2-i2v page."""
        shot = take.shot
        return {
            "prompt": shot.prompt,
            "image": self._image_url(take),
            "aspect_ratio": shot.aspect_ratio,
            "duration": shot.duration,
        }

    def _image_url(self, take: Take) -> str:
        return self._image_urls[take.shot.still] if take.shot.is_local else take.shot.still

    def _price_usd(self, take: Take) -> float | None:
        return self._prices_usd.get(priced_by(take.shot))

    async def _refresh_price(self, take: Take) -> None:
        """Quote again what was quoted long ago, where a budget depends on it; a quote that fails changes nothing."""
        kind = priced_by(take.shot)
        is_due = self._now() - self._quoted_at.get(kind, self._began_at) > self.terms.quote_age_s
        if self.terms.max_usd is None or not is_due:
            return
        self._quoted_at[kind] = self._now()
        with contextlib.suppress(TryLaterError, NeverAgainError):
            self._prices_usd[kind] = await self._client.price_usd(take.shot.model, self._inputs(take))


def _silent(_line: str) -> None:
    """A log for batches too large to follow take by take."""
