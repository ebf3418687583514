"""Work on one batch of clips: taken in the ledger, archived, checked, and ended there."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from logging import WARNING

from animatic.errors import AnimaticError, LedgerError
from animatic.ledger import Ledger, LedgerRun
from animatic.media.archive import Archive, Ask, ClipBatch, Output, in_groups
from animatic.media.batches import outputs_in, paths_in, require_same_folder
from animatic.media.clip_checks import CheckBatch, CheckTools, ClipChecks, open_tools
from animatic.media.clip_names import ClipName
from animatic.media.local_stills import LocalStills
from animatic.progress import ArchiveProgress, ChecksProgress
from animatic.storage.folder import Folder
from animatic.takes.media_batches import BatchCounts, BatchState, MediaBatch
from flows.asking import open_asking
from flows.checking import Checking
from flows.process import child_environment
from flows.settings import Settings
from tasks.archive import archive_clips
from tasks.begun import begin
from tasks.checks import check_clips
from tasks.logs import line_logger

WRITES_EVERY_S = 10.0
ARCHIVED_AT_ONCE = 5
"""Clips of one task run: the first are checked while the next come in."""

CHECKS_WITHIN_S = 3_600.0


@dataclass(frozen=True, slots=True)
class MediaTools:
    """Tools that the work on batches needs, one after the other: made by `open_tools`.

    Attributes:
        ask: asks for the outputs of a prediction anew.
        checks: processes that check clips.
    """

    ask: Ask
    checks: CheckTools


@asynccontextmanager
async def open_media_tools(settings: Settings) -> AsyncGenerator[MediaTools]:
    """Open what the work on batches needs.

    Raises:
        OSError: there is no folder for copies of clips.
    """
    opening = open_tools(child_environment(), settings.base_url, settings.network)
    async with open_asking(settings) as ask, opening as checks:
        yield MediaTools(ask, checks)


@dataclass(slots=True)
class BatchWork:
    """The work on a batch that this run holds.

    Attributes:
        rank: checks of batches with a lower one go first.
        is_archived: every clip is in the archive, or could not be put there.
        is_lost: another worker has it now.
        given_up: why this run gives it back before it is done.
        state: the end of it; None where it was given back, or lost.
        problem: why it failed, or why not all of it could be done.
        stop: gives up what is under way.
        archived: is called once every clip is there, or could not be had.
    """

    run: LedgerRun
    batch: MediaBatch
    settings: Settings
    tools: MediaTools
    rank: int = 0
    archive: ArchiveProgress = field(default_factory=ArchiveProgress)
    checks: ChecksProgress = field(default_factory=ChecksProgress)
    is_archived: bool = False
    is_lost: bool = False
    given_up: str = ""
    state: BatchState | None = None
    problem: str = ""
    stop: Callable[[str], None] = lambda _: None
    archived: Callable[[], None] = lambda: None

    @property
    def ledger(self) -> Ledger:
        """The open ledger."""
        return self.run.ledger

    @property
    def counts(self) -> BatchCounts:
        """Progress of the batch."""
        archive, checks = self.archive, self.checks
        return BatchCounts(
            self.is_archived,
            *(archive.kept, archive.failed, archive.received_bytes),
            *(checks.total, checks.done, checks.failing, checks.unread),
        )

    def give_up(self, reason: str) -> None:
        """Give up what is under way, so that the batch goes back."""
        self.given_up = reason
        self.stop(reason)

    async def note(self) -> None:
        """Write down how far it is, and stop where that shows that it is another worker's."""
        if not self.is_lost and not await self.ledger.batches.note(self.batch.batch_id, self.run.run_id, self.counts):
            self.is_lost = True
            self.stop("another worker has the batch now")


async def carry_out(work: BatchWork) -> None:
    """Work on a batch that this run has just taken, and end it, or give it back where that is given up.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    batches, batch, run_id = work.ledger.batches, work.batch, work.run.run_id
    state = BatchState.DONE
    try:
        async with _writing(work):
            work.problem = await _see_through(work)
    except LedgerError:
        raise
    except Exception as error:  # noqa: BLE001 - the run that handed it over hears of it, and does the work itself
        state = BatchState.FAILED
        problem = str(error) if isinstance(error, AnimaticError) else f"{type(error).__name__} on a media worker"
        work.problem = problem.partition("\n")[0]
    if work.is_lost:
        return
    if work.given_up and state is BatchState.DONE:
        taken = replace(batch, state=BatchState.TAKEN, holder=run_id, times_taken=batch.times_taken + 1)
        await batches.give_back(taken)
        return
    work.state = state
    await batches.end(batch.batch_id, run_id, state, work.counts, work.problem)


async def _see_through(work: BatchWork) -> str:
    """Archive the clips, each group checked as soon as it is there; return why nothing more could be archived.

    Raises:
        LocationError: the archive is not to be reached from here.
        LedgerError: the ledger cannot be read or written.
    """
    batch, settings, warn = work.batch, work.settings, line_logger(WARNING)
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
            ask=work.tools.ask,
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
            run_batch=_check,
            local=LocalStills(batch.stills, settings.network),
            paths=lambda _: paths,
            tools=replace(work.tools.checks, rank=work.rank),
        )
        stack.push_async_callback(checking.close)

        def stop(reason: str) -> None:
            archive.stop(f"not archived: {reason}")
            checking.stop()

        work.stop = stop
        if work.given_up:
            stop(work.given_up)
        await asyncio.gather(*(_archive(some, archive, checking) for some in in_groups(outputs, ARCHIVED_AT_ONCE)))
        work.is_archived = True
        work.archived()
        await work.note()
        await checking.check_rest([], within_s=CHECKS_WITHIN_S)
        return work.archive.problem


async def _archive(outputs: Sequence[Output], archive: Archive, checking: Checking) -> None:
    await begin(archive_clips(ClipBatch(outputs), archive))
    checking.archived(list(dict.fromkeys(output.identity.fingerprint for output in outputs)))


async def _check(batch: CheckBatch, checks: ClipChecks) -> None:
    await begin(check_clips(batch, checks))


@asynccontextmanager
async def _writing(work: BatchWork) -> AsyncGenerator[None]:
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
