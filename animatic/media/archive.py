"""The archive: clips in a folder, each fetched once, by whichever run, as soon as it is completed.

The ledger is asked first, and each result is recorded at once. Clips are downloaded in threads with event loops of
their own, so that no submission and no poll waits for one.
"""

import asyncio
import errno
import functools
import itertools
import os
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from animatic.errors import (
    AnimaticError,
    ClipRefusedError,
    ClipUnavailableError,
    LocationError,
    NeverAgainError,
    TryLaterError,
)
from animatic.errors.text import one_line
from animatic.ledger import Booking, Clip, KeptClip, Ledger, Record, WantedClip
from animatic.machine.waiting import Together
from animatic.media.archive_room import USUAL_CLIP_BYTES
from animatic.media.clip_names import ClipIdentity, ClipName, same_name_key
from animatic.media.download_threads import DOWNLOAD_THREADS, DownloadThread
from animatic.media.downloads import DOWNLOADS_AT_ONCE, ClipDownloader, Download
from animatic.progress import ArchiveProgress
from animatic.storage.folder import Folder, Incoming
from animatic.storage.stores import is_passing
from animatic.wavespeed.client import WaveSpeedClient
from animatic.web.network import DIRECT, Network

BACKOFFS_S = (1.0, 4.0, 15.0)
"""Waits before a download is tried again, each shortened or lengthened by up to a half."""

OTHERS_WITHIN_S, FIRST_LOOK_S, LONGEST_LOOK_S = 120.0, 0.5, 5.0
"""Time that a run waits for a clip which another run fetches, and the intervals, ever longer, at which it looks."""

NAMES_WITHIN_S = 0.1
"""Longest wait of a clip in its place for others: one sync of the folder makes all their names last."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_VIDEOS = frozenset({".mp4", ".mov", ".webm"})

Ask = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the outputs of a prediction, by its id, as the API gives them now. Raises TryLaterError, NeverAgainError."""


def asking(client: WaveSpeedClient) -> Ask:
    """Return the function that asks WaveSpeed for outputs anew."""

    async def ask(prediction_id: str) -> Sequence[str]:
        return (await client.result(prediction_id)).outputs

    return ask


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a completed take.

    Attributes:
        name: what messages call it.
        url: as the API gave it.
    """

    attempt_id: int
    identity: ClipIdentity
    name: str
    url: str


def outputs_of(record: Record, take: ClipIdentity, name: str) -> list[Output]:
    """Return the outputs of a completed take, numbered; `take` is the identity of any of them, `name` the take's."""
    prediction_id = record.prediction_id or ""
    return [
        Output(record.attempt_id, replace(take, prediction_id=prediction_id, output=number), name, url)
        for number, url in enumerate(record.outputs or (), 1)
    ]


def in_groups(outputs: Sequence[Output], most: int) -> list[Sequence[Output]]:
    """Return outputs in groups of about so many; those of an attempt stay together: all are booked, or none."""
    groups: list[list[Output]] = []
    for _, of_attempt in itertools.groupby(outputs, key=lambda output: output.attempt_id):
        together = list(of_attempt)
        if not groups or len(groups[-1]) + len(together) > most:
            groups.append([])
        groups[-1] += together
    return list(groups)


class ClipBatch:
    """Outputs that one Prefect task run archives. Not a dataclass on purpose: Prefect would walk all of it."""

    __slots__ = ("outputs",)

    def __init__(self, outputs: Sequence[Output]) -> None:
        self.outputs = outputs

    @property
    def name(self) -> str:
        """The output's own name, or which these are."""
        first = self.outputs[0].name
        return first if len(self.outputs) == 1 else f"{len(self.outputs)} clips: {first} to {self.outputs[-1].name}"


