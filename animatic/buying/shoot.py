"""Drives takes through ledger, client and pace: the one async loop of a run.

One `Shoot` is shared by all batches of a process. It never decides what may be bought (`takes` does), nor when
(`pacing` does), and it never sends what the ledger has not committed first.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import assert_never

from animatic.buying.request import Requests, Upload
from animatic.errors import (
    ApiBusyError,
    ApiUnreachableError,
    BudgetError,
    LedgerError,
    LocationError,
    NeverAgainError,
    TakenError,
    TryLaterError,
)
from animatic.ledger import Entry, LedgerRun, Record
from animatic.pace.throttle import Block, Throttle
from animatic.planning.config import RunConfig
from animatic.polling.poller import UNREACHABLE, Poller
from animatic.progress import Progress
from animatic.takes.shots import Take
from animatic.takes.states import (
    Accepted,
    AwaitOtherRun,
    Buy,
    Done,
    State,
    Step,
    Submitted,
    TakeStatus,
    Watch,
    next_step,
)
from animatic.waiting import Stopped, StopSignal
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.outcomes import (
    AccountRefused,
    Busy,
    NoReply,
    NotAccepted,
    Outcome,
    ProxyRefused,
    Refused,
    Unknown,
    Unsent,
    classify,
)
from animatic.wavespeed.transport import Reply

MOST_REFUSALS_IN_A_ROW = 20
LEAST_AT_HAND = 50
"""Minimum number of takes kept waiting, so that a freed slot never stays empty."""

LOOK_UP_S = 1.0
INTENDS_WITHIN_S = 0.05
"""How long an intent waits for others, to share a transaction with them: a start is that much later."""

THEIRS_GRACE_S = 30.0
"""How much longer than a submission may take we wait for another run's, before we leave the take to the next run."""

Log = Callable[[str], None]


