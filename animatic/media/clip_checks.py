"""Check archived clips, and write what is found into the ledger. Free to repeat: the ledger knows which were checked.

Nothing waits for a check. It can be given up at any moment; what was not written down is checked another time.
"""

import asyncio
import functools
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from animatic import storage
from animatic.errors import ClipUnavailableError, LocationError
from animatic.ledger import Bought, Clip, Ledger, Quality
from animatic.media.asked_clips import asked_by
from animatic.media.checkers import Checkers
from animatic.media.checks import CHECKS_VERSION, failing
from animatic.media.clip_stills import ClipStills, copy_clip, still_downloader
from animatic.media.downloads import ClipDownloader
from animatic.media.last_frames import LastFrames
from animatic.media.local_stills import LocalStills
from animatic.progress import ChecksProgress
from animatic.takes.stills import MEDIA_FORMS
from animatic.web.network import DIRECT, Network

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

COPIED_AT_ONCE = 4
"""Clips that are not on this machine's disk are copied, so many at a time."""


class CheckBatch:
    """Clips that one Prefect task run checks. Not a dataclass on purpose: Prefect would walk all of it.

    `paths` are of the manifest's local stills, by what identifies them.
    """

    __slots__ = ("clips", "paths")

    def __init__(self, clips: Sequence[Clip], paths: Mapping[str, str]) -> None:
        self.clips, self.paths = clips, paths

    @property
    def name(self) -> str:
        """The clip's own name, or which these are."""
        first = self.clips[0].name
        return first if len(self.clips) == 1 else f"{len(self.clips)} clips: {first} to {self.clips[-1].name}"


def is_unchecked(clip: Clip) -> bool:
    """Tell if a clip is to be checked: an archived video, the first output of its take, that these checks never saw."""
    if clip.output != 1 or clip.file is None or clip.sha256 is None or _container(clip) is None:
        return False
    return clip.quality is None or clip.quality.version != CHECKS_VERSION


def _container(clip: Clip) -> str | None:
    """Return FFmpeg's name of a clip's format, by its suffix; None for what is no video."""
    form = MEDIA_FORMS.get(f".{(clip.file or '').rpartition('.')[2].lower()}")
    return form.container if form is not None and form.kind == "video" else None


class ClipChecks:
    """Checks clips of one ledger; made by `open_checks`."""

    def __init__(
        self, ledger: Ledger, checkers: Checkers, stills: ClipStills, folder: Path, progress: ChecksProgress
    ) -> None:
        self._ledger, self._checkers, self._stills, self._folder = ledger, checkers, stills, folder
        self._progress, self._is_stopped = progress, False
        self._underway = set[asyncio.Task[None]]()
        self._room_to_copy = asyncio.Semaphore(COPIED_AT_ONCE)
        self.network: Network = DIRECT
        self.rank = 0

    def stop(self) -> None:
        """Give up what is being checked, and check nothing more."""
        self._is_stopped = True
        for task in self._underway:
            task.cancel()

    async def check(self, batch: CheckBatch) -> None:
        """Check clips, and record each result; one that cannot be read is left to another time.

        Raises:
            LedgerError: the ledger cannot be read or written.
        """
        if self._is_stopped:
            return
        bought = {
            each.attempt_id: each for each in await self._ledger.bought([clip.attempt_id for clip in batch.clips])
        }
        tasks = {
            asyncio.create_task(self._check(clip, bought[clip.attempt_id], batch.paths))
            for clip in batch.clips
            if clip.attempt_id in bought and not self._is_stopped
        }
        if not tasks:
            return
        self._underway |= tasks
        try:
            await asyncio.wait(tasks)
        finally:
            self._underway -= tasks
            for task in tasks:
                task.cancel()
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _check(self, clip: Clip, bought: Bought, paths: Mapping[str, str]) -> None:
        try:
            found = await self._quality(clip, bought, paths)
        except (ClipUnavailableError, LocationError, OSError):
            self._progress.unread += 1
            return
        await self._ledger.note_quality([found])
        self._progress.done += 1
        self._progress.failing += bool(found.failed)

    async def _quality(self, clip: Clip, bought: Bought, paths: Mapping[str, str]) -> Quality:
        container, still = _container(clip) or "", await self._stills.find(bought, paths)
        measure = functools.partial(
            self._checkers.measure, sha256=clip.sha256 or "", container=container, still=still, rank=self.rank
        )
        local = storage.real_path(clip.uri or "")
        if local is not None:
            found = await measure(Path(local))
        else:
            async with self._room_to_copy:
                copy = self._folder / f"clip-{clip.clip_id}"
                try:
                    await asyncio.to_thread(copy_clip, clip, copy, self.network)
                    found = await measure(copy)
                finally:
                    copy.unlink(missing_ok=True)
        failed = failing(found, asked_by(bought.model, bought.inputs))
        quality = Quality(clip.attempt_id, clip.output, clip.sha256 or "", CHECKS_VERSION, failed)
        if found is None:
            return quality
        return Quality(
            *(quality.attempt_id, quality.output, quality.sha256, quality.version, quality.failed),
            first_frame_similarity=found.first_frame_similarity,
            black_fraction=found.black_fraction,
            frozen_fraction=found.frozen_fraction,
            cuts=found.cuts,
            motion=found.motion,
        )


@dataclass(frozen=True, slots=True)
class CheckTools:
    """Processes, a folder for copies, and a guarded client for stills; made by `open_tools`.

    Attributes:
        rank: of the clips, where several checks share the processes: those with a lower one go first.
    """

    checkers: Checkers
    folder: Path
    downloader: ClipDownloader
    network: Network
    rank: int = 0


@asynccontextmanager
async def open_tools(
    environment: Mapping[str, str], origin: str = "", network: Network = DIRECT
) -> "AsyncGenerator[CheckTools]":
    """Open what checks work with; one after the other they may share it. A process is started with the first clip.

    Args:
        environment: of the processes; without the key.
        origin: scheme, host and port that may be fetched from though they are private; empty for none.
        network: proxies and authorities.

    Raises:
        OSError: there is no folder for copies.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="animatic-checks-", ignore_cleanup_errors=True)))
        downloader = await stack.enter_async_context(still_downloader(origin, network))
        yield CheckTools(await stack.enter_async_context(Checkers(environment, folder)), folder, downloader, network)


@contextmanager
def open_checks(
    ledger: Ledger, progress: ChecksProgress, tools: CheckTools, local: LocalStills | None = None
) -> "Generator[ClipChecks]":
    """Open checks of one ledger's clips; what is under way at the end of the block is given up.

    Args:
        ledger: that knows the clips, and learns what is found.
        progress: is counted up.
        tools: are left open.
        local: the manifest's stills; None where there is no manifest.

    Raises:
        OSError: there is no folder for copies.
    """
    with TemporaryDirectory(prefix="checks-", dir=tools.folder, ignore_cleanup_errors=True) as name:
        stills = ClipStills(Path(name), LastFrames(ledger, tools.network), tools.downloader, local)
        checks = ClipChecks(ledger, tools.checkers, stills, Path(name), progress)
        checks.network, checks.rank = tools.network, tools.rank
        try:
            yield checks
        finally:
            checks.stop()
