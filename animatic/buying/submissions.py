"""Submissions: the one place that sends what may cost money, each step durable before the next."""

import asyncio
import contextlib
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import assert_never

from animatic.buying.request import Requests
from animatic.errors import ApiBusyError, ApiUnreachableError, FileRefusedError, LedgerError, TakenError
from animatic.errors.text import command
from animatic.ledger import Entry, LedgerRun
from animatic.machine.waiting import StopSignal
from animatic.pace.throttle import Block, Throttle
from animatic.progress import Progress
from animatic.takes.shots import Take
from animatic.takes.states import Buy, State, Submitted
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.outcomes import (
    Accepted,
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
from animatic.wavespeed.replies import Reply
from animatic.wavespeed.server_clock import unstopped_s

MOST_REFUSALS_IN_A_ROW = 20
SENT_WITHIN_S = 120.0
"""A submission that could not be sent within this time is not sent at all.

A process may stand still and lose its connection to a server. Other runs then take its run for dead, and prove after
some minutes that nothing was bought.
"""

Log = Callable[[str], None]


class Submissions:
    """Submissions of a run. Each take is sent when the throttle has granted it a start.

    Args:
        client, run, requests, throttle, stop_signal, progress: of the run.
        warn: gets what a person should read.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a run shares
        self,
        client: WaveSpeedClient,
        run: LedgerRun,
        requests: Requests,
        throttle: Throttle,
        stop_signal: StopSignal,
        progress: Progress,
        warn: Log,
    ) -> None:
        self._client, self._ledger, self._receipts = client, run.ledger, run.receipts
        self._requests, self._throttle = requests, throttle
        self._stop_signal, self._progress, self._warn = stop_signal, progress, warn

    async def submit(self, take: Take, start: Block, log: Log) -> Submitted | Buy | None:
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
                asked_s = unstopped_s()
                intended = await self._ledger.intend(intent)
                attempt_id, self._progress.reserved = intended.attempt_id, intended.reserved
                if not self._stop_signal.is_buying:
                    await self._record(entry, attempt_id, Unsent(self._why_unsent()))
                    return Buy()  # there is no start any more
                if unstopped_s() - asked_s > SENT_WITHIN_S:
                    await self._record(entry, attempt_id, Unsent("this process stood still before it was sent"))
                    return Buy()
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

    def _why_unsent(self) -> str:
        """Return the reason for a take that a stop kept back: a network that was away says more than the stop."""
        lost = self._progress.unreached_for(asyncio.get_running_loop().time())
        return "the run stopped before it was sent" if lost is None else lost[1]

    async def reject(self, take: Take, error: FileRefusedError) -> None:
        """Record that a take cannot be sent, since the API refuses a file of it. Nothing is sent."""
        with contextlib.suppress(TakenError):  # another run was faster
            async with self._receipts.entry() as entry:
                intended = await self._ledger.intend(self._requests.intent(take))
                await self._record(entry, intended.attempt_id, Refused(str(error), error.code))
            self._progress.finished(take.fingerprint, State.REJECTED)

    async def _keep(self, entry: Entry, attempt_id: int, nonce: str, reply: Reply | NoReply) -> None:
        """Put a reply into its receipt. Where even that fails, the ledger is the reply's only home: buy no more."""
        if isinstance(reply, NoReply):
            return
        try:
            await entry.keep(attempt_id, nonce, reply.status, reply.body)
        except OSError as error:
            self._stop_signal.stop_buying(f"receipts {self._receipts.path}: cannot be written ({error.strerror})")

    async def _conclude(  # noqa: PLR0913, PLR0917 - one submission, and its outcome
        self, entry: Entry, take: Take, attempt_id: int, start: Block, outcome: Outcome, log: Log
    ) -> Submitted | Buy | None:
        """Record an outcome in the ledger, then in progress and log; tell the throttle of the start in any case.

        Returns and raises as `submit` does.
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
                    self._progress.pace.refused(asyncio.get_running_loop().time())
                    await self._record(entry, attempt_id, outcome)
                    if throttle.refusals >= MOST_REFUSALS_IN_A_ROW:
                        raise ApiBusyError(outcome.message, outcome.retry_after_s)
                    log(f"{take.name}: {outcome.message}; waiting")
                    return Buy()
                case AccountRefused():
                    self._stop_signal.refuse_account(outcome.message, polls=True)
                    in_any_case.push_async_callback(throttle.replied, start)
                    await self._record(entry, attempt_id, outcome)
                case ProxyRefused():
                    self._stop_signal.stop_buying(outcome.message)
                    in_any_case.callback(throttle.unsent, start)
                    await self._record(entry, attempt_id, outcome)
                case Refused():
                    in_any_case.push_async_callback(throttle.replied, start)
                    await self._record(entry, attempt_id, outcome)
                    self._progress.finished(key, outcome.state)
                    log(f"{take.name}: rejected ({outcome.message})")
                case Unknown():
                    in_any_case.push_async_callback(throttle.replied, start)
                    await self._record(entry, attempt_id, outcome)
                    self._progress.finished(key, outcome.state)
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
        self._progress.finished(take.fingerprint, State.HELD)
        both = command("ledger", "show", take.fingerprint[:12])
        self._warn(
            f"{take.name}: held, its prediction {accepted.prediction_id} belongs to another take; see both: {both}"
        )
        return None

    async def _record(self, entry: Entry, attempt_id: int, outcome: NotAccepted) -> None:
        """Make an outcome without an id durable."""
        arguments = (outcome.state, outcome.code, outcome.message, self._client.clock.latest())
        with self._recording(entry):
            self._progress.reserved = await self._ledger.conclude(attempt_id, *arguments)

    @contextlib.contextmanager
    def _recording(self, entry: Entry) -> Generator[None]:
        """Free the entry once the ledger has the outcome. If it cannot be written, the reply stays; buy no more."""
        try:
            yield
        except LedgerError as error:
            self._stop_signal.stop_buying(f"{error}. The API's reply is in {self._receipts.path}")
            raise
        entry.settle()
