"""Archiving: the clips of a run, fetched beside everything else that it does."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

from prefect.exceptions import Pause

from animatic.errors import LedgerError
from animatic.errors.text import one_line
from animatic.media.archive import Archive, ClipBatch, Output, asking, in_groups, outputs_of
from animatic.media.archive_room import find_room_note
from animatic.media.clip_names import ClipIdentity
from animatic.planning.plan import Plan
from animatic.storage.folder import Folder
from animatic.takes.canonical import EMBEDDED_SANDBOX
from animatic.takes.shots import Take
from animatic.takes.states import State
from flows.interrupts import Interrupts
from flows.media_pool import MediaPool
from flows.run import Run
from flows.stop_request import StopRequest
from tasks.archive import archive_clips, describe_archive
from tasks.begun import begin

MOST_IN_A_BATCH = 50
WAITS_FOR_COMPANY_S = 1.0
WAITS_FOR_WORKERS_S = 10.0
"""Longest wait of a clip for others, where media workers come for them: the start of one is worth some clips."""

BATCHES_AT_ONCE = 4
LOOKED_UP_AT_ONCE = 1_000
DESCRIBES_WITHIN_S = 20.0
"""Time that a run gives the table of its archive: some 100,000 clips."""


class Archiving:
    """Puts the clips of one run into its archive; without an archive it does nothing.

    Attributes:
        handled: gets the fingerprint of each take whose clips are in the archive, or cannot be put there.
        archived: gets the fingerprints of takes whose clips this run has just put there.
        over: called once nothing more is archived, whatever the reason.
        is_waited_for: tells if other takes wait for the clips of a take, which this process then archives itself.
        pool: the media workers; None where the run does all itself.
    """

    def __init__(self, run: Run, plan: Plan, archive: Archive | None, interrupts: Interrupts) -> None:
        self._run, self._plan, self._archive, self._interrupts = run, plan, archive, interrupts
        self._waiting: asyncio.Queue[Take | None] = asyncio.Queue()
        self._handled = set[str]()
        self.handled: Callable[[str], None] = lambda _: None
        self.archived: Callable[[Sequence[str]], None] = lambda _: None
        self.over: Callable[[], None] = lambda: None
        self.is_waited_for: Callable[[str], bool] = lambda _: False
        self.pool: MediaPool | None = None
        self._batches = asyncio.Semaphore(BATCHES_AT_ONCE)
        self._first_error: Exception | None = None

    @property
    def uri(self) -> str:
        """Absolute URI of the archive; empty without one."""
        return "" if self._archive is None else self._archive.folder.uri

    def take_completed(self, take: Take) -> None:
        """Archive the clips of a take that has just been completed."""
        if self._archive is not None and take.fingerprint not in self._handled:
            self._handled.add(take.fingerprint)
            self._waiting.put_nowait(take)

    def look_again(self, take: Take) -> None:
        """Archive the clips of a completed take unless they are there; `handled` hears of it in any case."""
        self._waiting.put_nowait(take)

    def stop(self, reason: str) -> None:
        """Fetch nothing more; the next run goes on."""
        if self._archive is not None:
            self._archive.stop(f"not archived: {reason}; the next run goes on")
        if self.pool is not None:
            self.pool.stop()

    @asynccontextmanager
    async def underway(self) -> AsyncGenerator[None]:
        """Fetch clips for the length of the block, and what is left of them at its end."""
        if self._archive is None:
            yield
            return
        work = asyncio.create_task(self._work())
        work.add_done_callback(self._note_end)
        try:
            yield
            for take in await asyncio.to_thread(self._unheard):
                self.take_completed(take)
        finally:
            self._waiting.put_nowait(None)
            hurry = asyncio.create_task(self._interrupts.hurried.wait())
            await asyncio.wait({work, hurry}, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            if not work.done():
                work.cancel()
        if work.done():
            work.result()

    def _note_end(self, work: asyncio.Task[None]) -> None:
        """Let go of what waits for clips, and say at once if an error has ended it: the run goes on buying."""
        self.over()
        error = None if work.cancelled() else work.exception()
        if error is not None:
            self._run.warn(f"no more clips are archived: {one_line(str(error), 300)}; the next run goes on")

    async def _work(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                missing = self._missing()
                while takes := await asyncio.to_thread(list, itertools.islice(missing, LOOKED_UP_AT_ONCE)):
                    await self._start(group, takes)
                while takes := await self._next():
                    await self._start(group, takes)
        except ExceptionGroup as errors:  # the run's end depends on the error itself: a ledger that is away, or another
            raise errors.exceptions[0] from None
        if self.pool is not None:
            await self.pool.archived()
        if self._first_error is not None:  # of a batch; the run ends red, with its table
            raise self._first_error

    def _unheard(self) -> list[Take]:
        """Return the takes that may have been completed without a poll of ours: by another run, or by settling."""
        return [take for take in self._plan.takes_to_do() if take.fingerprint not in self._handled]

    def _missing(self) -> Iterator[Take]:
        """Yield the takes that were completed before and are not in the archive under their name."""
        assert self._archive is not None  # noqa: S101 - nothing is started without one
        for take, attempt_id in self._plan.takes_completed():
            if self._archive.has(attempt_id, _identity(take)):
                self._handled.add(take.fingerprint)
            else:
                yield take

    async def _next(self) -> Sequence[Take]:
        """Wait for takes, and a moment for more; none once the run has bought everything."""
        first = await self._waiting.get()
        takes = [first]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAITS_FOR_COMPANY_S if self.pool is None else WAITS_FOR_WORKERS_S):
                while takes[-1] is not None and len(takes) < MOST_IN_A_BATCH:
                    takes.append(await self._waiting.get())
        if takes[-1] is None and len(takes) > 1:
            self._waiting.put_nowait(None)
        return [take for take in takes if take is not None]

    async def _start(self, group: asyncio.TaskGroup, takes: Sequence[Take]) -> None:
        outputs = await self._outputs(takes)
        here = outputs if self.pool is None else await self._hand_over(self.pool, takes, outputs)
        for some in in_groups(here, MOST_IN_A_BATCH):
            await self._batches.acquire()
            group.create_task(self._see_through(ClipBatch(some)))
        with_outputs = {output.identity.fingerprint for output in outputs}
        for take in takes:
            if take.fingerprint not in with_outputs:
                self.handled(take.fingerprint)

    async def _hand_over(self, pool: MediaPool, takes: Sequence[Take], outputs: Sequence[Output]) -> Sequence[Output]:
        """Hand outputs to media workers; return those that are archived here."""
        here = [output for output in outputs if self.is_waited_for(output.identity.fingerprint)]
        away = [output for output in outputs if not self.is_waited_for(output.identity.fingerprint)]
        return [*here, *await pool.hand_over(takes, away)]

    async def archive_here(self, outputs: Sequence[Output]) -> None:
        """Archive outputs that no media worker took."""
        await self._batches.acquire()
        await self._see_through(ClipBatch(outputs), raises=True)

    async def _see_through(self, batch: ClipBatch, *, raises: bool = False) -> None:
        assert self._archive is not None  # noqa: S101 - nothing is started without one
        try:
            has_tasks = self._interrupts.stop_request is None
            await (begin(archive_clips(batch, self._archive)) if has_tasks else self._archive.add(batch.outputs))
        except LedgerError:
            raise
        except Pause as pause:  # Prefect's own watch was faster than ours
            if pause.state is not None:
                self._interrupts.obey(StopRequest.of(pause.state))
        except Exception as error:
            reason = one_line(f"{type(error).__name__}: {error}", 300)
            self._run.warn(f"{batch.name}: not archived: {reason}; the next run goes on")
            self._first_error = self._first_error or error
            if raises:
                raise
        finally:
            self._batches.release()
        fingerprints = list(dict.fromkeys(output.identity.fingerprint for output in batch.outputs))
        for fingerprint in fingerprints:
            self.handled(fingerprint)
        self.archived(fingerprints)

    async def _outputs(self, takes: Sequence[Take]) -> list[Output]:
        """Return the outputs of those of the takes that are completed."""
        assert self._archive is not None  # noqa: S101 - nothing is started without one
        names = [take.fingerprint for take in takes]
        self._handled.update(names)
        records = await self._run.ledger.look_up(names)
        versions: dict[str, int] = {}
        if self._archive.clip_name.needs_version:
            versions = await self._run.ledger.versions_of(self._run.order.uri, names)
        found: list[Output] = []
        for take in takes:
            record = records.get(take.fingerprint)
            if record is None or record.state is not State.COMPLETED:
                continue
            found += outputs_of(record, _identity(take, versions.get(take.fingerprint, 1)), take.name)
        self._archive.progress.total += len(found)
        return found


def _identity(take: Take, version: int = 1) -> ClipIdentity:
    return ClipIdentity(take.fingerprint, take.shot.storyboard, take.shot.shot_id, take.number, version, "")


@asynccontextmanager
async def open_archive(run: Run, plan: Plan, interrupts: Interrupts) -> AsyncGenerator[Archiving]:
    """Open the archive of a run, where it has one.

    Raises:
        LocationError: it cannot be looked into.
    """
    order, settings = run.order, run.session.settings
    if not order.archive_uri:
        yield Archiving(run, plan, None, interrupts)
        return

    archive = Archive(
        Folder(order.archive_uri),
        order.clip_name,
        run.ledger,
        run_id=run.session.run_id,
        ask=asking(run.client),
        warn=run.warn,
        progress=run.session.progress.archive,
        origin=settings.base_url,
        network=settings.network,
    )
    async with archive:
        if not run.session.is_approved:  # an approved plan was shown with this line
            note = await find_room_note(archive.folder, run.ledger, plan.to_do)
            if note is not None:
                run.warn(note)
        archiving = Archiving(run, plan, archive, interrupts)
        if settings.media_deployment is not None and settings.origin != EMBEDDED_SANDBOX:
            archiving.pool = MediaPool(run, settings.media_deployment, archive.folder, archiving.archive_here)
        try:
            yield archiving
        finally:
            if archiving.pool is not None:
                await archiving.pool.close()
        if not interrupts.is_stopped and archive.problem is None:
            await _describe(run, archive)


async def _describe(run: Run, archive: Archive) -> None:
    """Write the table of the archive's clips beside them, where this run has put some there. It fails no run."""
    if not archive.progress.total:
        return
    try:
        async with asyncio.timeout(DESCRIBES_WITHIN_S):
            note = await begin(describe_archive(archive.folder, run.ledger))
    except TimeoutError:
        note = f"the clips in {archive.folder.place} are too many to describe in a run; animatic archive describes them"
    except Exception as error:  # noqa: BLE001 - clips and results are where they belong
        note = f"the clips in {archive.folder.place} could not be described: {type(error).__name__}"
    if note is not None:
        run.warn(note)
