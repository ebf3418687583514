"""Followers: takes that start from the last frame of another, fed to the run as the clips of those come in."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from animatic.errors import AnimaticError
from animatic.planning.plan import MOST_BATCHES, Batch
from animatic.progress import Progress
from animatic.takes.shots import Take
from animatic.takes.stills import LocalFile

MOST_AT_ONCE = MOST_BATCHES
"""So many takes that became ready together are one batch, and so many last frames one upload."""

COMPANY_S, COMPANY_SHARE = 1.0, 0.01
"""Wait of the clips of a large run for others: a share of the run so far, so that task runs stay some hundreds."""

Fetch = Callable[[Sequence[LocalFile]], Awaitable[None]]
"""Extracts and uploads last frames. Raises AnimaticError where one of them cannot be had."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Takes of one run that wait for others.

    Attributes:
        takes: by the fingerprint of the take that they start from.
        heights: how many takes follow each of them, by fingerprint.
        are_few: each is a batch of its own, and waits for no company.
    """

    takes: Mapping[str, Sequence[Take]]
    heights: Mapping[str, int]
    are_few: bool


class Followers:
    """Feeds takes that wait for others. Make it inside the event loop.

    Args:
        waiting: the takes.
        fetch: gets the last frames of takes whose clips are there.
        warn: gets a line for each last frame that cannot be had.
        progress: gets how many takes still wait for one another.

    Attributes:
        reasons: why takes that were waiting are not bought by this run, by fingerprint.
    """

    def __init__(self, waiting: Waiting, fetch: Fetch, warn: Callable[[str], None], progress: Progress) -> None:
        self._waiting = {source: list(takes) for source, takes in waiting.takes.items()}
        self._heights, self._are_few = waiting.heights, waiting.are_few
        self._fetch, self._warn, self._progress = fetch, warn, progress
        self._by_height = Counter(self._heights.values())
        self.reasons: dict[str, str] = {}
        self._handled = set[str]()
        self._together: list[str] = []  # those that wait for company
        self._ready: list[Take] = []
        self._changed = asyncio.Event()
        self._tasks = set[asyncio.Task[None]]()
        self._began_at = asyncio.get_running_loop().time()
        self._show()

    def sources(self) -> list[str]:
        """Return the takes that others wait for."""
        return list(self._waiting)

    def is_waited_for(self, fingerprint: str) -> bool:
        """Tell if takes wait for this one, whose clip was not seen to yet."""
        return fingerprint in self._waiting and fingerprint not in self._handled

    def clip_handled(self, source: str) -> None:
        """Get the last frame of a take whose clip was put into the archive, or could not be."""
        if not self.is_waited_for(source):
            return
        self._handled.add(source)
        if self._are_few:
            self._start(self._prepare([source]))
            return
        self._together.append(source)
        if len(self._together) == 1:
            self._start(self._collect())

    def ended(self, take: Take) -> None:
        """Release the takes that wait for one that did not become completed in this run."""
        if self.is_waited_for(take.fingerprint):
            self._leave(take.fingerprint, f"waits for the last frame of {take.name}, which is not completed")

    async def batches(self, heads: Iterator[Batch]) -> AsyncGenerator[Batch]:
        """Yield the takes that are ready, and those of `heads` while none is; end once nothing can follow any more."""
        number = 0
        while True:
            self._changed.clear()
            ready = self._taken()
            head = None if ready else next(heads, None)
            for takes in [head.takes] if head is not None else ready:
                number += 1
                yield Batch(number, takes)
            if head is None and not ready:
                if not self._waiting and not self._ready:
                    return
                await self._changed.wait()

    def close(self) -> None:
        """Give up what still waits: the run has stopped, or cannot go on."""
        for task in self._tasks:
            task.cancel()
        self._waiting.clear()
        self._changed.set()

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _taken(self) -> list[list[Take]]:
        takes, self._ready = self._ready, []
        size = 1 if self._are_few else MOST_AT_ONCE
        return [takes[start : start + size] for start in range(0, len(takes), size)]

    async def _collect(self) -> None:
        """Wait for more clips, then get the last frames of all together."""
        run_s = asyncio.get_running_loop().time() - self._began_at
        await asyncio.sleep(max(COMPANY_S, COMPANY_SHARE * run_s))
        sources, self._together = self._together, []
        for start in range(0, len(sources), MOST_AT_ONCE):
            self._start(self._prepare(sources[start : start + MOST_AT_ONCE]))

    async def _prepare(self, sources: Sequence[str]) -> None:
        """Make the takes ready that start from these, or say why they cannot be."""
        files = {source: file for source in sources if (file := self._file_of(source)) is not None}
        try:
            await self._fetch(list(files.values()))
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            if len(sources) > 1:
                for source in sources:
                    await self._prepare([source])
                return
            why = str(error) if isinstance(error, AnimaticError) else f"its still was not uploaded: {error!r:.200}"
            self._warn(why)
            self._leave(sources[0], why)
            return
        for source in sources:
            self._ready += self._released(source)
        self._changed.set()

    def _file_of(self, source: str) -> LocalFile | None:
        """Return what stands for the last frame of a take in those that wait for it."""
        takes = self._waiting.get(source, [])
        return next((file for take in takes for file in take.shot.files if file.identity.endswith(source)), None)

    def _leave(self, source: str, why: str) -> None:
        """Leave all takes that wait for this one, directly or by way of others, to the next run."""
        for take in self._released(source):
            self.reasons[take.fingerprint] = why
            self._progress.passed_on += 1
            self._leave(take.fingerprint, f"waits for the last frame of {take.name}, which waits itself")
        self._changed.set()

    def _released(self, source: str) -> list[Take]:
        """Return the takes that wait for this one, which wait no longer."""
        takes = self._waiting.pop(source, [])
        self._by_height.subtract(self._heights[take.fingerprint] for take in takes)
        self._show()
        return takes

    def _show(self) -> None:
        self._progress.chained = max((height + 1 for height, count in self._by_height.items() if count > 0), default=0)
