"""Quality checks of a run's clips: beside everything else while it buys, and what is left once its table is written.

A run never waits for a check to know what it bought: exit code, summary and table are settled before. What is not
checked when the run ends, the next run checks, or `animatic results`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from animatic.ledger import Clip, Ledger, in_chunks
from animatic.media.checks import CHECKS_VERSION
from animatic.media.clip_checks import CheckBatch, CheckTools, ClipChecks, is_unchecked, open_checks, open_tools
from animatic.media.local_stills import LocalStills
from animatic.planning.plan import Plan
from animatic.progress import ChecksProgress
from animatic.results.clips import clips_by_attempt
from animatic.takes.fingerprints import hex_of
from flows.process import child_environment
from flows.settings import Settings

MOST_IN_A_BATCH = 50
FOLLOWS_FOR_S = 600.0
"""Longest time that checks go on once the table is written."""

STOPS_WITHIN_S = 3.0

Paths = Callable[[Sequence[str]], Mapping[str, str]]
"""Returns the local stills of some takes: from what identifies them to their paths in the manifest."""

RunBatch = Callable[[CheckBatch, ClipChecks], Awaitable[None]]
"""Checks a batch: the task of it, or the check itself."""


class Checking:
    """Checks clips of one ledger, in the order in which it hears of their takes; use `close` at the end.

    Args:
        archive: URI of the folder whose clips the table shows where a clip is in several.
        paths: of local stills; None where there is no manifest.
        run_batch: checks a batch.
        tools: what is worked with, which the caller closes; None opens it for the first clip.
    """

    def __init__(  # noqa: PLR0913 - what it works with, each with a name
        self,
        ledger: Ledger,
        settings: Settings,
        progress: ChecksProgress,
        *,
        archive: str,
        run_batch: RunBatch,
        local: LocalStills | None = None,
        paths: Paths = lambda _: {},
        tools: CheckTools | None = None,
    ) -> None:
        self._ledger, self._settings, self._progress = ledger, settings, progress
        self._archive, self._run_batch, self._local, self._paths = archive, run_batch, local, paths
        self._tools = tools
        self._waiting: asyncio.Queue[Sequence[str]] = asyncio.Queue()
        self._known = set[str]()
        self._checks: ClipChecks | None = None
        self._stopped = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def archived(self, fingerprints: Sequence[str]) -> None:
        """Check the clips of takes that were just archived."""
        if self._stopped.is_set():
            return
        self._waiting.put_nowait(fingerprints)
        if self._work is None:
            self._work = asyncio.create_task(self._check_all())

    def stop(self) -> None:
        """Check nothing more, and give up what is being checked."""
        self._stopped.set()
        self._waiting.put_nowait(())
        if self._checks is not None:
            self._checks.stop()

    async def check_rest(self, fingerprints: Sequence[str], within_s: float = FOLLOWS_FOR_S) -> None:
        """Check what is left of the clips of these takes, until that is done, `stop`, or the time is over.

        Raises:
            LedgerError: the ledger cannot be read or written.
            OSError: a process or a folder cannot be had.
        """
        if not self._stopped.is_set():
            for some in in_chunks(fingerprints):
                unchecked = await self._ledger.unchecked(some, CHECKS_VERSION)
                for start in range(0, len(unchecked), MOST_IN_A_BATCH):
                    self.archived(unchecked[start : start + MOST_IN_A_BATCH])
        self._waiting.put_nowait(())
        if self._work is None:
            return
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({self._work, stopped}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        await self.close()

    async def close(self) -> None:
        """End the work. Raises what it raised."""
        work, self._work = self._work, None
        if work is None:
            return
        if not work.done():
            self.stop()
            await asyncio.wait({work}, timeout=STOPS_WITHIN_S)
        if not work.done():
            work.cancel()
            await asyncio.wait({work}, timeout=STOPS_WITHIN_S)
        if work.done() and not work.cancelled():
            work.result()

    async def _check_all(self) -> None:
        async with AsyncExitStack() as stack:
            while (names := await self._waiting.get()) and not self._stopped.is_set():
                clips = await self._unchecked(names)
                self._progress.total += len(clips)
                if not clips:
                    continue
                checks = self._checks = self._checks or await self._open(stack)
                paths = await asyncio.to_thread(self._paths, names)
                for start in range(0, len(clips), MOST_IN_A_BATCH):
                    await self._run_batch(CheckBatch(clips[start : start + MOST_IN_A_BATCH], paths), checks)

    async def _open(self, stack: AsyncExitStack) -> ClipChecks:
        settings, tools = self._settings, self._tools
        if tools is None:
            opening = open_tools(child_environment(), settings.base_url, settings.network)
            tools = await stack.enter_async_context(opening)
        return stack.enter_context(open_checks(self._ledger, self._progress, tools, self._local))

    async def _unchecked(self, names: Sequence[str]) -> list[Clip]:
        """Return the clips of these takes that the table shows, are not checked, and were not met before."""
        fresh = [name for name in dict.fromkeys(names) if name not in self._known]
        self._known.update(fresh)
        shown = clips_by_attempt(await self._ledger.clips_of(fresh), self._archive)
        return [clips[0] for clips in shown.values() if clips and is_unchecked(clips[0])]


def fingerprints_of(plan: Plan) -> list[str]:
    """Return the fingerprints of all takes of a plan's manifest."""
    return list(dict.fromkeys(hex_of(plan.manifest.digests)))


def paths_of(plan: Plan) -> Paths:
    """Return the function from takes of a plan to the paths of their local stills."""

    def paths(fingerprints: Sequence[str]) -> dict[str, str]:
        return {identity: path for take in plan.find(fingerprints) for identity, path in take.shot.paths.items()}

    return paths
