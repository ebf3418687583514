"""A priced run: it may buy. Its takes are uploaded, seen through and settled; its results are written at the end."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Iterable, Sequence

from prefect.exceptions import CancelledRun, FailedRun, Pause

from animatic.buying.shoot import Shoot
from animatic.errors import FileRefusedError, NeverAgainError, TryLaterError
from animatic.media.local_stills import LocalStills
from animatic.media.uploads import UploadMemory
from animatic.planning.config import RunConfig
from animatic.planning.plan import Batch
from animatic.planning.priced import PricedPlan
from animatic.results.same_ledger import require_that_the_ledger_knows
from animatic.results.summary import RunSummary
from animatic.takes.stills import LocalFile
from flows.archiving import Archiving
from flows.interrupts import Interrupts
from flows.progress_log import progress_logged
from flows.reporting import Reporting
from flows.run import Run
from flows.settlement import Settling
from flows.stop_request import StopRequest
from tasks.begun import begin
from tasks.logs import line_logger
from tasks.results import progress_shown
from tasks.stills import groups_of, name_of, upload_stills
from tasks.takes import shoot_takes

UNFORESEEN = "something unforeseen went wrong"


class PricedRun:
    """A run whose plan is priced, and whose results can be written."""

    def __init__(
        self, run: Run, priced: PricedPlan, settling: Settling, reporting: Reporting, archiving: Archiving
    ) -> None:
        self._run, self._plan, self._settling, self._reporting = run, priced.plan, settling, reporting
        self._archiving = archiving
        settings = run.session.settings
        self._memory = UploadMemory(run.ledger, settings.account, settings.base_url, settings.network)
        self._uploading: asyncio.Future[list[dict[str, str] | BaseException]] | None = None
        self._shoot = Shoot(
            _config_of(run, priced), run.client, run.ledger_run, run.session.progress, run.warn,
            self._upload_late, self._memory.forget, archiving.take_completed,
        )  # fmt: skip

    def stop(self, reason: str) -> None:
        """Buy, poll and archive nothing more; uploads are given up, since nothing is bought by them."""
        self._shoot.stop_signal.stop_all(reason)
        self._archiving.stop(reason)
        if self._uploading is not None:
            self._uploading.cancel()

    async def buy(self) -> None:
        """Upload what must be uploaded, see every take through, settle what is unclear, and archive the clips.

        Returns early after a second signal; submissions on their way then are in the ledger.
        """
        work = asyncio.create_task(self._buy())
        hurry = asyncio.create_task(self._reporting.interrupts.hurried.wait())
        await asyncio.wait({work, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if work.done():
            work.result()

    async def report(self) -> RunSummary:
        """Write the results table from what the ledger knows now, and publish its summary.

        Raises:
            LocationError, ResultsUnwrittenError: it cannot be written; the latter if there was something to do.
        """
        if not self._reporting.interrupts.hurried.is_set():
            await self._shoot.close()
            await self._run.client.rest()  # its connections are open files, and the table needs some
        stop = self._shoot.stop_signal
        return await self._reporting.report(stop.reason, is_account_refused=stop.is_account_refused)

    async def _buy(self) -> None:
        async with self._archiving.underway():
            await self._upload_stills()
            progress, log = self._run.session.progress, line_logger(logging.INFO)
            async with progress_shown(progress), progress_logged(progress, log):
                if self._plan.to_do:
                    await self._see_through(self._plan.batches())
            if self._shoot.stop_signal.is_watching:
                await self._settle_again()

    async def _upload_stills(self) -> None:
        """Upload the local stills of what there is to buy, each once."""
        groups = groups_of(await asyncio.to_thread(self._plan.files_to_upload))
        self._uploading = asyncio.gather(*(self._upload(group) for group in groups), return_exceptions=True)
        try:
            uploads = await self._uploading
        except asyncio.CancelledError:
            if not self._reporting.interrupts.is_stopped:
                raise
            return
        finally:
            self._uploading = None
        for upload in uploads:
            if isinstance(upload, FileRefusedError):
                self._run.warn(f"{upload}. Its takes are rejected; all others go on")
            elif isinstance(upload, TryLaterError | NeverAgainError):
                self._shoot.stop_signal.stop_buying(str(upload))
            elif isinstance(upload, BaseException):
                raise upload
            else:
                self._shoot.know_uploads(upload)

    async def _upload(self, files: Sequence[LocalFile]) -> dict[str, str]:
        run, name = self._run, name_of([file.path for file in files])
        stills = LocalStills(run.order.manifest, run.session.settings.network)
        upload = functools.partial(self._memory.upload, stills, files, run.client)
        return await begin(upload_stills(name, upload))

    async def _upload_late(self, file: LocalFile) -> str:
        """Upload a file of a take that was not in the plan to buy."""
        (url,) = (await self._upload([file])).values()
        return url

    async def _settle_again(self) -> None:
        """Settle what this run could not tell, and see through what that shows to be bought, or free to buy."""
        settled = await self._settling.settle()
        takes = await asyncio.to_thread(self._plan.find, [*settled.adopted, *settled.absent])
        if takes:
            await self._see_through([Batch(0, takes)])

    async def _see_through(self, batches: Iterable[Batch]) -> None:
        """Start a task run for each batch as there is room for its takes. An unforeseen error ends the run.

        The API is asked for its time here, so that a run with nothing to do asks it nothing.
        """
        await self._shoot.prepare()
        underway, failures = set[asyncio.Task[None]](), list[BaseException]()

        def note_end(task: asyncio.Task[None]) -> None:
            underway.discard(task)
            problem = None if task.cancelled() else task.exception()
            if problem is not None:
                failures.append(problem)

        try:
            for batch in batches:
                await self._shoot.admit(batch.takes)
                if not self._shoot.stop_signal.is_watching:
                    break
                underway.add(task := asyncio.create_task(self._see_batch_through(batch)))
                task.add_done_callback(note_end)
        except BaseException:
            self._shoot.stop_signal.stop_all(UNFORESEEN)
            raise
        finally:
            while underway:
                await asyncio.wait(underway)
        if failures:
            raise failures[0]

    async def _see_batch_through(self, batch: Batch) -> None:
        """One task run. What may pass ends the batch, anything else ends the run."""
        try:
            with contextlib.suppress(FailedRun, CancelledRun):  # takes of it failed or were left: the ledger knows
                await begin(shoot_takes(batch, self._shoot))
        except TryLaterError as error:
            self._run.warn(f"{batch.name}: not all of it could be sent: {error}")
        except Pause as pause:  # Prefect's own watch was faster than ours
            if pause.state is not None:
                self._reporting.interrupts.obey(StopRequest.of(pause.state))
        except BaseException:
            self._shoot.stop_signal.stop_all(UNFORESEEN)
            raise
        finally:
            self._shoot.release(batch.takes)


async def open_results(
    run: Run, priced: PricedPlan, settling: Settling, interrupts: Interrupts, archiving: Archiving
) -> PricedRun:
    """Write the table as it stands before money is spent, so that a place that can't be written is found now.

    Raises:
        SettingsError: the table that is there shows takes as bought that this ledger has never heard of.
    """
    plan, ledger = priced.plan, run.session.settings.ledger
    unknown = (plan.never_seen(), plan.never_seen_before())
    await asyncio.to_thread(require_that_the_ledger_knows, ledger, run.order.results, *unknown)
    reporting = Reporting(run, plan, interrupts, archiving.uri)
    if plan.to_do:
        await settling.require_sound()
        await reporting.write(run.order.results)
    return PricedRun(run, priced, settling, reporting, archiving)


def _config_of(run: Run, priced: PricedPlan) -> RunConfig:
    settings = run.session.settings
    return RunConfig(
        run_id=run.session.run_id,
        provider=settings.origin,
        limits=settings.limits,
        queued_ahead=settings.queued_ahead,
        poll_floor_s=settings.poll_floor_s,
        take_deadline_s=settings.take_deadline_s,
        give_up_s=settings.give_up_s,
        usual_latency_s=settings.usual_latency_s,
        policy=run.order.policy,
        max_microusd=run.max_microusd,
        price_microusd=priced.setting_microusd,
        share_microusd=priced.share_microusd,
        agreed=run.session.agreed,
        quotes=priced.quotes,
    )
