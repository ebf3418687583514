"""Drives takes through ledger, client and pace: the one async loop of a run.

One `Shoot` is shared by all batches of a process. It never decides what may be bought (`takes` does), nor when
(`pacing` does), and it never sends what the ledger has not committed first.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import assert_never

from animatic.buying.ends import SILENT, End, Log, TakeLog, silent
from animatic.buying.polling.poller import UNREACHABLE, Poller
from animatic.buying.request import Requests, Upload
from animatic.buying.submissions import Submissions
from animatic.errors import (
    BudgetError,
    FileRefusedError,
    LedgerError,
    LocationError,
    NeverAgainError,
    SourceError,
    TryLaterError,
)
from animatic.ledger import LedgerRun, Record
from animatic.machine.waiting import Stopped, StopSignal
from animatic.pace.throttle import Throttle
from animatic.planning.config import RunConfig
from animatic.progress import Progress
from animatic.takes.logged import logged, note_prediction
from animatic.takes.shots import Take
from animatic.takes.states import (
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
from animatic.wavespeed.client import WaveSpeedClient

LEAST_AT_HAND = 50
"""Minimum number of takes kept waiting, so that a freed slot never stays empty."""

LOOK_UP_S = 1.0
THEIRS_GRACE_S = 30.0
"""Seconds that another run's submission may be late before its take is left to the next run."""


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
        self._warn = warn or silent
        self._client = client
        self._ledger = run.ledger
        self._now = asyncio.get_running_loop().time
        self._poller = Poller(config, client, run.ledger, self.stop_signal, progress, self._warn)
        account = run.account(config.provider, config.limits)
        self._throttle = Throttle(account, self.stop_signal, self._poller.queued_ahead, progress.meters)
        self._at_hand: set[str] = set()
        self._came_to_rest = asyncio.Event()
        self._requests = Requests(config, client, upload, self._warn)
        self._submissions = Submissions(
            client, run, self._requests, self._throttle, self.stop_signal, progress, self._warn
        )
        self._forget_upload, self._completed = forget_upload, completed

    async def prepare(self) -> None:
        """Learn from the ledger how long takes lately were, and from the API what time it is there."""
        await self._client.learn_time()
        await self._poller.learn()

    def know_uploads(self, urls: Mapping[str, str]) -> None:
        """Remember where uploaded stills are, by what identifies them (`sha256:…`)."""
        self._requests.know_uploads(urls)

    def know_upload(self, identity: str, url: str) -> None:
        """Remember where one is, and let takes that wait for it go on."""
        self._requests.know_uploads({identity: url})
        self._requests.end_uploads([identity])

    def await_uploads(self, identities: Sequence[str]) -> None:
        """Let takes wait for uploads that are on their way, before they ask for a slot."""
        self._requests.await_uploads(identities)

    def end_uploads(self, identities: Sequence[str]) -> None:
        """Let takes wait for these uploads no more, whatever has become of them."""
        self._requests.end_uploads(identities)

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

    async def shoot(self, takes: Sequence[Take], log: TakeLog = SILENT) -> list[End]:
        """Bring each take to its end, or as far as this run may; return the ends. Its outcome is in the ledger.

        Safe to call again with the same takes: the ledger is asked first.

        Raises:
            TryLaterError: some takes could not be sent because the API is away; the others are done.
            LedgerError: the ledger can't be written; nothing more was sent.
        """
        records = await self._ledger.look_up([take.fingerprint for take in takes], self.config.run_id)
        ends = await asyncio.gather(
            *(self._see_through(take, records.get(take.fingerprint), log) for take in takes),
            return_exceptions=True,
        )
        with contextlib.suppress(LedgerError):  # the next operation that needs the ledger raises it
            await self._throttle.flush()
        problems = [end for end in ends if isinstance(end, BaseException)]
        for problem in sorted(problems, key=lambda error: isinstance(error, TryLaterError)):
            raise problem  # what may pass comes last, so that it is raised only if nothing else is wrong
        return [end for end in ends if isinstance(end, End)]

    async def close(self) -> None:
        """Give back to the other runs what the account would have allowed this one."""
        with contextlib.suppress(LedgerError):
            await self._throttle.close()

    async def _see_through(self, take: Take, record: Record | None, log: TakeLog) -> End:
        """Buy and watch one take until there is nothing more to do for it in this run."""
        logged(take)
        try:
            return await self._make_steps(take, record, log)
        except Stopped:
            return End(None, self.stop_signal.reason or "")
        except BudgetError as error:
            self.stop_signal.stop_spending(str(error), str(error).partition(":")[0])
            self.progress.spent = str(error)
            return End(None, str(error))
        except SourceError as error:
            self._warn(str(error))
            return End(None, str(error))
        except TryLaterError:
            raise
        except LedgerError as error:
            self.stop_signal.stop_buying(str(error))
            raise
        except Exception:
            self.stop_signal.stop_all(
                "an unexpected error"
            )  # else the takes that wait for this one would wait for ever
            raise

    async def _make_steps(self, take: Take, record: Record | None, log: TakeLog) -> End:
        step: Step | None = None
        while True:
            match step := self._next_step(record, step):
                case Done():
                    break
                case Buy() if not self._is_agreed(take):
                    problem = "not in the plan that was approved; run again to approve it"
                    log.line(f"{take.name}: {problem}")
                    return End(None, problem)
                case Buy():
                    state = await self._buy_and_watch(take, log)
                case Watch():
                    state = await self._watch_again(take, step, log)
                case AwaitOtherRun():
                    await self._await_other_run(take)
                    state = None
                case _:
                    assert_never(step)
            if state is State.COMPLETED:
                self.release([take])
                return End(state)  # nothing more can be known, so the ledger is not asked
            record = await self._find(take)
        self.release([take])
        return _end_of(record)

    def _next_step(self, record: Record | None, after: Step | None) -> Step:
        if record is None:
            return next_step(TakeStatus(None), None, self.config.policy, after)
        take_status = record.take_status
        if self.config.renewals.get(record.fingerprint) == record.attempt_id:
            take_status = replace(take_status, is_changed=True)
        return next_step(take_status, record.submitted, self.config.policy, after)

    def _is_agreed(self, take: Take) -> bool:
        return self.config.agreed is None or take.fingerprint in self.config.agreed

    async def _watch_again(self, take: Take, step: Watch, log: TakeLog) -> State | None:
        """Poll what an earlier run, another run, or this one without knowing it, has submitted."""
        log.started()
        if step.is_ours and not self.progress.is_open_here(take.fingerprint):
            self.progress.submitted(take.fingerprint)  # its reply was lost, then found
        found = step.submitted
        note_prediction(found.prediction_id)
        async with self._throttle.resumed() as leave:
            state = await self._poller.poll_until_final(
                take, found.attempt_id, found.prediction_id, log.line, _age_s(found), is_over=leave
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
        """Forget the uploads of a take that WaveSpeed could not fetch: the next that needs one uploads it again."""
        if not take.shot.paths or self._forget_upload is None:
            return
        record = await self._find(take)
        if record is not None and record.error_code == UNREACHABLE:
            for identity in take.shot.paths:
                url = await self._forget_upload(identity, record.attempt_id)
                self._requests.forget_upload(identity, url)

    async def _await_other_run(self, take: Take) -> None:
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

    async def _buy_and_watch(self, take: Take, log: TakeLog) -> State | None:
        """Wait for a slot and a start, submit once, then watch. A take with a file that the API refuses is rejected."""
        try:
            return await self._buy_and_poll(take, log)
        except FileRefusedError as error:
            await self._submissions.reject(take, error)
            log.line(f"{take.name}: rejected ({error})")
            return None

    async def _buy_and_poll(self, take: Take, log: TakeLog) -> State | None:
        for upload in self._requests.uploads_awaited(take):  # with no slot in hand, which others could use
            await self.stop_signal.wait(upload, to_buy=True)
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
                log.started()
                submission = asyncio.create_task(self._submissions.submit(take, start, log.line))
                try:
                    bought = await asyncio.shield(submission)
                except asyncio.CancelledError:
                    await asyncio.wait([submission])  # from intent to id nothing may interrupt
                    raise
            if bought is None:
                return None
            note_prediction(bought.prediction_id)
            log.line(f"{take.name}: submitted as {bought.prediction_id}")
            self.progress.submitted(take.fingerprint, self._now())
            state = await self._poller.poll_until_final(
                take, bought.attempt_id, bought.prediction_id, log.line, is_over=leave
            )
            await self._follow_up(take, state)
            return state

    async def _make_ready(self, take: Take) -> None:
        """Do what a submission needs and what may take long or fail: the API's time, the upload, a fresh price.

        If the still cannot be sent, or the key is refused, nothing more is bought.

        Raises:
            TryLaterError: the API is away.
            FileRefusedError: the API refuses a file of the take.
        """
        try:
            await self._client.learn_time()
            await self._requests.make_ready(take)
        except FileRefusedError:
            raise
        except (NeverAgainError, LocationError) as error:
            self.stop_signal.stop_buying_for(error)


def _age_s(submitted: Submitted) -> float:
    """Seconds since then by this machine's clock, which decides no more than when to poll; above 0."""
    age_s = (datetime.now(UTC) - submitted.submitted_at).total_seconds() if submitted.submitted_at else 0.0
    return max(age_s, 0.001)


def _end_of(record: Record | None) -> End:
    """Return the end that the ledger has of a take with nothing more to do."""
    return End(None) if record is None else End(record.state, record.error or "")