class Archive:
    """Puts clips into a folder. Use as `async with`.

    Args:
        run_id: the run that fetches, which must be alive.
        ask: asks for the outputs of a prediction anew, where a URL has died.
        warn: gets the messages that a person should see at once.
        origin: scheme, host and port that may be fetched from though they are private; empty for none.
        is_listed: all that is in the folder is looked at when it is opened, else each clip once it is asked for.

    Attributes:
        problem: why nothing more is archived, once that is so.
    """

    def __init__(  # noqa: PLR0913 - what it works with, each with a name
        self,
        folder: Folder,
        clip_name: ClipName,
        ledger: Ledger,
        *,
        run_id: str,
        ask: Ask,
        warn: Callable[[str], None],
        progress: ArchiveProgress,
        origin: str = "",
        network: Network = DIRECT,
        is_listed: bool = True,
    ) -> None:
        self.folder, self.clip_name, self.progress = folder, clip_name, progress
        self.problem: str | None = None
        self._ledger, self._run_id, self._ask, self._warn = ledger, run_id, ask, warn
        self._is_listed, self._there = is_listed, dict[str, int]()
        self._names_there: dict[int, set[str]] = {}
        self._incomplete, self._warned = set[int](), set[str]()
        self._on_their_way = set[asyncio.Future[KeptClip]]()
        self._threads = [DownloadThread(origin, network) for _ in range(DOWNLOAD_THREADS)]
        self._room = asyncio.Semaphore(2 * DOWNLOADS_AT_ONCE)
        self._one_by_one, self._largest_bytes = asyncio.Lock(), 0
        self._names_last = Together(functools.partial(asyncio.to_thread, folder.sync), NAMES_WITHIN_S)

    async def __aenter__(self) -> Self:
        """Look into the folder.

        Raises:
            LocationError: it cannot be looked into.
        """
        try:
            await asyncio.to_thread(self.folder.sweep)
            if self._is_listed:
                self._there = await asyncio.to_thread(self.folder.sizes)
        except Exception as error:  # noqa: BLE001 - file systems raise whatever their clients raise
            reason = self.folder.failure(error, "look into")
            raise LocationError(f"{reason}; mend that, or give another --archive") from None
        if self._is_listed:
            await self._learn()
        for thread in self._threads:
            await thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for thread in self._threads:
            await thread.stop()

    async def _learn(self) -> None:
        """Hold what the ledger knows of this archive against what is in it."""
        after = known = 0
        while rows := await self._ledger.clips_in(self.folder.uri, after):
            for clip_id, attempt_id, name, file, size_bytes in rows:
                after, known = clip_id, known + (file is not None)
                if file is not None and self._there.get(file) == size_bytes:
                    self._names_there.setdefault(attempt_id, set()).add(name)
                else:
                    self._incomplete.add(attempt_id)
        if known and not self._names_there:
            self._warn(
                f"archive {self.folder.place}: found none of the {known:,} clips that the ledger knows there; if it is "
                "a disk that is not mounted, stop, mount it and run again. Else they are fetched again, as far as they "
                "can be"
            )

    def has(self, attempt_id: int, identity: ClipIdentity) -> bool:
        """Tell if all outputs of an attempt were there under this name when the archive was opened."""
        names = self._names_there.get(attempt_id)
        if names is None or attempt_id in self._incomplete:
            return False
        return any(
            name.removesuffix(_PLACEHOLDER) in names for name in self.clip_name.candidates(identity, _PLACEHOLDER)
        )

    async def add(self, outputs: Sequence[Output]) -> None:
        """Put these outputs into the archive, unless they are there. The ledger records each failure.

        Raises:
            LedgerError: the ledger cannot be read or written.
        """
        wanted = [self._wanted(output) for output in outputs]
        bookings = await self._ledger.book_clips(self.folder.uri, wanted, self._run_id)
        names = ([name for name, _ in each.names] for each in wanted)
        await asyncio.gather(*(self._add(*each) for each in zip(outputs, bookings, names, strict=True)))

    def stop(self, problem: str) -> None:
        """Fetch nothing more, and give up what is on its way; the next run goes on."""
        self.problem = self.problem or problem
        for download in self._on_their_way:
            download.cancel()

    def _wanted(self, output: Output) -> WantedClip:
        names = [name.removesuffix(_PLACEHOLDER) for name in self.clip_name.candidates(output.identity, _PLACEHOLDER)]
        return WantedClip(
            output.attempt_id, output.identity.output, tuple((each, same_name_key(each)) for each in names)
        )

    async def _add(self, output: Output, booking: Booking, names: Sequence[str]) -> None:
        if booking.clip.run_id != self._run_id:
            booking = await self._await_other_run(output, booking)
        clip = booking.clip
        try:
            if await self._is_there(clip):
                self.progress.kept += 1
                return
        except LocationError as error:  # it stays as the ledger has it
            self.progress.failed += 1
            self._warn_once(str(error))
            return
        if clip.run_id != self._run_id:
            is_theirs = self.problem is not None and await self._is_fetched(clip)
            if is_theirs or not await self._ledger.take_over_booking(clip, self._run_id):
                self.progress.kept += 1  # as far as this run is concerned: another one fetches it
                return
        try:
            async with self._room:
                names = (clip.name, *(name for name in names if name != clip.name))
                kept = await self._found_again(clip, names) or await self._copied(booking, names)
                kept = kept or await self._fetched(output, clip, names)
            await self._let_last()
        except (TryLaterError, NeverAgainError, LocationError) as error:
            self.progress.failed += 1
            lost = "" if clip.file is None else f"{clip.file} is not in the archive any more, and "
            await self._ledger.give_up_clip(replace(clip, run_id=self._run_id), one_line(f"{lost}{error}", 500))
            return
        await self._ledger.keep_clips([kept])
        self._there[kept.file] = kept.size_bytes
        self.progress.kept += 1

    async def _let_last(self) -> None:
        """Let what was put into the folder outlast a power cut, before the ledger counts on it."""
        try:
            await self._names_last()
        except OSError as error:
            self._require_room(error)
            raise ClipUnavailableError(f"{self.folder.uri}: cannot be written: {_said(error)}") from None

    async def _await_other_run(self, output: Output, booking: Booking) -> Booking:
        """Wait while another run fetches the clip, but not for ever; return the booking as it is then."""
        waited_s, wait_s = 0.0, FIRST_LOOK_S
        while waited_s < OTHERS_WITHIN_S and self.problem is None and await self._is_fetched(booking.clip):
            await asyncio.sleep(wait_s)
            waited_s, wait_s = waited_s + wait_s, min(1.5 * wait_s, LONGEST_LOOK_S)
            (booking,) = await self._ledger.book_clips(self.folder.uri, [self._wanted(output)], self._run_id)
        return booking

    async def _is_fetched(self, clip: Clip) -> bool:
        """Tell if the run that booked a clip is fetching it."""
        is_open = clip.file is None and clip.error is None
        return is_open and await asyncio.to_thread(self._ledger.is_alive, clip.run_id)

    async def _is_there(self, clip: Clip) -> bool:
        """Tell if a clip is in the folder; another process may have put it there since it was listed.

        Raises:
            LocationError: the folder cannot be asked now.
        """
        if clip.file is None:
            return False
        if self._there.get(clip.file) != clip.size_bytes:
            try:
                self._there[clip.file] = await asyncio.to_thread(self.folder.size_of, clip.file)
            except FileNotFoundError:
                return False
            except Exception as error:  # noqa: BLE001 - file systems raise whatever their clients raise
                place = f"archive {self.folder.place}"
                raise LocationError(f"{place}: cannot be asked for its clips: {_said(error)}; run again") from None
        return self._there.get(clip.file) == clip.size_bytes

    async def _found_again(self, clip: Clip, names: Sequence[str]) -> KeptClip | None:
        """Return the clip of a row that lost its file, if the folder has it after all: it was not mounted then."""
        if clip.file is not None or clip.sha256 is None or clip.size_bytes is None:
            return None
        for file in (f"{name}{suffix}" for name in names for suffix in sorted(_VIDEOS)):
            if await asyncio.to_thread(self.folder.holds, file, clip.sha256, clip.size_bytes):
                return replace(_kept_as(clip, clip.clip_id, file), error=None)
        return None

    async def _copied(self, booking: Booking, names: Sequence[str]) -> KeptClip | None:
        """Link or copy the clip from where it is already; None where it is nowhere any more."""
        for copy in reversed(booking.copies):
            self._require_open()
            try:
                file = await asyncio.to_thread(self._copy, names, copy)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a copy, the clip may still be downloaded
                self._require_room(error)
                continue
            if file is not None:
                return _kept_as(copy, booking.clip.clip_id, file)
        return None

    def _copy(self, names: Sequence[str], copy: Clip) -> str | None:
        with self.folder.incoming() as incoming:
            incoming.fill_from(str(copy.uri))
            if incoming.sha256() != copy.sha256:
                return None
            suffix = f".{str(copy.file).rpartition('.')[2]}"
            return self._put(incoming, names, suffix, str(copy.sha256), copy.size_bytes or 0)

    async def _fetched(self, output: Output, clip: Clip, names: Sequence[str]) -> KeptClip:
        """Download the clip, again after a while where it does not come, and from a new URL where the old one has died.

        Raises:
            TryLaterError, NeverAgainError: it cannot be had.
        """
        url, has_asked = output.url, False
        thread = min(self._threads, key=lambda each: each.busy)
        waits = list(BACKOFFS_S)
        while True:
            self._require_open()
            try:
                async with self._room_for_one():
                    kept = await self._stoppable(thread, self._download(thread.downloader, url, output, clip, names))
            except (ClipUnavailableError, ClipRefusedError) as error:
                may_pass = isinstance(error, ClipUnavailableError) and not error.is_gone
                if not may_pass and not has_asked:
                    url, has_asked = await self._ask_anew(output, error), True
                    continue
                if not may_pass or not waits:
                    raise
                await _pause(waits.pop(0))
            except Exception as error:  # noqa: BLE001 - file systems raise whatever their clients raise
                self._require_room(error)
                if not is_passing(error) or not waits:
                    reason = self.folder.failure(error, "write to")
                    raise ClipUnavailableError(f"clip {output.name}: {reason}") from None
                await _pause(waits.pop(0))
            else:
                self.progress.received_bytes += kept.size_bytes
                self._largest_bytes = max(self._largest_bytes, kept.size_bytes)
                return kept

    @asynccontextmanager
    async def _room_for_one(self) -> AsyncGenerator[None]:
        """Let downloads come one by one once the disk has room for few more."""
        room_bytes = await asyncio.to_thread(self.folder.room_bytes)
        if room_bytes is None or room_bytes > 4 * DOWNLOADS_AT_ONCE * max(self._largest_bytes, USUAL_CLIP_BYTES):
            yield
            return
        async with self._one_by_one:
            self._require_open()
            yield

    async def _stoppable(self, thread: DownloadThread, download: Coroutine[Any, Any, KeptClip]) -> KeptClip:
        """Await a download in its thread, until `stop`."""
        on_its_way = asyncio.ensure_future(thread.run(download))
        self._on_their_way.add(on_its_way)
        try:
            return await on_its_way
        except asyncio.CancelledError:
            if on_its_way.cancelled():
                self._require_open()
            raise
        finally:
            self._on_their_way.discard(on_its_way)

    async def _ask_anew(self, output: Output, problem: AnimaticError) -> str:
        """Return the URL that the API gives for the output now. Raises the problem where it gives none."""
        self._require_open()
        try:
            urls = await self._ask(output.identity.prediction_id)
        except AnimaticError:
            raise problem from None
        if len(urls) < output.identity.output:
            raise problem
        return urls[output.identity.output - 1]

    async def _download(
        self, downloader: ClipDownloader, url: str, output: Output, clip: Clip, names: Sequence[str]
    ) -> KeptClip:
        """Run in the downloader's thread."""
        room_bytes = await asyncio.to_thread(self.folder.room_bytes)
        if room_bytes is not None and room_bytes <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with self.folder.incoming() as incoming:
            found = await downloader.download(url, incoming.file, output.name)
            return await asyncio.to_thread(self._finish, incoming, found, clip, names)

    def _finish(self, incoming: Incoming, found: Download, clip: Clip, names: Sequence[str]) -> KeptClip:
        """Probe the clip and put it into the folder."""
        info, problem = None, None
        if found.suffix in _VIDEOS:
            incoming.file.flush()
            from animatic.media.clips import probe_clip  # noqa: PLC0415 - PyAV, which the start of a run need not wait for

            try:
                info = probe_clip(incoming.path)
            except ValueError as error:
                problem = one_line(f"it was archived, but {error}", 500)
        file = self._put(incoming, names, found.suffix, found.sha256, found.size_bytes)
        return KeptClip(
            clip.clip_id, file, found.sha256, found.size_bytes, **(asdict(info) if info else {}), error=problem
        )

    def _put(self, incoming: Incoming, names: Sequence[str], suffix: str, sha256: str, size_bytes: int) -> str:
        """Put a file under the first of these names that no other file has; return that with its suffix.

        The same file is as good: a killed run left it there before the ledger knew.
        """
        for name in names:
            file = f"{name}{suffix}"
            try:
                incoming.put(file)
            except FileExistsError:
                if not self.folder.holds(file, sha256, size_bytes):
                    continue
            return file
        raise ClipRefusedError(f"{self.folder.uri}: other files have the names {', '.join(names)}; move them away")

    def _warn_once(self, line: str) -> None:
        if line not in self._warned:
            self._warned.add(line)
            self._warn(line)

    def _require_open(self) -> None:
        if self.problem is not None:
            raise ClipUnavailableError(self.problem)

    def _require_room(self, error: Exception) -> None:
        """Stop all archiving where the disk is full; raise then."""
        if isinstance(error, OSError) and error.errno in _FULL:
            problem = f"nothing more is archived: {self.folder.uri}: {error.strerror}; make room and run again"
            if self.problem is None:
                self.problem = self.progress.problem = problem  # what is on its way may still find room
                self._warn(problem)
            raise ClipUnavailableError(problem)


_PLACEHOLDER = ".x"
_OF_CONTENT = (
    "sha256", "size_bytes", "container", "codec", "duration_s", "width", "height", "fps", "frames", "error",
)  # fmt: skip


def _kept_as(known: Clip, clip_id: int, file: str) -> KeptClip:
    """Return a file with the content of a clip that is known."""
    return KeptClip(clip_id, file, **{each: getattr(known, each) for each in _OF_CONTENT})


async def _pause(seconds: float) -> None:
    """Let about so many seconds pass, so that those who failed together do not try again together."""
    await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 - a wait


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
