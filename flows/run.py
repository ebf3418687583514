"""Steps of a run: each line of `flows.animate`, with the tasks that do it."""

import asyncio
import contextlib
import functools
import math
import os
import signal
import socket
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prefect import get_run_logger
from prefect.blocks.system import Secret
from prefect.exceptions import Pause
from prefect.runtime import flow_run

from animatic import storage
from animatic.buying.reconcile import Reconciled, open_claims, poll_stuck, stuck_takes
from animatic.buying.recovery import recover
from animatic.buying.shoot import Shoot
from animatic.errors import LocationError, NeverAgainError, ResultsUnwrittenError, SettingsError, TryLaterError
from animatic.ledger import liveness, planned, settling
from animatic.ledger import operations as ledger_operations
from animatic.ledger.desk import Ledger
from animatic.ledger.location import note_intents
from animatic.ledger.newest import no_run_is_dead
from animatic.ledger.opening import require_sound, sqlite_path
from animatic.ledger.receipts import Receipts
from animatic.manifest import Manifest, local_stills
from animatic.media.local_stills import still_digest
from animatic.media.stills import Still
from animatic.media.uploads import UploadMemory
from animatic.money.amounts import Quote, limit_microusd, newest_quotes, price_of
from animatic.planning.config import RunConfig
from animatic.planning.lookup import find_moved, find_open, find_snapshot, know_old_names, record_planned
from animatic.planning.manifests import check_manifest, manifest_sha256, read_manifest
from animatic.planning.plan import Batch, Plan, PriceClass, make_plan
from animatic.results import formats
from animatic.results.replaced import require_replaceable
from animatic.results.same_ledger import require_that_the_ledger_knows
from animatic.results.stats import TableStats
from animatic.results.summary import RunSummary, run_summary_of
from animatic.results.writer import ResultsWriter
from animatic.settings import Settings
from animatic.takes.shots import Take
from animatic.takes.states import BuyingPolicy
from animatic.text import one_line
from animatic.wavespeed.client import MOST_CONNECTIONS, WaveSpeedClient
from flows.earlier_purchases import find_made, moved_lines, require_new_ledger_allowed
from flows.logs import outlive_console
from flows.process import connections_that_fit, ending_signals
from flows.session import SESSION, Session
from flows.stop_request import StopRequest, watch_for_stop
from tasks.quotes import quote_prices, read_quotes
from tasks.reconcile import reconcile_takes
from tasks.results import progress_shown, publish_summary, write_results
from tasks.stills import Stills, content_key, probe_stills, read_probed, upload_stills
from tasks.takes import shoot_takes

T = TypeVar("T")

KEY_BLOCK = "wavespeed-api-key"
"""The Prefect Secret block that holds the key where the environment does not."""

SAME_WISH_S = 1.0
"""A signal this soon after another says the same: a terminal, a worker and systemd each send one."""

PUBLISHES_WITHIN_S = 10.0

MOST_STILL_TASKS = 40
STILLS_ALONE = 20


async def current_session() -> Session:
    """Return the session of the command line, or a new one from the environment and the Secret block.

    Raises:
        SettingsError: the environment says something we cannot work with.
    """
    session = SESSION.get()
    if session is not None:
        return session
    outlive_console()
    settings = Settings.from_environment()
    if settings.api_key is None:
        with contextlib.suppress(ValueError):  # there is no such block
            secret: Any = await Secret.aload(KEY_BLOCK)
            settings = settings.with_key(str(secret.get()))
    return Session(settings)


@dataclass(frozen=True, slots=True)
class Order:
    """Request to the flow, checked."""

    manifest: str
    results: str
    max_usd: float | None
    skip_invalid: bool
    policy: BuyingPolicy

    def __post_init__(self) -> None:
        formats.check_suffix(storage.name_of(self.results))
        if self.max_usd is not None and not 0 <= self.max_usd < math.inf:
            raise SettingsError(f"--max-usd: found {self.max_usd}; allowed: 0 or more")
        if not 1 <= self.policy.attempts <= 10:
            raise SettingsError(f"--attempts: found {self.policy.attempts}; allowed: 1 to 10")


