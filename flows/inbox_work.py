"""Work on one manifest of an inbox: held in the ledger, run, and released with its end."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple, cast

from animatic import storage
from animatic.errors import AnimaticError, FixInputError, KeyRefusedError, LocationError
from animatic.errors.text import one_line
from animatic.ledger import Ledger, LedgerRun
from animatic.manifest.source import MAX_FILE_BYTES
from animatic.planning.inbox import ELSEWHERE, RunFiles, end_of, is_of_ours, is_report, refused_end, report_text
from animatic.results.reading import read_head
from animatic.takes.inbox_files import FileState, InboxEnd, InboxFile
from flows.animate import animate
from flows.json_log import RUN_ID
from flows.session import SESSION, RunEnd, Session
from flows.settings import Settings
from flows.terminal import error_line
from tasks.alerts import REPORT_WRITTEN, alert, speaking_for_others

_MOST_REPORT_BYTES = 4 << 20


@dataclass(slots=True)
class Worker:
    """A run that works on manifests of an inbox, one or several at once.

    Attributes:
        run: its run in the ledger, which others can see alive.
        warn: logs a line that a person should read.
        credentials: name of the block that it buys with; None where the account is the environment's.
        stopped_by: why it takes up no more manifests; None while it does.
    """

    settings: Settings
    run: LedgerRun
    warn: Callable[[str], None]
    credentials: str | None = None
    stopped_by: str | None = None

    @property
    def ledger(self) -> Ledger:
        """The open ledger."""
        return self.run.ledger

    def stop(self, reason: str) -> None:
        """Take up no more manifests."""
        self.stopped_by = self.stopped_by or reason


@dataclass(frozen=True, slots=True)
class ManifestJob:
    """A manifest, its files, and how it is to be run.

    Attributes:
        uri: absolute URI of the manifest.
        has_page: it gets a review page.
        parameters: further ones of `animate`.
    """

    uri: str
    files: RunFiles
    has_page: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Content(NamedTuple):
    """SHA-256 of a file's bytes, and whether it is a table that animatic itself wrote."""

    sha256: str
    is_ours: bool


def read_whole(uri: str, mark: str) -> Content | None:
    """Read a file that was whole under a mark; None where it has changed since, or changes while it is read.

    Raises LocationError if it cannot be read.
    """
    if storage.listed_mark_of(uri) != mark:
        return None
    content = _read(uri)
    return content if storage.listed_mark_of(uri) == mark else None


def _read(uri: str) -> Content:
    with storage.open_copy(uri, max_bytes=MAX_FILE_BYTES) as file:
        sha256 = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
        return Content(sha256, _is_ours(file, storage.name_of(uri)))


def _is_ours(file: BinaryIO, name: str) -> bool:
    try:
        head = read_head(file, name)
    except LocationError:  # a manifest of another form, or a broken one: its run says which
        return False
    return head.is_ours or is_of_ours(head.names)


def is_free(worker: Worker, known: InboxFile) -> bool:
    """Tell if no live run holds a file."""
    return known.holder is None or not worker.ledger.is_alive(known.holder)


async def work_on(worker: Worker, job: ManifestJob, known: InboxFile, content: str) -> str | None:
    """Hold a manifest, run it, and release it with its end; return why it was not run, None where it was.

    `known` is the file as it was read from the ledger, with no holder or with one that is dead.
    """
    ledger = worker.ledger
    if not await ledger.hold_manifest(known, content, job.files.results, worker.run.run_id):
        return ELSEWHERE
    end = await _run(worker, job, known)
    await ledger.release_manifest(known, worker.run.run_id, end)
    return None


async def _run(worker: Worker, job: ManifestJob, known: InboxFile) -> InboxEnd:
    """Run a manifest to its end, and put a report beside it, or take that away. A broken one raises nothing."""
    session = Session(worker.settings)
    token, of_log = SESSION.set(session), RUN_ID.set(session.run_id)
    try:
        running: Any = animate(
            manifest=job.uri,
            results=job.files.results,
            review=job.files.page if job.has_page else None,
            credentials=worker.credentials,
            **job.parameters,
            return_state=True,
        )
        with speaking_for_others(f"{one_line(storage.name_of(job.uri))}: "):
            await running
        run, problem = session.end.result() if session.end.done() else RunEnd(), None
    except Exception as error:  # noqa: BLE001 - Prefect's own; one manifest stops no other
        run, problem = session.end.result() if session.end.done() else RunEnd(), error
    finally:
        SESSION.reset(token)
        RUN_ID.reset(of_log)
    problem = run.problem or problem
    if problem is not None and not isinstance(problem, Exception):
        raise problem
    if isinstance(problem, KeyRefusedError):  # nothing is wrong with the manifest
        worker.stop(str(problem))
        return InboxEnd(FileState.OPEN, known.counts, known.spent_microusd, one_line(str(problem)))
    if run.summary is None:
        return await _refused(worker, job, known, problem)
    summary = run.summary
    if summary.is_account_refused:
        worker.stop(summary.stopped_by or "WaveSpeed refused the key or the account")
    await _take_report_away(worker, job)
    end = end_of(summary.counts, summary.manifest_cost_microusd, summary.not_archived, summary.stopped_by)
    is_beside = summary.results != job.files.results
    return InboxEnd(FileState.OPEN, end.counts, end.spent_microusd, end.problem) if is_beside else end


async def _refused(worker: Worker, job: ManifestJob, known: InboxFile, problem: Exception | None) -> InboxEnd:
    """Put a report beside a manifest that could not be run; return the end of the run."""
    return refused_end(known, await put_report(worker, job.uri, job.files.report, problem))


async def put_report(worker: Worker, uri: str, place: str, problem: Exception | None) -> str:
    """Put a report on the manifest of a URI into its place; return what it says."""
    text = str(problem) if isinstance(problem, AnimaticError) else _unexpected(problem)
    name = one_line(storage.name_of(uri))
    line = f"{name}: {text.strip().partition(chr(10))[0]}"
    worker.warn(line)
    report = report_text(name, text, is_input=isinstance(problem, FixInputError))
    try:
        if await asyncio.to_thread(_put_report, place, report.encode()):
            alert(REPORT_WRITTEN, f"{line}; its report is {one_line(place)}", worker.warn)
    except LocationError as error:
        worker.warn(f"{name}: its report cannot be written: {error}")
    return text


def _unexpected(problem: Exception | None) -> str:
    said = "it did not begin" if problem is None else error_line(problem)
    return f"the run ended with an unexpected error: {said}; the log of the run has the details"


def _put_report(uri: str, report: bytes) -> bool:
    """Write a report, unless just this one is there; return True if it was written. Raises LocationError."""
    with suppress(LocationError):
        if storage.exists(uri) and storage.read_bytes(uri, max_bytes=_MOST_REPORT_BYTES) == report:
            return False
    storage.replace_bytes(uri, report)
    return True


async def _take_report_away(worker: Worker, job: ManifestJob) -> None:
    """Remove the report of an earlier round, where there is one."""
    try:
        await asyncio.to_thread(_remove_report, job.files.report, one_line(storage.name_of(job.uri)))
    except LocationError as error:
        worker.warn(f"the report of an earlier round stays: {error}")


def _remove_report(uri: str, name: str) -> None:
    if storage.exists(uri) and is_report(name, storage.read_bytes(uri, max_bytes=_MOST_REPORT_BYTES)):
        storage.remove(uri)
