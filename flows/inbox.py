"""An inbox: a folder of manifests, each run in every round until all of its takes have ended."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from logging import WARNING
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from animatic import storage
from animatic.errors import FixInputError
from animatic.ledger import open_ledger
from animatic.planning.inbox import ELSEWHERE, WRITTEN, Line, RunFiles, is_settled, sentence
from animatic.results import formats
from flows.animate import animate
from flows.flow_states import refused, require_not_suspended
from flows.inbox_order import MOST_AT_ONCE, MOST_QUIET_S, InboxOrder
from flows.inbox_round import Round
from flows.inbox_work import ManifestJob, Worker, is_free, read_whole, work_on
from flows.interrupts import Interrupts
from flows.process import HOLDS_UP_S, end_within
from flows.reporting import PUBLISHES_WITHIN_S
from flows.schedule import BlockName, session_of_schedule
from flows.session import SESSION, Session, new_run_id
from tasks.begun import begin
from tasks.inbox import publish_inbox
from tasks.logs import line_logger


def name_round() -> str:
    """Return `inbox`, the folder's name and an id that sorts by time."""
    folder = str(flow_run.parameters.get("prefix", "")).rstrip("/").rpartition("/")[2]
    return f"inbox {folder} {new_run_id()}"


def name_job() -> str:
    """Return the manifest's name and an id that sorts by time."""
    return f"{storage.name_of(str(flow_run.parameters.get('manifest', 'manifest')))} {new_run_id()}"


@flow(name="inbox", flow_run_name=name_round, persist_result=False)
async def inbox(  # noqa: PLR0913, PLR0917 - the parameters of a deployment, one by one, so that Prefect's UI can ask for them
    prefix: Annotated[str, Field(json_schema_extra={"minLength": 1})],
    results_prefix: str | None = None,
    pattern: str = "*",
    max_usd: Annotated[float, Field(json_schema_extra={"minimum": 0})] | None = None,
    skip_invalid: bool = False,
    suffix: Annotated[str, Field(json_schema_extra={"enum": [*formats.SUFFIXES]})] = ".parquet",
    review: bool = False,
    at_once: Annotated[int, Field(json_schema_extra={"minimum": 1, "maximum": MOST_AT_ONCE})] = 1,
    quiet_s: Annotated[float, Field(json_schema_extra={"minimum": 0, "maximum": MOST_QUIET_S})] = 10.0,
    deployment: str | None = None,
    options: dict[str, Any] | None = None,
    credentials: BlockName | None = None,
) -> State[None]:
    """Run every manifest in a folder that is not done yet. Safe to run at any time, also twice at once.

    The ledger says which run works on which manifest, and whether it is done. A manifest is done when none of its takes
    is pending, unknown or held; it is run again when its contents change.

    Args:
        prefix: URI of the folder of manifests: a path, s3://, gs:// or abfs://.
        results_prefix: URI of the folder for results, reports and pages. None puts them beside their manifests.
        pattern: Names of files that may be manifests, such as `*.csv`. The pattern `*/*` is one folder deeper.
        max_usd: Most dollars that a run of one manifest may commit. Required where takes cost money, unless the options
            hold spend_up_to.
        skip_invalid: Run the good rows of a manifest that has bad ones.
        suffix: Format of the results tables.
        review: Keep a review page for each manifest.
        at_once: Number of manifests that are run at once in this process.
        quiet_s: Seconds for which a file must have looked the same to be taken for whole.
        deployment: Deployment of the flow inbox-manifest to hand manifests over to, as FLOW/NAME. None runs them here.
        options: Further parameters of each run, by name, as the flow animate has them.
        credentials: Name of the WaveSpeedCredentials block to buy with; never a key. None is the worker's own account.
    """
    interrupts = Interrupts()
    run = {"max_usd": max_usd, "skip_invalid": skip_invalid, **(options or {})}
    try:
        session = SESSION.get() or await session_of_schedule(credentials)
        order = InboxOrder(prefix, results_prefix, pattern, suffix, review, at_once, quiet_s, deployment, run)
        order.require_run(animate.parameters.properties, session.settings)
        async with open_worker(storage.absolute_uri(prefix), session, interrupts, credentials) as worker:
            this = Round(order, worker)
            marks = await this.find()
            await this.work(await this.find_work(marks))
            lines = await this.lines(marks)
        return await _concluded(storage.absolute_uri(prefix), lines, worker.stopped_by, interrupts)
    except FixInputError as error:
        return refused(error)
    finally:
        end_within(HOLDS_UP_S)