@dataclass(slots=True)
class Run:
    """An open run: its ledger, its client, its steps in the order of the flow."""

    order: Order
    session: Session
    client: WaveSpeedClient
    desk: Ledger
    receipts: Receipts
    uploads: UploadMemory
    quotes: Mapping[PriceClass, Quote] = field(default_factory=dict[PriceClass, Quote])
    _shoot: Shoot | None = None
    _is_interrupted: bool = False
    _is_sound: bool = False
    _has_polled_stuck: bool = False
    _interrupted_at_s: float | None = None
    _hurried: asyncio.Event = field(default_factory=asyncio.Event)
    _uploading: "asyncio.Future[list[dict[str, str] | BaseException]] | None" = None
    _notes: dict[str, None] = field(default_factory=dict[str, None])

    async def check_manifest(self) -> Manifest:
        """Read the manifest, look at its local stills, judge every row.

        Raises:
            ManifestError: it has faults that are not to be skipped.
            LocationError: it cannot be read.
        """
        uri, settings = self.order.manifest, self.session.settings
        await asyncio.to_thread(require_replaceable, uri, self.order.results, settings.ledger)
        manifest = await self._known_manifest()
        if manifest is None or manifest.stills != await self._probe(list(manifest.stills)):
            raw = await asyncio.to_thread(read_manifest, uri, settings.network)
            stills = await self._probe(local_stills(raw))
            manifest = await asyncio.to_thread(
                check_manifest, uri, raw, stills, settings.origin, settings.written_origin
            )
        manifest.require_valid(skip_invalid=self.order.skip_invalid)
        for warning in manifest.warnings:
            get_run_logger().warning("%s", one_line(warning))
        return manifest

    async def _known_manifest(self) -> Manifest | None:
        """Return the manifest as it was checked for the preview, if its bytes are still the same."""
        known, self.session.checked = self.session.checked, None
        if known is None or known.provider != self.session.settings.origin:
            return None
        network = self.session.settings.network
        now = await asyncio.to_thread(manifest_sha256, self.order.manifest, network)
        return known if now == known.sha256 else None

    async def _probe(self, paths: list[str]) -> dict[str, Still | str]:
        """Look at local stills."""
        uri, network = self.order.manifest, self.session.settings.network
        digests = await asyncio.to_thread(lambda: {path: still_digest(uri, path, network) for path in paths})
        groups = list(_groups(paths))
        probed = await asyncio.gather(
            *(
                probe_stills(
                    Stills(uri, group, network=network),
                    content_key(*(f"{path}={digests[path]}" for path in group)),
                )
                for group in groups
            )
        )
        self.session.task_runs += len(groups)
        return {path: still for found in probed for path, still in read_probed(found).items()}

    async def settle(self) -> Reconciled:
        """Read back what dead runs left behind, then settle what is unknown or stuck, as far as that goes."""
        settings, log = self.session.settings, get_run_logger()
        stuck = await stuck_takes(self.desk, settings.origin, settings.give_up_s)
        if stuck or await self._is_to_settle():
            await self._require_sound()
        found = await recover(self.desk, sqlite_path(settings.ledger), self.client.latest_time)
        if found.redeemed:
            log.warning("%d replies that a dead run had not written into the ledger were read back", found.redeemed)
        if found.unknown:
            log.warning("%d takes may or may not have been bought by a run that died", found.unknown)
        settled = Reconciled()
        if await open_claims(self.desk, settings.origin):
            self.session.task_runs += 1
            settled = await reconcile_takes(
                self.desk, self.client, settings.origin, settings.settle_s, adopts_by_window=settings.adopts_by_window
            )
            if settled.problem:
                log.warning("WaveSpeed's list of predictions: %s", one_line(settled.problem))
        if stuck and not self._has_polled_stuck:
            self._has_polled_stuck = True
            settled.ended = await poll_stuck(self.desk, self.client, stuck, settings.give_up_s, self.session.run_id)
        self.session.progress.reserved = await self.desk.do(ledger_operations.reserved_by, self.session.run_id)
        return settled

    async def _is_to_settle(self) -> bool:
        """Tell if a dead run left anything behind, or something is unknown."""
        ledger = sqlite_path(self.session.settings.ledger)
        if await asyncio.to_thread(liveness.receipts_left_behind, ledger):
            return True
        if await self.desk.do(ledger_operations.runs_submitting):
            return True
        return bool(await open_claims(self.desk, self.session.settings.origin))

    async def _require_sound(self) -> None:
        """Read the whole ledger once before anything in it is changed; a run in which all is settled needs not.

        Raises:
            LedgerUnusableError: it is damaged.
        """
        if not self._is_sound:
            await self.desk.do(require_sound)
            self._is_sound = True

    async def plan(self, manifest: Manifest) -> Plan:
        """Hold the manifest against the ledger.

        Raises:
            SettingsError: the ledger is new, there is something to buy, and no permission to begin it was given.
        """
        settings, uri = self.session.settings, self.manifest_uri
        is_new = await self.desk.do(planned.is_new, settings.origin)
        await know_old_names(self.desk, manifest)
        snapshot = await find_snapshot(self.desk, manifest, self.session.run_id)
        plan = make_plan(manifest, snapshot, self.order.policy)
        if is_new and plan.to_buy:
            await self._require_ledger(plan)
        if not self.session.is_approved and plan.to_buy:  # an approved plan was shown with these lines
            await self._warn_of_what_was_made(plan, is_new=is_new)
        await record_planned(self.desk, manifest, uri)
        progress = self.session.progress
        progress.total, progress.cached, progress.cached_flagged = len(plan), plan.settled, plan.settled_flagged
        progress.unclear = plan.unclear
        return plan

    async def _warn_of_what_was_made(self, plan: Plan, *, is_new: bool) -> None:
        """Name takes that the account made already, or that were bought under another address of the still."""
        settings, lines = self.session.settings, moved_lines(await find_moved(self.desk, plan))
        if settings.is_real:
            found = await find_made(self.client, plan, self.desk, settings.origin, is_new=is_new)
            lines += found.lines() if found else []
        for line in lines:
            get_run_logger().warning("%s", one_line(line))

    async def _require_ledger(self, plan: Plan) -> None:
        """Refuse to begin a new ledger in an unattended run without permission.

        Raises:
            SettingsError: the run is unattended, and no permission to begin a ledger today was given.
        """
        session, settings = self.session, self.session.settings
        if not settings.is_real:
            return
        require_new_ledger_allowed(
            settings, plan.to_buy, is_attended=session.is_attended, may_begin=session.may_begin_ledger
        )

    @property
    def manifest_uri(self) -> str:
        """The manifest's absolute URI, which the ledger knows it by."""
        return storage.absolute_uri(self.order.manifest)

    async def price(self, plan: Plan) -> None:
        """Quote what there is to buy and hold it against the limit.

        Raises:
            BudgetError: the plan costs more than it may, or its price cannot be known.
            SettingsError: it costs money, and no limit was given.
        """
        kinds = list(plan.kinds)
        settings = self.session.settings
        if kinds:
            if settings.is_real and not self.session.is_approved and self.order.max_usd is None:
                raise SettingsError("max_usd: not set; a run that cannot ask needs the most that it may commit")
            self.session.task_runs += 1
            try:
                key = content_key(settings.base_url, *(part for kind in kinds for part in kind))
                found = read_quotes(kinds, await quote_prices(kinds, self.client, key))
                self.quotes = newest_quotes(self.session.quotes, found)  # Prefect may remember older ones
            except (TryLaterError, NeverAgainError) as error:
                get_run_logger().warning("no quote: %s", error)
                self.quotes = dict(self.session.quotes)
        share = self.session.share_microusd
        prices = {kind: price_of(self.quotes.get(kind), settings.price_microusd, share) for kind in kinds}
        plan.require_budget(prices, self.max_microusd)

    @property
    def max_microusd(self) -> int | None:
        """The most that this run may reserve: what was given, else what was agreed to."""
        return self.session.max_microusd if self.order.max_usd is None else limit_microusd(self.order.max_usd)

    async def open_results(self, plan: Plan) -> None:
        """Write the table as it stands before money is spent, so that a place that can't be written is found now.

        Raises:
            SettingsError: the table that is there shows takes as bought that this ledger has never heard of.
        """
        ledger, unknown = self.session.settings.ledger, (plan.never_seen(), plan.never_seen_before())
        await asyncio.to_thread(require_that_the_ledger_knows, ledger, self.order.results, *unknown)
        warn = get_run_logger().warning
        self._shoot = Shoot(
            self._config(), self.client, self.desk, self.receipts, self.session.progress,
            lambda line: warn("%s", one_line(line)), self._upload_late,
            functools.partial(note_intents, self.desk.path), self.uploads.forget,
        )  # fmt: skip
        if plan.to_do:
            await self._require_sound()
            await self._write(plan, self.order.results)

    @asynccontextmanager
    async def interruptible(self) -> AsyncGenerator[None]:
        """Stop buying and polling on a signal, or when Prefect says so; what is there is still written.

        A second SIGINT or SIGTERM more than a second later ends the wait for replies too, a third one the process.
        """
        loop = asyncio.get_running_loop()
        numbers = ending_signals()
        before = {number: signal.getsignal(number) for number in numbers}
        installed: list[signal.Signals] = []
        for number in numbers:
            with contextlib.suppress(ValueError, RuntimeError):  # not the main thread, which alone gets signals
                loop.add_signal_handler(number, self._interrupt, number)
                installed.append(number)
        watching = asyncio.create_task(watch_for_stop(self.session.flow_run_id, self._stop_for_prefect))
        try:
            yield
        finally:
            watching.cancel()
            for number in installed:
                loop.remove_signal_handler(number)
                is_said = number == signal.SIGHUP and self._interrupted_at_s is not None
                signal.signal(number, signal.SIG_IGN if is_said else before[number] or signal.SIG_DFL)

    def _interrupt(self, number: signal.Signals) -> None:
        """Obey one signal."""
        now_s = time.monotonic()
        self._interrupted_at_s, last_s = now_s, self._interrupted_at_s
        if last_s is None:
            self._stop(f"interrupted by {number.name}")
        elif number == signal.SIGHUP or now_s - last_s <= SAME_WISH_S:
            self._interrupted_at_s = last_s
        elif not self._hurried.is_set():
            self.session.is_hurried = True
            self._hurried.set()
        else:
            os._exit(130)

    def _stop_for_prefect(self, stop: StopRequest) -> None:
        """Obey a suspension or cancellation in Prefect."""
        self.session.stop_request = stop
        self._stop(stop.reason)

    def _stop(self, reason: str) -> None:
        """Buy and poll nothing more; uploads are given up, since nothing is bought by them."""
        self._is_interrupted = True
        self._running.stop_signal.stop_all(reason)
        if self._uploading is not None:
            self._uploading.cancel()

    async def buy(self, plan: Plan) -> None:
        """Upload what must be uploaded, see every take through, settle what is unclear.

        Returns early after a second signal; submissions on their way then are in the ledger.
        """
        work = asyncio.create_task(self._buy(plan))
        hurry = asyncio.create_task(self._hurried.wait())
        await asyncio.wait({work, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if work.done():
            work.result()

    async def _buy(self, plan: Plan) -> None:
        await self.upload_stills(plan)
        await self.shoot(plan)
        await self.settle_again(plan)

    async def upload_stills(self, plan: Plan) -> None:
        """Upload the local stills of what there is to buy, each once."""
        groups = list(_groups(await asyncio.to_thread(plan.stills_to_upload)))
        self.session.task_runs += len(groups)
        self._uploading = asyncio.gather(*(self._upload(group) for group in groups), return_exceptions=True)
        try:
            uploads = await self._uploading
        except asyncio.CancelledError:
            if not self._is_interrupted:
                raise
            return
        finally:
            self._uploading = None
        for upload in uploads:
            if isinstance(upload, TryLaterError | NeverAgainError):
                self._running.stop_signal.stop_buying(str(upload))
            elif isinstance(upload, BaseException):
                raise upload
            else:
                self._running.know_uploads(upload)

    async def _upload(self, takes: list[Take]) -> dict[str, str]:
        stills = Stills(self.order.manifest, [take.shot.image for take in takes], takes, self.session.settings.network)
        return await upload_stills(stills, self.client, self.uploads)

    async def _upload_late(self, take: Take) -> str:
        """Upload the still of a take that was not in the plan to buy."""
        (url,) = (await self._upload([take])).values()
        return url

    async def shoot(self, plan: Plan) -> None:
        """See every take through, in batches, as many of them at once as the account can keep busy."""
        async with progress_shown(self.session.progress):
            if plan.to_do:
                await self._see_through(plan.batches())

    async def settle_again(self, plan: Plan) -> None:
        """Settle what this run could not tell, and see through what that shows to be bought, or free to buy."""
        if not self._running.stop_signal.is_watching:
            return
        settled = await self.settle()
        takes = await asyncio.to_thread(plan.find, [*settled.adopted, *settled.absent])
        if takes:
            await self._see_through([Batch(0, takes)])

    async def _see_through(self, batches: Iterable[Batch]) -> None:
        """Start a task run for each batch as there is room for its takes. An unforeseen error ends the run.

        The API is asked for its time here, so that a run with nothing to do asks it nothing.
        """
        await self._running.prepare()
        underway, failures = set[asyncio.Task[None]](), list[BaseException]()

        def note_end(task: asyncio.Task[None]) -> None:
            underway.discard(task)
            problem = None if task.cancelled() else task.exception()
            if problem is not None:
                failures.append(problem)

        try:
            for batch in batches:
                await self._running.admit(batch.takes)
                if not self._running.stop_signal.is_watching:
                    break
                underway.add(task := asyncio.create_task(self._see_batch_through(batch)))
                task.add_done_callback(note_end)
        except BaseException:
            self._running.stop_signal.stop_all("something unforeseen went wrong")
            raise
        finally:
            while underway:
                await asyncio.wait(underway)
        if failures:
            raise failures[0]

    async def _see_batch_through(self, batch: Batch) -> None:
        """One task run. What may pass ends the batch, anything else ends the run."""
        self.session.task_runs += 1
        try:
            await shoot_takes(batch, self._running)
        except TryLaterError as error:
            said = f"{batch.name}: not all of it could be sent: {error}"
            get_run_logger().warning("%s", one_line(said))
        except Pause as pause:  # Prefect's own watch was faster than ours
            if pause.state is not None:
                self._stop_for_prefect(StopRequest.of(pause.state))
        except BaseException:
            self._running.stop_signal.stop_all("something unforeseen went wrong")
            raise
        finally:
            self._running.release(batch.takes)

    async def report(self, plan: Plan) -> RunSummary:
        """Write the results table from what the ledger knows now, and publish what it says.

        Raises:
            LocationError, ResultsUnwrittenError: it cannot be written; the latter if there was something to do.
        """
        if not self._hurried.is_set():
            await self._running.close()
            await self.client.rest()  # its connections are open files, and the table needs some
        place = self.order.results
        try:
            stats = await self._write(plan, place)
        except LocationError as error:
            if not plan.to_do:
                raise
            place = formats.beside(place, self.session.run_id)
            stats = await self._write_beside(plan, place, error)
        settings = self.session.settings
        dropped, elsewhere = await find_open(self.desk, plan.manifest, self.manifest_uri, settings.ledger)
        reserved = await self.desk.do(ledger_operations.reserved_by, self.session.run_id)
        self.session.progress.reserved = reserved
        summary = await asyncio.to_thread(
            run_summary_of,
            stats,
            run_id=self.session.run_id,
            results=place,
            submitted=self.session.progress.submissions,
            reserved=reserved,
            orphans=await self.desk.do(settling.orphans, settings.origin),
            dropped=dropped,
            open_elsewhere=elsewhere,
            stopped_by=self._running.stop_signal.reason,
            is_interrupted=self._is_interrupted,
        )
        if not self._hurried.is_set():
            await self._publish(summary)
        return summary

    async def _publish(self, summary: RunSummary) -> None:
        """Show the summary in Prefect; the table is written, so a failure changes nothing."""
        is_stopped = self.session.stop_request is not None  # then Prefect begins no task
        self.session.task_runs += not is_stopped
        try:
            async with asyncio.timeout(PUBLISHES_WITHIN_S):
                await (publish_summary.fn(summary) if is_stopped else publish_summary(summary))
        except Exception as error:  # noqa: BLE001 - see above
            get_run_logger().warning("the summary could not be published: %s", error)

    async def _write_beside(self, plan: Plan, place: str, problem: LocationError) -> TableStats:
        """Write the table beside its place, where something is in the way that was not there when the run began.

        Raises:
            ResultsUnwrittenError: it cannot be written there either.
        """
        try:
            stats = await self._write(plan, place)
        except LocationError:
            raise ResultsUnwrittenError(
                f"{problem}. What was bought is in the ledger; once that is mended, write the table with: "
                f"animatic results {self.order.manifest} --results {self.order.results}"
            ) from None
        stats.notes.append(f"{one_line(str(problem))}. This table was written beside it instead: {place}")
        return stats

    async def _write(self, plan: Plan, place: str) -> TableStats:
        mine = self.session.run_id
        is_dead = mine.__eq__ if self._hurried.is_set() else no_run_is_dead  # then its own replies will not be heard
        projection = ResultsWriter(plan.manifest, plan.final_attempts(), mine, self.desk, is_dead)
        if self.session.stop_request is not None:  # then Prefect begins no task
            return self._noting(await write_results.fn(projection, place))
        self.session.task_runs += 1
        return self._noting(await write_results(projection, place))

    def _noting(self, stats: TableStats) -> TableStats:
        """Warn of what the table says of itself, and keep it for the summary."""
        for note in stats.notes:
            get_run_logger().warning("%s", one_line(note))
        self._notes.update(dict.fromkeys(stats.notes))
        stats.notes = list(self._notes)  # also of the table that was replaced when the run began
        return stats

    @property
    def _running(self) -> Shoot:
        if self._shoot is None:
            raise RuntimeError("open_results comes first")
        return self._shoot

    def _config(self) -> RunConfig:
        settings = self.session.settings
        return RunConfig(
            run_id=self.session.run_id,
            provider=settings.origin,
            limits=settings.limits,
            queued_ahead=settings.queued_ahead,
            poll_floor_s=settings.poll_floor_s,
            take_deadline_s=settings.take_deadline_s,
            give_up_s=settings.give_up_s,
            policy=self.order.policy,
            max_microusd=self.max_microusd,
            price_microusd=settings.price_microusd,
            share_microusd=self.session.share_microusd,
            agreed=self.session.agreed,
            quotes=self.quotes,
        )


@asynccontextmanager
async def open_run(order: Order, session: Session) -> AsyncGenerator[Run]:
    """Open a run: its ledger, its liveness, which others can see, and a client.

    Raises:
        SettingsError: there is no key.
        LedgerError: the ledger cannot be trusted with money now.
    """
    settings = session.settings
    key = settings.require_key()
    session.flow_run_id = flow_run.id
    ledger = sqlite_path(settings.ledger)
    with Ledger(settings.ledger) as desk, liveness.alive(ledger, session.run_id) as receipts:
        uri = storage.absolute_uri(order.manifest)
        await desk.do(ledger_operations.begin_run, session.run_id, uri, socket.gethostname(), os.getpid())
        most = min(connections_that_fit(), MOST_CONNECTIONS)
        network = settings.network
        async with WaveSpeedClient(settings.base_url, key, network=network, most_connections=most) as client:
            uploads = UploadMemory(desk, settings.account, settings.base_url, network)
            yield Run(order, session, client, desk, receipts, uploads)


def _groups(items: list[T]) -> Iterator[list[T]]:
    """Items one by one while they are few, else in at most `MOST_STILL_TASKS` groups."""
    size = 1 if len(items) <= STILLS_ALONE else math.ceil(len(items) / MOST_STILL_TASKS)
    return (items[at : at + size] for at in range(0, len(items), size))
