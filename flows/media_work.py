"""Work on one batch of clips: taken in the ledger, archived, checked, and ended there."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from logging import WARNING

from prefect.runtime import flow_run

from animatic.errors import AnimaticError, LedgerError, SettingsError
from animatic.ledger import Ledger, LedgerRun, look_into
from animatic.media.archive import Archive, ClipBatch, Output
from animatic.media.batches import outputs_in, paths_in, require_same_folder
from animatic.media.clip_checks import CheckBatch, ClipChecks
from animatic.media.clip_names import ClipName
from animatic.media.local_stills import LocalStills
from animatic.progress import ArchiveProgress, ChecksProgress
from animatic.storage.folder import Folder
from animatic.takes.media_batches import BatchCounts, BatchState, MediaBatch
from flows.asking import open_asking
from flows.checking import Checking
from flows.interrupts import Interrupts
from flows.progress_words import archive_in_words, checks_in_words
from flows.session import Session
from tasks.archive import archive_clips
from tasks.begun import begin
from tasks.checks import check_clips
from tasks.logs import line_logger

WRITES_EVERY_S = 10.0
ARCHIVED_AT_ONCE = 5
"""Clips of one task run: the first are checked while the next come in."""

CHECKS_WITHIN_S = 3_600.0


@dataclass(frozen=True, slots=True)
class MediaEnd:
    """End of the work on a batch, with a sentence for people."""

    words: str
    state: BatchState = BatchState.DONE
    has_failures: bool = False


@dataclass(slots=True)
class _Work:
    """A batch that this run holds.

    Attributes:
        is_archived: every clip is in the archive, or could not be put there.
        is_lost: another worker has it now.
        stop: gives up what is under way.
    """

    run: LedgerRun
    batch: MediaBatch
    session: Session
    archive: ArchiveProgress = field(default_factory=ArchiveProgress)
    checks: ChecksProgress = field(default_factory=ChecksProgress)
    is_archived: bool = False
    is_lost: bool = False
    stop: Callable[[str], None] = lambda _: None

    @property
    def ledger(self) -> Ledger:
        """The open ledger."""
        return self.run.ledger

    @property
    def counts(self) -> BatchCounts:
        """How far it is."""
        archive, checks = self.archive, self.checks
        return BatchCounts(
            self.is_archived,
            *(archive.kept, archive.failed, archive.received_bytes),
            *(checks.total, checks.done, checks.failing, checks.unread),
        )

    def give_up(self, reason: str) -> None:
        """Give up what is under way."""
        self.stop(reason)

    async def note(self) -> None:
        """Write down how far it is, and stop where that shows that it is another worker's."""
        if not self.is_lost and not await self.ledger.batches.note(self.batch.batch_id, self.run.run_id, self.counts):
            self.is_lost = True
            self.stop("another worker has the batch now")


async def carry_out(batch_id: str, session: Session, interrupts: Interrupts) -> MediaEnd:
    """Take a batch, if no live worker has it, and work on it to its end.

    Raises:
        SettingsError: there is no such batch in this ledger, or it was bought elsewhere.
        LedgerError: the ledger cannot be read or written.
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
        async with ledger.run(session.run_id, batch.archive, flow_run.id) as run:
            return await _take_up(_Work(run, batch, session), interrupts)


async def _take_up(work: _Work, interrupts: Interrupts) -> MediaEnd:
    """Take the batch, work on it, and end it or give it back."""
    ledger, batch, run_id = work.ledger, work.batch, work.run.run_id
    if batch.state in {BatchState.DONE, BatchState.FAILED}:
        return MediaEnd(f"the batch is {batch.state} already")
    is_held = batch.state is BatchState.TAKEN and batch.holder is not None
    if (is_held and ledger.is_alive(str(batch.holder))) or not await ledger.batches.take(batch, run_id):
        return MediaEnd("another worker has the batch")
    state, problem = BatchState.DONE, ""
    try:
        async with interrupts.obeyed(work.give_up), _writing(work):
            problem = await _see_through(work)
    except LedgerError:
        raise
    except Exception as error:  # noqa: BLE001 - the run that handed it over hears of it, and does the work itself
        state = BatchState.FAILED
        problem = str(error) if isinstance(error, AnimaticError) else f"{type(error).__name__} on a media worker"
    if work.is_lost:
        return MediaEnd("another worker has taken the batch over")
    if interrupts.is_stopped and state is BatchState.DONE:
        await ledger.batches.give_back(
            replace(batch, state=BatchState.TAKEN, holder=run_id, times_taken=batch.times_taken + 1)
        )
        return MediaEnd("stopped; another worker goes on")
    await ledger.batches.end(batch.batch_id, run_id, state, work.counts, problem.partition("\n")[0])
    if state is BatchState.FAILED:
        return MediaEnd(problem, state)
    has_failures = bool(work.archive.failed or work.checks.unread)
    return MediaEnd(f"{archive_in_words(work.archive)}, {checks_in_words(work.checks)}", state, has_failures)


async def _see_through(work: _Work) -> str:
    """Archive the clips, each group checked as soon as it is there; return why nothing more could be archived.

    Raises:
        LocationError: the archive is not to be reached from here.
        LedgerError: the ledger cannot be read or written.
    """
    batch, settings, warn = work.batch, work.session.settings, line_logger(WARNING)
    folder = Folder(batch.archive)
    await asyncio.to_thread(require_same_folder, folder, batch)
    outputs = await outputs_in(work.ledger, batch)
    work.archive.total = len(outputs)
    async with AsyncExitStack() as stack:
        archive = Archive(
            folder,
            ClipName(batch.clip_name),
            work.ledger,
            run_id=work.run.run_id,
            ask=await stack.enter_async_context(open_asking(settings)),
            warn=warn,
            progress=work.archive,
            origin=settings.base_url,
            network=settings.network,
            is_listed=False,
        )
        await stack.enter_async_context(archive)
        paths = paths_in(batch)
        checking = Checking(
            work.ledger,
            settings,
            work.checks,
            archive=folder.uri,
            see=_check,
            local=LocalStills(batch.stills, settings.network),
            paths=lambda _: paths,
        )
        stack.push_async_callback(checking.close)

        def stop(reason: str) -> None:
            archive.stop(f"not archived: {reason}")
            checking.stop()

        work.stop = stop
        await asyncio.gather(*(_archive(some, archive, checking) for some in _groups(outputs)))
        work.is_archived = True
        await work.note()
        await checking.check_rest([], within_s=CHECKS_WITHIN_S)
        return work.archive.problem


async def _archive(outputs: Sequence[Output], archive: Archive, checking: Checking) -> None:
    await begin(archive_clips(ClipBatch(outputs), archive))
    checking.archived(list(dict.fromkeys(output.identity.fingerprint for output in outputs)))


async def _check(batch: CheckBatch, checks: ClipChecks) -> None:
    await begin(check_clips(batch, checks))


def _groups(outputs: Sequence[Output]) -> list[Sequence[Output]]:
    return [outputs[start : start + ARCHIVED_AT_ONCE] for start in range(0, len(outputs), ARCHIVED_AT_ONCE)]


@asynccontextmanager
async def _writing(work: _Work) -> AsyncGenerator[None]:
    """Write down every few seconds how far the work is, for the length of the block."""

    async def write() -> None:
        while True:
            await asyncio.sleep(WRITES_EVERY_S)
            with suppress(LedgerError):  # the next time, or the end of the batch, says so
                await work.note()

    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        writing.cancel()
        await asyncio.wait({writing})
