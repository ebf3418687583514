"""One round of an inbox: its files listed, those that are whole and not done worked on, each a line of the summary."""

import asyncio
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prefect.deployments import arun_deployment

from animatic import storage
from animatic.errors import LocationError
from animatic.errors.text import escaped
from animatic.planning.inbox import (
    ELSEWHERE,
    HANDED_OVER,
    UNNAMED,
    WRITTEN,
    FileStep,
    Line,
    is_candidate,
    is_settled,
    next_step,
)
from animatic.takes.inbox_files import FileState, InboxFile
from flows.inbox_order import InboxOrder
from flows.inbox_work import Content, ManifestJob, Worker, is_free, put_report, read_whole, work_on

LEFT = "left to the next round"
_MOST_KEYS = 20
_KEYS_OF_S = 4 * 3600
"""So many runs of a deployment may end without having begun a manifest, in so many seconds."""


@dataclass(slots=True)
class Round:
    """A round over the files of an inbox.

    Attributes:
        words: why a file was not worked on in this round, by its path below the inbox.
        unnamed: files that no URI can name, with the reason.
        marks: the mark under which a file was found whole, by its path.
        worked_on: paths of manifests that were run.
    """

    order: InboxOrder
    worker: Worker
    words: dict[str, str] = field(default_factory=dict[str, str])
    unnamed: dict[str, str] = field(default_factory=dict[str, str])
    marks: dict[str, str] = field(default_factory=dict[str, str])
    worked_on: set[str] = field(default_factory=set[str])

    async def find(self) -> dict[str, str]:
        """Return the files that may be manifests: a mark by their path. Raises LocationError."""
        found = await asyncio.to_thread(storage.marks_below, self.order.prefix, self.order.pattern)
        return {path: found[path] for path in sorted(found) if is_candidate(path) and self._is_named(path)}

    async def find_work(self, marks: Mapping[str, str]) -> list[str]:
        """Return the files that are whole and not done; wait once, where a second look is needed to tell."""
        known = await self._known(marks)
        steps = {path: self._step(path, mark, known) for path, mark in marks.items()}
        await self._note({path: marks[path] for path, step in steps.items() if step is not FileStep.SKIP})
        later = [path for path, step in steps.items() if step is FileStep.LOOK_AGAIN]
        whole = {path for path, step in steps.items() if step is FileStep.WORK}
        if later and self.worker.stopped_by is None:
            await asyncio.sleep(self.order.quiet_s)
            again = await self.find()
            whole |= {path for path in later if again.get(path) == marks[path]}
            await self._note({path: again[path] for path in later if path in again})
        self.words.update(dict.fromkeys(set(later) - whole, WRITTEN))
        self.marks = {path: marks[path] for path in whole}
        return [path for path in marks if path in whole]

    async def work(self, paths: list[str]) -> None:
        """Work on manifests, as many at once as the order says."""
        known, waiting = await self._known(paths), iter(paths)
        await asyncio.gather(*(self._take_turns(waiting, known) for _ in range(self.order.at_once)))

    async def lines(self, paths: Mapping[str, str]) -> list[Line]:
        """Return the summary of the round: a line for each manifest, what needs a person first."""
        known = await self._known(paths)
        found = [self._line(path, known.get(self.order.uri(path))) for path in paths]
        manifests = [each for each in found if each.known is None or each.known.state is not FileState.FOREIGN]
        manifests += [Line(escaped(path), UNNAMED, report=reason) for path, reason in self.unnamed.items()]
        return sorted(manifests, key=lambda each: (each.rank, each.name))

    def _is_named(self, path: str) -> bool:
        """Tell if a URI can name a file; note the reason where none can."""
        try:
            self.order.uri(path)
            self.order.files_of(path)
        except LocationError as error:
            if path not in self.unnamed:
                self.worker.warn(f"{UNNAMED}: {error}")
            self.unnamed[path] = str(error)
            return False
        return True

    async def _take_turns(self, waiting: Iterator[str], known: Mapping[str, InboxFile]) -> None:
        for path in waiting:
            if self.worker.stopped_by is not None:
                self.words[path] = LEFT
                continue
            words = await self._take_up(path, known.get(self.order.uri(path)))
            if words is not None:
                self.words[path] = words

    async def _take_up(self, path: str, known: InboxFile | None) -> str | None:
        """Work on one manifest, or hand it over; return why that was not done, None where it was."""
        worker, uri, files = self.worker, self.order.uri(path), self.order.files_of(path)
        if known is None or not is_free(worker, known):
            return ELSEWHERE
        try:
            content = await asyncio.to_thread(read_whole, uri, self.marks.get(path, known.mark))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one file, it stops no other
            await put_report(worker, uri, files.report, error)
            return LEFT
        return WRITTEN if content is None else await self._work_on(path, known, content)

    async def _work_on(self, path: str, known: InboxFile, content: Content) -> str | None:
        """Work on a file that was read, or hand it over, if it is a manifest with something left to do."""
        worker, uri, files = self.worker, self.order.uri(path), self.order.files_of(path)
        if content.is_ours:
            await worker.ledger.note_foreign(worker.settings.origin, uri, content.sha256)
            return None
        if is_settled(known, content.sha256, files.results):
            await worker.ledger.note_settled(known)
            return None
        job = ManifestJob(uri, files, self.order.has_pages, self.order.run)
        if self.order.deployment is None:
            words = await work_on(worker, job, known, content.sha256)
            if words is None:
                self.worked_on.add(path)
            return words
        return await self._hand_over(self.order.deployment, job, known, content.sha256)

    async def _hand_over(self, deployment: str, job: ManifestJob, known: InboxFile, content: str) -> str:
        """Start a run of the deployment for a manifest, unless one is waiting for a worker or under way.

        Two rounds at once ask for the same run, by its key. A run that ended without having begun on the manifest has
        used its key up; there are new ones every few hours, since what kept it from beginning may be mended by then.
        """
        provider, files = self.worker.settings.origin, job.files
        seed = "\0".join(
            (provider, job.uri, content, files.results, str(known.runs), str(int(time.time() // _KEYS_OF_S)))
        )
        key = f"animatic-inbox-{hashlib.sha256(seed.encode()).hexdigest()[:32]}"
        parameters: dict[str, Any] = {
            "manifest": job.uri,
            "results": files.results,
            "report": files.report,
            "page": files.page if job.has_page else None,
            "options": dict(job.parameters),
        }
        if self.worker.credentials is not None:
            parameters["credentials"] = self.worker.credentials
        for number in range(_MOST_KEYS):
            run = await arun_deployment(
                deployment, parameters=parameters, idempotency_key=f"{key}-{number}", as_subflow=False, timeout=0
            )
            if run.state is None or not run.state.is_final():
                return HANDED_OVER
        self.worker.warn(
            f"{job.uri}: {_MOST_KEYS} runs of {deployment} ended without having begun on it; see their logs"
        )
        return LEFT

    def _step(self, path: str, mark: str, known: Mapping[str, InboxFile]) -> FileStep:
        file, results = known.get(self.order.uri(path)), self.order.files_of(path).results
        return next_step(file, mark, results, datetime.now(UTC), self.order.quiet_s)

    def _line(self, path: str, known: InboxFile | None) -> Line:
        is_refused = known is not None and known.state is FileState.REFUSED
        words = self.words.get(path) or (known.state.value if known is not None else LEFT)
        report = self.order.files_of(path).report if is_refused else ""
        return Line(path, words, known, report, path in self.worked_on)

    async def _known(self, paths: Mapping[str, str] | list[str]) -> dict[str, InboxFile]:
        uris = [self.order.uri(path) for path in paths]
        return await self.worker.ledger.find_in_inbox(self.worker.settings.origin, uris)

    async def _note(self, marks: Mapping[str, str]) -> None:
        by_uri = {self.order.uri(path): mark for path, mark in marks.items()}
        if by_uri:
            await self.worker.ledger.note_marks(self.worker.settings.origin, by_uri)
