"""Drives takes through ledger, client and pace: the one async loop of a run.

One `Shoot` is shared by all batches of a process. It never decides what may be bought (`takes` does), nor when
(`pacing` does), and it never sends what the ledger has not committed first.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import NoReturn, assert_never

from animatic.errors import (
    ApiBusyError,
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
from animatic.plan import PricedBy, priced_by
from animatic.shots import Take
from animatic.takes import Standing, State, Step, next_step, permission_to_buy
from animatic.tally import Tally
from animatic.terms import Terms
from animatic.watch import Watch
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.endings import STATE_AFTER, Ended, Ending

MOST_REFUSALS_IN_A_ROW = 20
THEIRS_GRACE_S = 30.0
"""How much longer than a submission may take we wait for another run's, before we leave the take to the next run."""

Log = Callable[[str], None]


class Shoot:
    """Everything that the batches of one process share: client, ledger, receipts, pace, stop switch and tally.

    Make it inside the event loop that it runs in. `warn` is told what a person should hear of, whatever the batch.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what is shared, and whom to warn
        self,
        terms: Terms,
        client: WaveSpeedClient,
        desk: LedgerDesk,
        receipts: Receipts,
        tally: Tally,
        warn: Log | None = None,
    ) -> None:
        self.terms = terms
        self.tally = tally
        self.halt = Halt()
        self._warn = warn or _silent
        self._client = client
        self._desk = desk
        self._receipts = receipts
        self._now = asyncio.get_running_loop().time
        self._gate = Gate(terms.limits, self.halt)
        self._watch = Watch(terms, client, desk, self.halt, tally, self._warn)
        self._image_urls: dict[str, str] = {}
        self._prices_usd = dict(terms.prices_usd)
        self._quoted_at: dict[PricedBy, float] = {}
        self._began_at = self._now()

    async def prepare(self) -> None:
        """Learn from the ledger how long takes lately were, and from the API what time it is there."""
        await self._client.learn_time()
        await self._watch.learn()

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
        step = None
        try:
            while (step := next_step(_standing(record), self.terms.policy, step)) is not Step.REST:
                await self._do(step, take, record, log)
                record = await self._find(take)
        except Halted:
            return
        except BudgetError as error:
            self.halt.stop_buying(str(error))

    async def _do(self, step: Step, take: Take, record: Record | None, log: Log) -> None:
        if step is Step.BUY:
            allowed_by = permission_to_buy(_standing(record), self.terms.policy)
            await self._buy_and_watch(take, allowed_by or "plan", log)
        elif step is Step.WATCH and record is not None:
            await self._watch_again(take, record, log)
        else:
            await self._outwait(take)

    async def _watch_again(self, take: Take, record: Record, log: Log) -> None:
        """Watch what an earlier run, another run, or this one without knowing it, has submitted."""
        if record.tried_here and not self.tally.was_submitted_here(take.fingerprint):
            self.tally.submitted(take.fingerprint, self._price_usd(take))  # its reply was lost, then found
        async with self._gate.resumed():
            await self._watch.see(take, record.attempt_id, record.prediction_id or "", log)

    async def _outwait(self, take: Take) -> None:
        """Wait until another run has submitted the take, but not for ever: that run may have been stopped."""
        until, wait_s = self._now() + self._client.submit_deadline_s + THEIRS_GRACE_S, 0.2
        while self._now() < until:
            await self.halt.sleep(wait_s)
            record = await self._find(take)
            if record is None or record.state is not State.SUBMITTING:
                return
            wait_s = min(1.5 * wait_s, 5.0)

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
            await self._watch.see(take, attempt_id, prediction_id, log)

    async def _submit(self, take: Take, allowed_by: str, log: Log) -> tuple[int, str] | None:
        """Intent, POST, id: each durable before the next. None if it was not bought, or if nobody knows.

        Raises:
            ApiBusyError, ApiUnreachableError: nothing was bought, and it may go again.
            Halted: the run stopped before it was sent.
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
            if not self.halt.is_buying:
                await self._call_off(attempt_id)
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

    async def _call_off(self, attempt_id: int) -> NoReturn:
        """The run stopped while the intent was on its way to the disk: nothing is sent after that."""
        self._gate.unsent()
        latest, why = self._client.clock.latest(), "the run stopped before it was sent"
        await self._desk.do(ledger_operations.conclude, attempt_id, State.UNSENT, None, why, latest)
        raise Halted

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
            return await self._bind(take, attempt_id, ended)
        state = STATE_AFTER[ending]
        latest = self._client.clock.latest()
        await self._desk.do(ledger_operations.conclude, attempt_id, state, ended.code, ended.said, latest)
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
                self._warn(f"{take.name}: unknown whether it was bought ({ended.said})")
            case _:
                assert_never(ending)
        return None

    async def _bind(self, take: Take, attempt_id: int, ended: Ended) -> tuple[int, str] | None:
        """Make the id durable; None if it is another take's, which leaves both `held`: nothing to watch."""
        prediction_id = ended.prediction_id or ""
        if await self._desk.do(ledger_operations.accept, attempt_id, prediction_id, ended.prediction_status):
            return attempt_id, prediction_id
        self.tally.settled(take.fingerprint, State.HELD)
        self._warn(f"{take.name}: held, its prediction {prediction_id} belongs to another take")
        return None

    async def _is_someone_elses(self, take: Take) -> bool:
        """Whether another run has a live attempt at the take, which is then theirs to finish."""
        record = await self._find(take)
        return (
            record is not None
            and not record.tried_here
            and permission_to_buy(record.standing, self.terms.policy) is None
        )

    def _intent(self, take: Take, allowed_by: str) -> Intent:
        shot = take.shot
        asked = {
            "aspect_ratio": shot.aspect_ratio,
            "duration": shot.duration,
            "image": shot.still,
            "prompt": shot.prompt,
            "take": take.number,
        }
        clock = self._client.clock
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
            window_from=clock.earliest(),
            window_to=clock.latest() + timedelta(seconds=self._client.submit_deadline_s),
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


def _standing(record: Record | None) -> Standing:
    return record.standing if record else Standing(None)


def _silent(_line: str) -> None:
    """A log for batches too large to follow take by take."""