class Shoot:
    """Everything that the batches of one process share: client, ledger, receipts, pace, stop switch and progress.

    Make it inside the event loop that it runs in.

    Args:
        config, client, run, progress: what is shared.
        warn: gets what a person should read, whatever the batch.
        upload: uploads a local still that was not uploaded when the run began.
        forget_upload: forgets where a still was uploaded, given the attempt that used it; returns the URL.
        completed: gets each take that this run sees completed, once the ledger has its outputs.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what is shared, and whom to warn
        self,
        config: RunConfig,
        client: WaveSpeedClient,
        run: LedgerRun,
        progress: Progress,
        warn: Log | None = None,
        upload: Upload | None = None,
        forget_upload: Callable[[str, int], Awaitable[str]] | None = None,
        completed: Callable[[Take], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.progress = progress
        self.stop_signal = StopSignal()
        self._warn = warn or _silent
        self._client = client
        self._ledger, self._receipts = run.ledger, run.receipts
        self._now = asyncio.get_running_loop().time
        self._poller = Poller(config, client, run.ledger, self.stop_signal, progress, self._warn)
        account = run.account(config.provider, config.limits)
        self._throttle = Throttle(account, self.stop_signal, self._poller.queued_ahead)
        self._at_hand: set[str] = set()
        self._came_to_rest = asyncio.Event()
        self._requests = Requests(config, client, upload, self._warn)
        self._forget_upload, self._completed = forget_upload, completed

    async def prepare(self) -> None:
        """Learn from the ledger how long takes lately were, and from the API what time it is there."""
        await self._client.learn_time()
        await self._poller.learn()

    def know_uploads(self, urls: Mapping[str, str]) -> None:
        """Remember where uploaded stills are, by what identifies them (`sha256:…`)."""
        self._requests.know_uploads(urls)

    async def admit(self, takes: Sequence[Take]) -> None:
        """Wait until there is room for more takes at hand than the account can keep busy, then count these.

        So that takes can be fed in as they are read, without one that lasts long holding up those behind it.
        """
        in_flight = self.config.limits.max_in_flight
        while self._at_hand and self.stop_signal.is_watching:
            if len(self._at_hand) < in_flight + self._poller.queued_ahead() + max(in_flight // 4, LEAST_AT_HAND):
                break
            self._came_to_rest.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came_to_rest.wait(), LOOK_UP_S)
        self._at_hand.update(take.fingerprint for take in takes)

    def release(self, takes: Sequence[Take]) -> None:
        """Release takes that this run has finished with."""
        self._at_hand.difference_update([take.fingerprint for take in takes])
        self._came_to_rest.set()

    async def shoot(self, takes: Sequence[Take], log: Log | None = None) -> None:
        """Bring each take to its end, or as far as this run may. Its outcome is in the ledger.

        Safe to call again with the same takes: the ledger is asked first. `log` gets each step of a take's life.

        Raises:
            TryLaterError: some takes could not be sent because the API is away; the others are done.
            LedgerError: the ledger can't be written; nothing more was sent.
        """
        records = await self._ledger.look_up([take.fingerprint for take in takes], self.config.run_id)
        ends = await asyncio.gather(
            *(self._see_through(take, records.get(take.fingerprint), log or _silent) for take in takes),
            return_exceptions=True,
        )
        with contextlib.suppress(LedgerError):  # the next operation that needs the ledger raises it
            await self._throttle.flush()
        problems = [end for end in ends if isinstance(end, BaseException)]
        for problem in sorted(problems, key=lambda error: isinstance(error, TryLaterError)):
            raise problem  # what may pass comes last, so that it is raised only if nothing else is wrong

    async def close(self) -> None:
        """Give back to the other runs what the account would have allowed this one."""
        with contextlib.suppress(LedgerError):
            await self._throttle.close()

    async def _see_through(self, take: Take, record: Record | None, log: Log) -> None:
        """Buy and watch one take until there is nothing more to do for it in this run."""
        try:
            await self._make_steps(take, record, log)
        except Stopped:
            return
        except BudgetError as error:
            self.stop_signal.stop_buying(str(error))
        except TryLaterError:
            raise
        except LedgerError as error:
            self.stop_signal.stop_buying(str(error))
            raise
        except Exception:
            self.stop_signal.stop_all("something unforeseen went wrong")  # or those who wait for us would wait for ever
            raise

    async def _make_steps(self, take: Take, record: Record | None, log: Log) -> None:
        step: Step | None = None
        while True:
            match step := self._next_step(record, step):
                case Done():
                    break
                case Buy() if not self._is_agreed(take):
                    log(f"{take.name}: not in the plan that was approved; run again to approve it")
                    return
                case Buy():
                    state = await self._buy_and_watch(take, log)
                case Watch():
                    state = await self._watch_again(take, step, log)
                case AwaitOtherRun():
                    await self._outwait(take)
                    state = None
                case _:
                    assert_never(step)
            if state is State.COMPLETED:
                break  # nothing more can be known, so the ledger is not asked
            record = await self._find(take)
        self.release([take])

    def _next_step(self, record: Record | None, after: Step | None) -> Step:
        if record is None:
            return next_step(TakeStatus(None), None, self.config.policy, after)
        return next_step(record.take_status, record.submitted, self.config.policy, after)

    def _is_agreed(self, take: Take) -> bool:
        return self.config.agreed is None or take.fingerprint in self.config.agreed

    async def _watch_again(self, take: Take, step: Watch, log: Log) -> State | None:
        """Poll what an earlier run, another run, or this one without knowing it, has submitted."""
        if step.is_ours and not self.progress.is_open_here(take.fingerprint):
            self.progress.submitted(take.fingerprint)  # its reply was lost, then found
        found = step.submitted
        async with self._throttle.resumed() as leave:
            state = await self._poller.poll_until_final(
                take, found.attempt_id, found.prediction_id, log, _age_s(found), is_over=leave
            )
            await self._follow_up(take, state)
            return state

    async def _follow_up(self, take: Take, state: State | None) -> None:
        """Do what follows from the end of a take."""
        if state is State.COMPLETED:
            self._completed(take)
        elif state is State.FAILED:
            await self._forget_unreachable(take)

    async def _forget_unreachable(self, take: Take) -> None:
        """Forget the upload of a still that WaveSpeed could not fetch: the next take that needs it uploads it again."""
        if not take.shot.is_local or self._forget_upload is None:
            return
        record = await self._find(take)
        if record is not None and record.error_code == UNREACHABLE:
            url = await self._forget_upload(take.shot.still, record.attempt_id)
            self._requests.forget_upload(take.shot.still, url)

    async def _outwait(self, take: Take) -> None:
        """Wait until another run has submitted the take, but not for ever: that run may have been stopped."""
        until, wait_s = self._now() + self._client.submit_deadline_s + THEIRS_GRACE_S, 0.2
        while self._now() < until:
            await self.stop_signal.sleep(wait_s)
            record = await self._find(take)
            if record is None or record.state is not State.SUBMITTING:
                return
            wait_s = min(1.5 * wait_s, 5.0)

    async def _find(self, take: Take) -> Record | None:
        found = await self._ledger.look_up([take.fingerprint], self.config.run_id)
        return found.get(take.fingerprint)

    async def _buy_and_watch(self, take: Take, log: Log) -> State | None:
        """Wait for a slot and a start, submit once, then watch."""
        async with self._throttle.slot() as leave:
            await self._make_ready(take)
            bought: Submitted | Buy | None = Buy()
            while isinstance(bought, Buy):
                asked_at = self._now()
                start = await self._throttle.start()
                if not self._requests.is_ready(take, waited_s=self._now() - asked_at):
                    self._throttle.unsent(start)
                    await self._make_ready(take)
                    continue
                submission = asyncio.create_task(self._submit(take, start, log))
                try:
                    bought = await asyncio.shield(submission)
                except asyncio.CancelledError:
                    await asyncio.wait([submission])  # from intent to id nothing may interrupt
                    raise
            if bought is None:
                return None
            log(f"{take.name}: submitted as {bought.prediction_id}")
            self.progress.submitted(take.fingerprint, self._now())
            state = await self._poller.poll_until_final(
                take, bought.attempt_id, bought.prediction_id, log, is_over=leave
            )
            await self._follow_up(take, state)
            return state

    async def _make_ready(self, take: Take) -> None:
        """Do what a submission needs and what may take long or fail: the API's time, the upload, a fresh price.

        If the still cannot be sent, or the key is refused, nothing more is bought.

        Raises:
            TryLaterError: the API is away.
        """
        try:
            await self._client.learn_time()
            await self._requests.make_ready(take)
        except (NeverAgainError, LocationError) as error:
            self.stop_signal.stop_buying(str(error))

    async def _submit(self, take: Take, start: Block, log: Log) -> Submitted | Buy | None:
        """Intent, POST, receipt, id: each durable before the next.

        Returns `Buy` if it may be submitted again at once, None if only the ledger knows what follows.

        Raises:
            ApiBusyError, ApiUnreachableError: nothing was bought, and it may go again later.
            BudgetError: the rest of the budget is too small.
            LedgerError: the ledger can't be written; nothing more is bought.
        """
        has_left = False
        try:
            async with self._receipts.entry() as entry:
                intent, inputs = self._requests.intent(take), self._requests.inputs(take)
                intended = await self._ledger.intend(intent)
                attempt_id, self.progress.reserved = intended.attempt_id, intended.reserved
                if not self.stop_signal.is_buying:
                    await self._record(entry, attempt_id, Unsent("the run stopped before it was sent"))
                    return Buy()  # there is no start any more
                has_left = True
                reply = await self._client.submit(take.shot.model, inputs)
                await self._keep(entry, attempt_id, intent.nonce, reply)
                outcome = classify(reply)
                return await self._conclude(entry, take, attempt_id, start, outcome, log)
        except TakenError:
            return None  # another run was faster; what it does with the take is seen next
        finally:
            if not has_left:
                self._throttle.unsent(start)

    async def _keep(self, entry: Entry, attempt_id: int, nonce: str, reply: Reply | NoReply) -> None:
        """Put a reply into its receipt. Where even that fails, the ledger is the reply's only home: buy no more."""
        if isinstance(reply, NoReply):
            return
        try:
            await entry.keep(attempt_id, nonce, reply.status, reply.body)
        except OSError as error:
            self.stop_signal.stop_buying(f"receipts {self._receipts.path}: cannot be written ({error.strerror})")

    async def _conclude(  # noqa: PLR0913, PLR0917 - one submission, and its outcome
        self, entry: Entry, take: Take, attempt_id: int, start: Block, outcome: Outcome, log: Log
    ) -> Submitted | Buy | None:
        """Record an outcome in the ledger, then in progress and log; tell the throttle of the start in any case.

        Returns and raises as `_submit` does.
        """
        throttle, key = self._throttle, take.fingerprint
        async with contextlib.AsyncExitStack() as in_any_case:
            match outcome:
                case Accepted():
                    in_any_case.push_async_callback(throttle.replied, start)
                    return await self._bind(entry, take, attempt_id, outcome)
                case Unsent():
                    in_any_case.callback(throttle.unsent, start)
                    await self._record(entry, attempt_id, outcome)
                    raise ApiUnreachableError(outcome.message)
                case Busy():
                    in_any_case.push_async_callback(throttle.refused, start, outcome.retry_after_s)
                    await self._record(entry, attempt_id, outcome)
                    if throttle.refusals >= MOST_REFUSALS_IN_A_ROW:
                        raise ApiBusyError(outcome.message, outcome.retry_after_s)
                    log(f"{take.name}: {outcome.message}; waiting")
                    return Buy()
                case AccountRefused():
                    self.stop_signal.refuse_account(outcome.message, polls=True)
                    in_any_case.push_async_callback(throttle.replied, start)
                    await self._record(entry, attempt_id, outcome)
                case ProxyRefused():
                    self.stop_signal.stop_buying(outcome.message)
                    in_any_case.callback(throttle.unsent, start)
                    await self._record(entry, attempt_id, outcome)
                case Refused():
                    in_any_case.push_async_callback(throttle.replied, start)
                    await self._record(entry, attempt_id, outcome)
                    self.progress.settled(key, outcome.state)
                    log(f"{take.name}: rejected ({outcome.message})")
                case Unknown():
                    in_any_case.push_async_callback(throttle.replied, start)
                    await self._record(entry, attempt_id, outcome)
                    self.progress.settled(key, outcome.state)
                    self._warn(f"{take.name}: unknown whether it was bought ({outcome.message})")
                case _:
                    assert_never(outcome)
        return None

    async def _bind(self, entry: Entry, take: Take, attempt_id: int, accepted: Accepted) -> Submitted | None:
        """Make the id durable; None if it is another take's, which leaves both `held`: nothing to watch."""
        with self._recording(entry):
            is_bound = await self._ledger.accept(attempt_id, accepted)
        if is_bound:
            return Submitted(attempt_id, accepted.prediction_id, datetime.now(UTC))
        self.progress.settled(take.fingerprint, State.HELD)
        self._warn(f"{take.name}: held, its prediction {accepted.prediction_id} belongs to another take")
        return None

    async def _record(self, entry: Entry, attempt_id: int, outcome: NotAccepted) -> None:
        """Make an outcome without an id durable."""
        arguments = (outcome.state, outcome.code, outcome.message, self._client.clock.latest())
        with self._recording(entry):
            self.progress.reserved = await self._ledger.conclude(attempt_id, *arguments)

    @contextlib.contextmanager
    def _recording(self, entry: Entry) -> Generator[None]:
        """Free the entry once the ledger has the outcome. If it cannot be written, the reply stays; buy no more."""
        try:
            yield
        except LedgerError as error:
            self.stop_signal.stop_buying(f"{error}. The API's reply is in {self._receipts.path}")
            raise
        entry.settle()


def _age_s(submitted: Submitted) -> float:
    """Seconds since then by this machine's clock, which decides no more than when to poll; above 0."""
    age_s = (datetime.now(UTC) - submitted.submitted_at).total_seconds() if submitted.submitted_at else 0.0
    return max(age_s, 0.001)


def _silent(_line: str) -> None:
    """Log nothing: for batches too large to follow take by take."""