@flow(name="inbox-manifest", flow_run_name=name_job, persist_result=False)
async def run_manifest(  # noqa: PLR0913, PLR0917 - as above
    manifest: str,
    results: str,
    report: str,
    page: str | None = None,
    options: dict[str, Any] | None = None,
    credentials: str | None = None,
) -> State[None]:
    """Run one manifest of an inbox that was handed over. One that another run works on is left to that run.

    Args:
        manifest: Absolute URI of the manifest, as the inbox has listed it.
        results: URI of its results table.
        report: URI of the report that is written where the manifest cannot be run.
        page: URI of the folder of its review page. None makes no page.
        options: Parameters of the run, by name, as the flow animate has them.
        credentials: Name of the WaveSpeedCredentials block to buy with; never a key. None is the worker's own account.
    """
    interrupts = Interrupts()
    job = ManifestJob(manifest, RunFiles(results, report, page or ""), page is not None, options or {})
    try:
        session = SESSION.get() or await session_of_schedule(credentials)
        async with open_worker(manifest, session, interrupts, credentials) as worker:
            line = await _carried_out(worker, job)
        return _final_state([line], worker.stopped_by, interrupts)
    except FixInputError as error:
        return refused(error)
    finally:
        end_within(HOLDS_UP_S)


@asynccontextmanager
async def open_worker(
    uri: str, session: Session, interrupts: Interrupts, credentials: str | None = None
) -> AsyncGenerator[Worker]:
    """Open a run in the ledger that others can see alive, and that holds manifests; it ends on a signal.

    `credentials` is the name of the block that the session buys with.

    Raises:
        SettingsError: there is no key.
        LedgerError: the ledger cannot be trusted with money now.
    """
    settings = session.settings
    settings.require_key()
    with open_ledger(settings.ledger) as ledger:
        async with ledger.run(session.run_id, uri, flow_run.id) as run:
            worker = Worker(settings, run, line_logger(WARNING), credentials)
            async with interrupts.obeyed(worker.stop):
                yield worker


async def _carried_out(worker: Worker, job: ManifestJob) -> Line:
    """Work on the manifest, unless it is done or another run works on it."""
    provider, name, words = worker.settings.origin, storage.name_of(job.uri), None
    known = (await worker.ledger.find_in_inbox(provider, [job.uri])).get(job.uri)
    if known is None or not is_free(worker, known):
        return Line(name, ELSEWHERE)
    content = await asyncio.to_thread(read_whole, job.uri, known.mark)
    if content is None:
        return Line(name, WRITTEN)
    is_news = False
    if not is_settled(known, content.sha256, job.files.results):
        words = await work_on(worker, job, known, content.sha256)
        is_news = words is None
    known = (await worker.ledger.find_in_inbox(provider, [job.uri]))[job.uri]
    return Line(name, words or known.state.value, known, is_news=is_news)


async def _concluded(prefix: str, lines: Sequence[Line], stopped_by: str | None, interrupts: Interrupts) -> State[None]:
    """Show the round in Prefect, and return its final state. Prefect that fails changes nothing."""
    if interrupts.stop_request is None:
        try:
            async with asyncio.timeout(PUBLISHES_WITHIN_S):
                await begin(publish_inbox(prefix, sentence(lines, stopped_by), lines))
        except Exception as error:  # noqa: BLE001 - see above
            line_logger(WARNING)(f"the table of manifests could not be published: {error}")
    return _final_state(lines, stopped_by, interrupts)


def _final_state(lines: Sequence[Line], stopped_by: str | None, interrupts: Interrupts) -> State[None]:
    """Failed where money may be at stake or the account was refused, so that alerts ring; see `flow_states`."""
    require_not_suspended(interrupts)
    message = sentence(lines, stopped_by)
    if any(line.is_news and line.is_unclear for line in lines):
        return Failed(message=message)
    if interrupts.is_stopped:
        return Cancelled(name="Interrupted", message=message)
    if stopped_by is not None:
        return Failed(message=message)
    if all(line.is_done or line.is_on_its_way for line in lines):
        return Completed(message=message)
    return Completed(name="CompletedWithFailures", message=message)
