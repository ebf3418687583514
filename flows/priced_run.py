"""A priced run: it may buy. Its takes are uploaded, seen through and settled; its results are written at the end."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from time import monotonic

from prefect.exceptions import CancelledRun, FailedRun, Pause

from animatic.buying.shoot import Shoot
from animatic.errors import FileRefusedError, NeverAgainError, TryLaterError
from animatic.media.clip_checks import CheckBatch, ClipChecks
from animatic.media.last_frames import LastFrames
from animatic.media.uploads import UploadMemory
from animatic.planning.config import RunConfig
from animatic.planning.following import origins_of
from animatic.planning.funds import funds_left
from animatic.planning.plan import Batch, Plan, batch_size
from animatic.results.same_ledger import require_that_the_ledger_knows
from animatic.results.summary import RunSummary
from animatic.takes.chains import source_of
from animatic.takes.seen_stills import FRESH
from animatic.takes.shots import Take
from animatic.takes.states import State
from animatic.takes.stills import LocalFile
from flows.approval import ApprovedRun
from flows.archiving import Archiving
from flows.checking import FOLLOWS_FOR_S, Checking, fingerprints_of, paths_of
from flows.followers import Fetch, Followers, Waiting
from flows.interrupts import Interrupts
from flows.page_keeping import page_kept
from flows.progress_log import progress_logged
from flows.reporting import Reporting
from flows.run import Run
from flows.settlement import Settling
from flows.stop_request import StopRequest
from tasks.begun import begin
from tasks.checks import check_clips
from tasks.logs import line_logger
from tasks.results import progress_shown
from tasks.stills import groups_of, name_of, upload_stills
from tasks.takes import shoot_takes

UPLOADS_FIRST_S = 10.0
"""Takes wait so long for all stills to be uploaded, and then each for its own."""

UNEXPECTED = "an unexpected error"


class PricedRun:
    """A run whose plan is priced, and whose results can be written."""

    def __init__(
        self,
        approved: ApprovedRun,
        settling: Settling,
        reporting: Reporting,
        archiving: Archiving,
        looks: Mapping[str, int],
    ) -> None:
        run, priced = approved.run, approved.priced
        self._run, self._plan, self._settling, self._reporting = run, priced.plan, settling, reporting
        self._priced, self._archiving = priced, archiving
        settings = run.session.settings
        self._last_frames = LastFrames(run.ledger, run.session.settings.network)
        self._memory = UploadMemory(run.ledger, settings.account, settings.base_url, settings.network)
        self._followers = _followers_of(run, priced.plan, self._fetch_last_frames)
        archiving.handled, archiving.over = self._followers.clip_handled, self._followers.close
        archiving.is_waited_for = self._followers.is_waited_for
        reporting.reasons = self._followers.reasons
        self._checking, self._checked = self._checking_of(run, priced.plan), 0
        archiving.archived = self._checking.archived
        self._uploads: set[asyncio.Task[None]] = set()
        self._problem: Exception | None = None
        self._shoot = Shoot(
            _config_of(approved, looks), run.client, run.ledger_run, run.session.progress, run.warn,
            self._upload_late, self._memory.forget, archiving.take_completed,
        )  # fmt: skip

    def stop(self, reason: str) -> None:
        """Buy, poll, archive and check nothing more; uploads are given up, since nothing is bought by them."""
        self._checking.stop()
        self._shoot.stop_signal.stop_all(reason)
        self._archiving.stop(reason)
        self._followers.close()
        for upload in self._uploads:
            upload.cancel()

    async def buy(self) -> None:
        """Upload what must be uploaded, see every take through, settle what is unclear, and archive the clips.

        Returns early after a second signal; submissions on their way then are in the ledger.
        """
        work = asyncio.create_task(self._buy())
        hurry = asyncio.create_task(self._reporting.interrupts.hurried.wait())
        await asyncio.wait({work, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if work.done():
            if work.cancelled() or work.exception() is not None:
                self._checking.stop()
            work.result()

    async def report(self) -> RunSummary:
        """Write the results table from what the ledger knows now, and publish its summary.

        Raises:
            LocationError, ResultsUnwrittenError: it cannot be written; the latter if there was something to do.
        """
        stop, funds, self._checked = self._shoot.stop_signal, None, self._run.session.progress.checks.done
        if not self._reporting.interrupts.hurried.is_set():
            await self._shoot.close()
            if stop.is_account_refused:
                run = self._run
                funds = await funds_left(run.client, run.ledger, self._priced, run.order.policy, run.session.run_id)
            await self._run.client.rest()  # its connections are open files, and the table needs some
        return await self._reporting.report(
            stop.reason, is_account_refused=stop.is_account_refused, funds=funds, spent=stop.spent
        )

    def page_kept(self) -> AbstractAsyncContextManager[None]:
        """Keep the review page of the run, where it has one, for the length of a block."""
        return page_kept(self._reporting)

    async def check(self, summary: RunSummary) -> RunSummary:
        """Check what is left of the clips once the table is written, and write it again; return its summary.

        Nothing that happens here changes what the run has come to: a problem is a warning.
        """
        checking, progress = self._checking, self._run.session.progress.checks
        try:
            if not self._archiving.uri or self._reporting.interrupts.is_stopped:
                return summary
            pool, ends_at = self._archiving.pool, monotonic() + FOLLOWS_FOR_S
            try:
                if pool is None or await pool.ended(FOLLOWS_FOR_S):
                    rest = await asyncio.to_thread(fingerprints_of, self._plan)
                    await checking.check_rest(rest, ends_at - monotonic())
            finally:
                if progress.done > self._checked:
                    summary = await self._reporting.report_again(summary)
        except Exception as error:  # noqa: BLE001 - see above
            self._run.warn(f"the quality of clips is not all checked: {error}; the next run goes on")
        return summary

    def _checking_of(self, run: Run, plan: Plan) -> Checking:
        async def run_batch(batch: CheckBatch, checks: ClipChecks) -> None:
            has_tasks = self._reporting.interrupts.stop_request is None
            await (begin(check_clips(batch, checks)) if has_tasks else checks.check(batch))

        return Checking(
            run.ledger,
            run.session.settings,
            run.session.progress.checks,
            archive=self._archiving.uri,
            run_batch=run_batch,
            local=run.stills,
            paths=paths_of(plan),
        )

    async def _buy(self) -> None:
        async with self._archiving.underway():
            progress, log = self._run.session.progress, line_logger(logging.INFO)
            async with self._uploads_underway(), progress_shown(progress), progress_logged(progress, log):
                if self._plan.to_do:
                    await self._begin_followers()
                    await self._see_through(self._followers.batches(self._plan.batches()))
            if self._shoot.stop_signal.is_watching:
                await self._settle_again()

    @asynccontextmanager
    async def _uploads_underway(self) -> AsyncGenerator[None]:
        """Upload the local stills of what there is to buy, each once: before the block, and beside it where that lasts.

        With more stills than are uploaded in `UPLOADS_FIRST_S`, the account would else be idle for that long.
        """
        groups = list(groups_of(await asyncio.to_thread(self._plan.files_to_upload)))
        if not self._shoot.stop_signal.is_watching:
            groups = []
        self._shoot.await_uploads([file.identity for group in groups for file in group])
        self._uploads = {asyncio.create_task(self._upload_group(group)) for group in groups}
        try:
            if self._uploads:
                await asyncio.wait(self._uploads, timeout=UPLOADS_FIRST_S)
            self._raise_problem()
            yield
        finally:
            await self._end_uploads()
        self._raise_problem()

    async def _end_uploads(self) -> None:
        for task in self._uploads:
            task.cancel()
        await asyncio.gather(*self._uploads, return_exceptions=True)

    def _raise_problem(self) -> None:
        """Raise the first error of an upload that stands for more than a take or a pause of the API."""
        if self._problem is not None:
            raise self._problem

    async def _upload_group(self, files: Sequence[LocalFile]) -> None:
        """Upload stills; takes that wait for them go on, and an error that stops the purchase does so at once."""
        try:
            await self._upload(files)
        except FileRefusedError as error:
            self._run.warn(f"{error}. Its takes are rejected; all others go on")
        except (TryLaterError, NeverAgainError) as error:
            self._shoot.stop_signal.stop_buying_for(error)
        except Exception as error:  # noqa: BLE001 - raised by those who wait for all uploads
            self._problem = self._problem or error
            self._shoot.stop_signal.stop_buying(str(error) or type(error).__name__)
        finally:
            self._shoot.end_uploads([file.identity for file in files])

    async def _upload(self, files: Sequence[LocalFile]) -> dict[str, str]:
        run, name = self._run, name_of([file.path for file in files])
        stills = run.stills if source_of(files[0].identity) is None else self._last_frames
        upload = functools.partial(self._memory.upload, stills, files, run.client, self._shoot.know_upload)
        return await begin(upload_stills(name, upload))

    async def _upload_late(self, file: LocalFile) -> str:
        """Upload a file of a take that was not in the plan to buy, or whose upload has died."""
        (url,) = (await self._upload([file])).values()
        return url

    async def _settle_again(self) -> None:
        """Settle what this run could not tell; see through what was bought, and what is chosen and free to buy."""
        settled = await self._settling.settle()
        adopted = await asyncio.to_thread(self._plan.find, settled.adopted)
        absent = await asyncio.to_thread(self._plan.find, settled.absent, chosen_only=True)
        takes = [*adopted, *absent]
        if takes:
            for take in takes:
                self._run.session.progress.cleared(take.fingerprint)
            await self._see_through(_each([Batch(0, takes)]))

    async def _begin_followers(self) -> None:
        """Begin with the takes whose sources are completed: those whose clips are in no archive yet are archived."""
        renewals = self._plan.renewals  # takes that start from one of them wait for its new clip
        sources = [source for source in self._followers.sources() if source not in renewals]
        if not sources:
            return
        clips, records = await self._last_frames.clips_of(sources), await self._run.ledger.look_up(sources)
        mine = {take.fingerprint: take for take in await asyncio.to_thread(self._plan.find, sources)}
        for source in sources:
            if source in clips or source not in mine:
                self._followers.clip_handled(source)
            elif source in records and records[source].state is State.COMPLETED:
                self._archiving.look_again(mine[source])

    async def _follow_up(self, takes: Sequence[Take]) -> None:
        """See to the takes that wait for some which this run has finished with."""
        waited_for = {take.fingerprint: take for take in takes if self._followers.is_waited_for(take.fingerprint)}
        records = await self._run.ledger.look_up(list(waited_for)) if waited_for else {}
        for source, take in waited_for.items():
            if source in records and records[source].state is State.COMPLETED:
                self._archiving.take_completed(take)
            else:
                self._followers.ended(take)

    async def _fetch_last_frames(self, files: Sequence[LocalFile]) -> None:
        """Upload last frames of clips, which takes wait for."""
        self._shoot.know_uploads(await self._upload(files) if files else {})

    async def _see_through(self, batches: AsyncGenerator[Batch]) -> None:
        """Start a task run for each batch as there is room for its takes. An unexpected error ends the run.

        The API is asked for its time here, so that a run with nothing to do asks it nothing.
        """
        await self._shoot.prepare()
        underway, failures = set[asyncio.Task[None]](), list[BaseException]()

        def note_end(task: asyncio.Task[None]) -> None:
            underway.discard(task)
            problem = None if task.cancelled() else task.exception()
            if problem is not None:
                failures.append(problem)
                self._followers.close()  # nothing follows any more

        try:
            async for batch in batches:
                await self._shoot.admit(batch.takes)
                if not self._shoot.stop_signal.is_watching:
                    break
                underway.add(task := asyncio.create_task(self._see_batch_through(batch)))
                task.add_done_callback(note_end)
        except BaseException:
            self._shoot.stop_signal.stop_all(UNEXPECTED)
            raise
        finally:
            self._followers.close()
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
            self._shoot.stop_signal.stop_all(UNEXPECTED)
            raise
        finally:
            self._shoot.release(batch.takes)
            await self._follow_up(batch.takes)


async def open_results(
    approved: ApprovedRun, settling: Settling, interrupts: Interrupts, archiving: Archiving
) -> PricedRun:
    """Write the table as it stands before money is spent, so that a place that can't be written is found now.

    Raises:
        SettingsError: the table that is there shows takes as bought that this ledger has never heard of.
    """
    run, plan = approved.run, approved.priced.plan
    ledger = run.session.settings.ledger
    unknown = (plan.never_seen(), plan.never_seen_before())
    await asyncio.to_thread(require_that_the_ledger_knows, ledger, run.order.results, *unknown)
    reporting = Reporting(run, plan, interrupts, archiving.uri, approved.max_microusd)
    if plan.to_do:
        await settling.require_sound()
        await reporting.write(run.order.results)
    looks = await run.ledger.looks_since(datetime.now(UTC) - FRESH) if plan.to_do else {}
    return PricedRun(approved, settling, reporting, archiving, looks)


def _followers_of(run: Run, plan: Plan, fetch: Fetch) -> Followers:
    waiting = plan.followers()
    takes = [take for following in waiting.values() for take in following]
    heights = dict(zip((take.fingerprint for take in takes), plan.heights(takes), strict=True)) if takes else {}
    are_few = batch_size(plan.to_do) == 1
    return Followers(Waiting(waiting, heights, are_few), fetch, run.warn, run.session.progress)


def _config_of(approved: ApprovedRun, looks: Mapping[str, int]) -> RunConfig:
    run, priced = approved.run, approved.priced
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
        max_microusd=approved.max_microusd,
        limited_by=run.order.limited_by,
        day_microusd=settings.day_microusd,
        price_microusd=priced.setting_microusd,
        share_microusd=priced.share_microusd,
        stand_ins=priced.stand_ins,
        agreed=run.session.agreed if run.session.purchases is None else priced.plan.fingerprints_to_buy(),
        quotes=priced.quotes,
        origins=origins_of(priced.plan.manifest),
        looks=looks,
        renewals=priced.plan.renewals,
    )


async def _each(batches: Iterable[Batch]) -> AsyncGenerator[Batch]:
    for batch in batches:
        yield batch
