"""Media workers of a run: batches of clips are handed to a deployment, watched in the ledger, and taken back.

Nothing waits for a worker that is not there: without one the run does the work itself, as it does without a deployment.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import DeploymentStatus
from prefect.exceptions import ObjectNotFound

from animatic import storage
from animatic.media.archive import Output
from animatic.media.batches import as_take, outputs_in
from animatic.storage.folder import Folder
from animatic.takes.media_batches import (
    SILENT_S,
    UNTAKEN_S,
    BatchCounts,
    BatchState,
    Fate,
    MediaBatch,
    fate_of,
    in_batches,
)
from animatic.takes.shots import Take
from flows.media_runs import ASKS_WITHIN_S, MediaRuns
from flows.run import Run

LOOKS_EVERY_S = 2.0
ASKS_AGAIN_AFTER_S = 30.0
"""Time for which the reply of Prefect counts: there are workers, or none."""

SHUNS_FOR_S = 300.0
"""Time for which nothing is handed to workers that could not do it."""

TAKEN_WITHIN_S = 1.5
"""Time in which a worker that has just ended another batch takes one that waits; a flow run is started after it."""

ArchiveHere = Callable[[Sequence[Output]], Awaitable[None]]
"""Archives outputs in this process."""


@dataclass(slots=True)
class _Handed:
    """A batch that was handed over.

    Attributes:
        at: the moment of that, of the monotonic clock.
        counts: as last seen.
        is_here: this run works on it now.
    """

    at: float = field(default_factory=monotonic)
    counts: BatchCounts = field(default_factory=BatchCounts)
    is_here: bool = False


class MediaPool:
    """Hands clips of one run to the workers of a deployment. Close it at the end.

    Args:
        deployment: as FLOW/NAME.
        archive_here: archives what no worker does.
    """

    def __init__(self, run: Run, deployment: str, folder: Folder, archive_here: ArchiveHere) -> None:
        self._run, self._deployment, self._folder, self._archive_here = run, deployment, folder, archive_here
        self._runs = MediaRuns(deployment)
        self._batches, self._progress = run.ledger.batches, run.session.progress
        self._handed: dict[str, _Handed] = {}
        self._number, self._warned = 0, set[str]()
        self._is_served, self._counts_until = False, 0.0
        self._stopped, self._changed = asyncio.Event(), asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._working = set[asyncio.Task[None]]()

    async def hand_over(self, takes: Sequence[Take], outputs: Sequence[Output]) -> Sequence[Output]:
        """Hand completed takes and their outputs to workers; return the outputs that are left to this run.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        if not outputs or self._stopped.is_set() or not await self._has_workers():
            return outputs
        versions = {output.identity.fingerprint: output.identity.version for output in outputs}
        members = [as_take(take, versions[take.fingerprint]) for take in takes if take.fingerprint in versions]
        try:
            mark = await asyncio.to_thread(self._folder.mark)
        except OSError as error:
            self._shun(f"archive {self._folder.place}: cannot be written: {error.strerror}")
            return outputs
        for some in in_batches(members):
            self._number += 1
            run, settings = self._run, self._run.session.settings
            batch = MediaBatch(
                f"{run.session.run_id}-{self._number:04d}",
                run.session.run_id,
                settings.origin,
                self._folder.uri,
                mark,
                run.order.clip_name_template,
                storage.absolute_uri(run.stills.anchor),
                some,
            )
            await self._batches.hand_over(batch)
            self._handed[batch.batch_id] = _Handed()
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep_watching())
        return ()

    async def archived(self) -> None:
        """Wait until the clips of all batches are in the archive, or cannot be put there, or until `stop`.

        Raises:
            LedgerError: the ledger cannot be read or written.
        """
        await self._until(lambda: all(each.counts.is_archived for each in self._handed.values()))

    async def ended(self, within_s: float) -> bool:
        """Wait until all batches have ended, `stop`, or the time is over; tell if all have ended. Raises as above."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._until(lambda: not self._handed)
        return not self._handed

    def stop(self) -> None:
        """Watch no more. Workers go on with what they were handed."""
        self._stopped.set()
        self._changed.set()

    async def close(self) -> None:
        """End the watch."""
        self.stop()
        tasks = [*self._working, *([self._watch] if self._watch is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._handed:
            self._warn(f"{len(self._handed):,} batches of clips stay with the media workers, which go on with them")

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so() and not self._stopped.is_set():
            for task in [each for each in (self._watch, *self._working) if each is not None and each.done()]:
                task.result()  # before any wait: one that died long ago sets nothing any more
            self._changed.clear()
            await self._changed.wait()

    async def _has_workers(self) -> bool:
        """Tell if workers serve the deployment, as Prefect has it; its reply counts for a while."""
        if monotonic() >= self._counts_until:
            self._is_served, self._counts_until = await self._ask(), monotonic() + ASKS_AGAIN_AFTER_S
        return self._is_served

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(ASKS_WITHIN_S), get_client() as client:
                found = await client.read_deployment_by_name(self._deployment)
        except ObjectNotFound:
            self._warn(f"Prefect has no deployment {self._deployment}; this run archives and checks its clips itself")
            return False
        except Exception as error:  # noqa: BLE001 - whatever is wrong with Prefect, the run needs no worker
            self._warn(f"media workers cannot be asked for ({type(error).__name__}); this run does their work itself")
            return False
        return found.status == DeploymentStatus.READY and not found.paused

    async def _call_workers(self, found: Sequence[MediaBatch]) -> None:
        """Have flow runs started while batches wait; where that fails and no worker is there, work on them here.

        Args:
            found: the batches that are not over, as they stand in the ledger.
        """
        waiting = sorted((each for each in found if each.state is BatchState.WAITING), key=lambda each: each.batch_id)
        workers = {batch.holder for batch in found if batch.state is BatchState.TAKEN}
        late = [each for each in waiting if monotonic() - self._handed[each.batch_id].at >= TAKEN_WITHIN_S]
        try:
            await (self._runs.schedule(late, len(workers)) if waiting else self._runs.cancel_rest())
        except Exception as error:  # noqa: BLE001 - as above
            left = [batch for batch in late if not workers and not self._runs.is_started(batch)]
            if left:
                self._shun(f"{self._deployment} cannot be started ({type(error).__name__})")
            for batch in left:
                self._take_back(batch)

    async def _keep_watching(self) -> None:
        while not self._stopped.is_set():
            try:
                await self._look()
            finally:
                self._changed.set()
            await asyncio.sleep(LOOKS_EVERY_S)

    async def _look(self) -> None:
        """Look at all batches once, and do what each asks for."""
        watched = [batch_id for batch_id, handed in self._handed.items() if not handed.is_here]
        if not watched:
            self._show(0, 0)
            await self._call_workers(())
            return
        found = await self._batches.look_at(watched)
        quiet_s = await self._batches.quiet_s(self._run.session.settings.origin)
        holders = sorted({batch.holder for batch in found if batch.holder is not None})
        alive = await asyncio.to_thread(self._run.ledger.live_among, holders)
        for batch in found:
            handed = self._handed[batch.batch_id]
            self._count(handed, batch.counts)
            fate = fate_of(batch, monotonic() - handed.at, quiet_s, is_held_alive=batch.holder in alive)
            await self._do(fate, batch, handed)
        at_work = sum(batch.state is BatchState.TAKEN for batch in found)
        self._show(at_work, sum(batch.state is BatchState.WAITING for batch in found))
        await self._call_workers([each for each in found if self._is_away(each.batch_id)])

    async def _do(self, fate: Fate, batch: MediaBatch, handed: _Handed) -> None:
        match fate:
            case Fate.WAIT:
                pass
            case Fate.OVER:
                if batch.problem:
                    self._warn(f"media worker: {batch.problem}")
                del self._handed[batch.batch_id]
            case Fate.AGAIN:
                if await self._batches.give_back(batch):
                    handed.at = monotonic()
                    silent = f"nothing was heard of batch {batch.batch_id} for {SILENT_S:.0f} s"
                    self._warn(f"{silent}; the next free media worker has it")
            case Fate.HERE:
                if batch.state is BatchState.FAILED:
                    self._shun(batch.problem)
                elif batch.state is BatchState.WAITING:
                    self._shun(f"no media worker has done anything for {UNTAKEN_S:.0f} s")
                self._take_back(batch)

    def _is_away(self, batch_id: str) -> bool:
        """Tell if a batch is still with the workers."""
        return batch_id in self._handed and not self._handed[batch_id].is_here

    def _take_back(self, batch: MediaBatch) -> None:
        """Work on a batch in this process."""
        self._handed[batch.batch_id].is_here = True
        task = asyncio.create_task(self._work_here(batch))
        self._working.add(task)
        task.add_done_callback(lambda _: self._changed.set())

    async def _work_here(self, read: MediaBatch) -> None:
        """Take a batch as others would, unless one was faster, and archive its clips; checks follow."""
        handed, run_id = self._handed[read.batch_id], self._run.session.run_id
        batch = await self._batches.find(read.batch_id)
        if batch is None or not await self._batches.take(batch, run_id):
            handed.is_here, handed.at = False, monotonic()
            return
        self._count(handed, BatchCounts())
        await self._archive_here(await outputs_in(self._run.ledger, batch))
        await self._batches.end(batch.batch_id, run_id, BatchState.DONE, BatchCounts(is_archived=True))
        del self._handed[batch.batch_id]

    def _shun(self, reason: str) -> None:
        """Hand nothing over for a while."""
        self._is_served, self._counts_until = False, monotonic() + SHUNS_FOR_S
        self._warn(f"media workers: {reason}; this run archives and checks those clips itself")

    def _count(self, handed: _Handed, counts: BatchCounts) -> None:
        """Count what has changed of a batch since it was last seen."""
        before, archive, checks = handed.counts, self._progress.archive, self._progress.checks
        archive.kept += counts.kept - before.kept
        archive.failed += counts.failed - before.failed
        archive.received_bytes += max(counts.received_bytes - before.received_bytes, 0)  # begun anew, all of it counts
        checks.total += counts.checks - before.checks
        checks.done += counts.checked - before.checked
        checks.failing += counts.failing - before.failing
        checks.unread += counts.unread - before.unread
        handed.counts = counts

    def _show(self, at_work: int, waiting: int) -> None:
        self._progress.archive.batches_at_work, self._progress.archive.batches_waiting = at_work, waiting

    def _warn(self, line: str) -> None:
        """Log a line for people, once."""
        if line not in self._warned:
            self._warned.add(line)
            self._run.warn(line)
