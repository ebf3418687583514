"""A flow run of media: works on the batch that it is given, then on others that wait, and ends after some time.

To start a flow run costs as much as the checks of some clips. So one that has archived its batch takes the next one of
the ledger: of any run of the same account, in the order that `animatic.takes.media_batches` says. It downloads those
clips while it checks those of the last batch, and holds no more than two batches.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from logging import WARNING
from time import monotonic
from typing import Any, TypeVar

from prefect.deployments import arun_deployment
from prefect.runtime import flow_run

from animatic.errors import LocationError, SettingsError
from animatic.ledger import Ledger, LedgerRun, look_into
from animatic.media.batches import require_same_folder
from animatic.progress import ArchiveProgress, ChecksProgress
from animatic.storage.folder import Folder
from animatic.takes.media_batches import (
    MOST_HELD,
    Backlog,
    BatchState,
    MediaBatch,
    goes_on,
    is_free,
    is_orphan,
    may_take_ahead,
    next_batch,
    runs_of_others,
)
from flows.interrupts import Interrupts
from flows.media_work import BatchWork, MediaTools, carry_out, open_media_tools
from flows.progress_words import archive_in_words, checks_in_words
from flows.session import Session
from tasks.deployment import deployment_id
from tasks.logs import line_logger

Counts = TypeVar("Counts", ArchiveProgress, ChecksProgress)

LOOKS_EVERY_S = 1.0
WAITS_FOR_MORE_S = 20.0
"""Time without a batch after which a flow run ends: clips that wait for others make a batch after half of it."""

STARTS_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class MediaEnd:
    """End of a flow run, with a sentence for people."""

    words: str
    is_failed: bool = False
    has_failures: bool = False


async def work_through(batch_id: str, session: Session, interrupts: Interrupts) -> MediaEnd:
    """Work on a batch to its end, if no live worker has it, then on others that wait.

    Raises:
        SettingsError: there is no such batch in this ledger, or it was bought elsewhere.
        LedgerError: the ledger cannot be read or written.
        OSError: there is no folder for copies of clips.
    """
    settings = session.settings
    with look_into(settings.ledger) as ledger:
        batch = None if ledger is None else await ledger.batches.find(batch_id)
        if ledger is None or batch is None:
            raise SettingsError(
                f"batch: found no {batch_id} in the ledger; allowed: one that was handed over in the last 7 days. "
                "A media worker needs the ANIMATIC_LEDGER of the runs that hand batches over"
            )
        if batch.provider != settings.origin:
            raise SettingsError(
                f"batch {batch_id}: it was bought at {batch.provider}, and this worker is at {settings.origin}; give "
                "it the same WAVESPEED_BASE_URL and ANIMATIC_ACCOUNT, or the same block of credentials"
            )
        running = ledger.run(session.run_id, batch.archive, flow_run.id)
        async with running as run, open_media_tools(settings) as tools:
            backlog = _Backlog(run, session, tools, interrupts)
            async with interrupts.obeyed(backlog.stop):
                return await backlog.work_through(batch)


class _Backlog:
    """The batches that one flow run takes: the clips of one are downloaded while those of the last one are checked."""

    def __init__(self, run: LedgerRun, session: Session, tools: MediaTools, interrupts: Interrupts) -> None:
        self._run, self._session, self._tools, self._interrupts = run, session, tools, interrupts
        self._provider = session.settings.origin
        self._began, self._changed = monotonic(), asyncio.Event()
        self._is_stopped = False
        self._taken: list[BatchWork] = []
        self._held: dict[asyncio.Task[None], BatchWork] = {}
        self._passed_over = set[str]()

    def stop(self, reason: str) -> None:
        """Give up what is under way, and take no further batch."""
        self._is_stopped = True
        for work in self._held.values():
            work.give_up(reason)
        self._changed.set()

    async def work_through(self, first: MediaBatch) -> MediaEnd:
        """Work on a batch, unless another worker has it, and on those that follow."""
        batch: MediaBatch | None = first if await _is_left(self._run.ledger, first) else await self._next()
        try:
            while batch is not None:
                if await self._run.ledger.batches.take(batch, self._run.run_id):
                    self._begin(batch)
                batch = await self._next()
            while self._held:
                await self._wait()
        finally:
            for task in self._held:
                task.cancel()
            await asyncio.gather(*self._held, return_exceptions=True)
        return self._end(first)

    def _begin(self, batch: MediaBatch) -> None:
        work = BatchWork(
            *(self._run, batch, self._session.settings, self._tools, len(self._taken)), archived=self._changed.set
        )
        if self._is_stopped:
            work.give_up("stopped")
        task = asyncio.create_task(carry_out(work))
        task.add_done_callback(lambda _: self._changed.set())
        self._taken.append(work)
        self._held[task] = work

    async def _wait(self, within_s: float | None = None) -> None:
        """Wait until a batch is archived, or has ended, or `stop`. Raises what the work on a batch raised."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        self._changed.clear()
        for task in [task for task in self._held if task.done()]:
            del self._held[task]
            task.result()

    async def _next(self) -> MediaBatch | None:
        """Wait for the next batch; None where there is none for a while, or this flow run takes no more."""
        ledger = self._run.ledger
        until = monotonic() + (WAITS_FOR_MORE_S if self._taken else 0.0)
        while not self._is_stopped and self._failed is None:
            if self._held:
                until = monotonic() + WAITS_FOR_MORE_S
            if not self._has_room:
                await self._wait()
                continue
            backlog = await ledger.batches.backlog()
            others = sorted(runs_of_others(backlog, self._provider))
            others_wait = bool(await asyncio.to_thread(ledger.live_among, others))
            if not goes_on(monotonic() - self._began, others_wait=others_wait):
                of_account = [each for each in backlog.batches if each.provider == self._provider]
                await self._hand_on([each for each in of_account if is_free(each)])
                return None
            batch = await self._find(backlog)
            if batch is not None or (monotonic() >= until and not self._held):
                return batch
            await self._wait(LOOKS_EVERY_S)
        return None

    @property
    def _has_room(self) -> bool:
        """Tell if another batch may be begun: one that is held is being checked."""
        return len(self._held) < MOST_HELD and all(work.is_archived for work in self._held.values())

    @property
    def _failed(self) -> BatchWork | None:
        return next((work for work in self._taken if work.state is BatchState.FAILED), None)

    async def _find(self, backlog: Backlog) -> MediaBatch | None:
        """Return the batch that is next, with its takes; None where there is none for now."""
        if self._held and not may_take_ahead(backlog, self._provider):
            return None
        while (found := await self._choose(backlog)) is not None:
            if await _is_within_reach(found):
                batch = await self._run.ledger.batches.find(found.batch_id)
                if batch is None or not (is_free(batch) or batch.holder == found.holder):
                    return None  # another worker was faster
                return None if self._has_takes_of(batch) else batch
            self._passed_over.add(found.batch_id)
        return None

    async def _choose(self, backlog: Backlog) -> MediaBatch | None:
        """Return the next batch; once nothing else is left, one whose worker and run are dead: no run gives it back."""
        free = next_batch(backlog, self._provider, self._passed_over)
        if free is not None or self._held:
            return free
        left = [each for each in backlog.batches if each.provider == self._provider]
        left = [each for each in left if each.batch_id not in self._passed_over]
        runs = sorted({run_id for each in left for run_id in (each.run_id, each.holder) if run_id is not None})
        live = await asyncio.to_thread(self._run.ledger.live_among, runs)
        return next((each for each in left if is_orphan(each, live.__contains__)), None)

    def _has_takes_of(self, batch: MediaBatch) -> bool:
        """Tell if a batch shares takes with one that is held: each clip is fetched and checked once at a time."""
        held = {take.fingerprint for work in self._held.values() for take in work.batch.takes}
        return any(take.fingerprint in held for take in batch.takes)

    async def _hand_on(self, free: Sequence[MediaBatch]) -> None:
        """Start the next flow run for batches of a run that has ended and starts none; a live run does it itself."""
        live = await asyncio.to_thread(self._run.ledger.live_among, [each.run_id for each in free])
        left = next((each for each in free if each.run_id not in live), None)
        deployment = deployment_id()
        if left is None or deployment is None:
            return
        parameters = {**(flow_run.parameters or {}), "batch": left.batch_id}
        key = f"animatic-media-after-{flow_run.id}"
        try:
            async with asyncio.timeout(STARTS_WITHIN_S):
                await arun_deployment(
                    deployment, parameters=parameters, idempotency_key=key, as_subflow=False, timeout=0
                )
        except Exception as error:  # noqa: BLE001 - the next run of that manifest hands its clips over again
            line_logger(WARNING)(f"no flow run could be started for the batches that wait: {type(error).__name__}")

    def _end(self, first: MediaBatch) -> MediaEnd:
        if self._failed is not None:
            return MediaEnd(self._failed.problem, is_failed=True)
        if self._is_stopped:
            return MediaEnd("stopped; another worker goes on")
        ended = [work for work in self._taken if work.state is BatchState.DONE]
        if not ended:
            if self._taken:
                return MediaEnd("another worker has taken the batch over")
            is_over = first.state in {BatchState.DONE, BatchState.FAILED}
            return MediaEnd(f"the batch is {first.state} already" if is_over else "another worker has the batch")
        archive, checks = _total([work.archive for work in ended]), _total([work.checks for work in ended])
        words = f"{archive_in_words(archive)}, {checks_in_words(checks)}"
        if len(ended) > 1:
            words = f"{len(ended):,} batches: {words}"
        return MediaEnd(words, has_failures=bool(archive.failed or checks.unread))


async def _is_left(ledger: Ledger, batch: MediaBatch) -> bool:
    """Tell if the batch that a flow run is given is free, or its worker is dead."""
    if batch.state is BatchState.TAKEN and batch.holder is not None:
        return not await asyncio.to_thread(ledger.is_alive, batch.holder)
    return batch.state is BatchState.WAITING


async def _is_within_reach(batch: MediaBatch) -> bool:
    """Tell if the folder of a batch is the same on this machine; one in a bucket shows that when it is worked on."""
    try:
        await asyncio.to_thread(require_same_folder, Folder(batch.archive), batch)
    except LocationError:
        return False
    return True


def _total(parts: Sequence[Counts]) -> Counts:
    """Add up the counts of batches, field by field; of problems, return the first."""

    def total(values: Sequence[Any]) -> Any:
        return sum(values) if isinstance(values[0], int) else next(filter(None, values), "")

    return type(parts[0])(*(total(values) for values in zip(*map(astuple, parts), strict=True)))
