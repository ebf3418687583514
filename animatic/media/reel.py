"""Reels: one film of a storyboard's shots in order. A shot without a clip is a slate, so the film keeps its length.

Each segment is encoded once and kept; the reel is joined from segments by copying. What one shot is made of touches no
other segment, so one changed shot costs one segment.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Self

from animatic import storage
from animatic.errors import LocationError, NoSuchFileError
from animatic.errors.text import one_line, short_name
from animatic.manifest.images import MAX_STILL_BYTES
from animatic.media.processes import Processes, processes_here
from animatic.media.reel_cache import SegmentCache, make_segment
from animatic.media.reel_join import JOIN_WITHIN_S, join_segments
from animatic.media.reel_segments import SEGMENT_WITHIN_S, SOFTWARE
from animatic.media.reel_shots import (
    MOST_SHOTS,
    Canvas,
    ReelClip,
    ReelShot,
    SegmentSpec,
    choose_canvas,
    slate_pictures,
)
from animatic.media.still_files import fetch_still, still_reader
from animatic.media.strips import MOST_CLIP_BYTES
from animatic.web.network import DIRECT, Network
from animatic.web.reader import WebReader


@dataclass(frozen=True, slots=True)
class ReelStyle:
    """Choices of people about a reel.

    Attributes:
        burn_in: shot, take and timecode are shown in each picture.
        is_silent: there is no sound.
        size, fps: of the reel; None for those that most clips have.
        has_slates: shots without a clip are slates; else they are left out.
    """

    burn_in: bool = False
    is_silent: bool = False
    size: tuple[int, int] | None = None
    fps: Fraction | None = None
    has_slates: bool = True


@dataclass(slots=True)
class ReelProgress:
    """Counts of reels that are being made, by segment.

    Attributes:
        total: segments of all reels, those of reels to come included.
        reused: that were there.
        encoded: that were made.
    """

    total: int = 0
    reused: int = 0
    encoded: int = 0
    began_at: float = field(default_factory=time.monotonic)

    def left_s(self, now: float) -> float | None:
        """Return the time that the rest will take; None before anything was encoded."""
        left = self.total - self.reused - self.encoded
        return (now - self.began_at) / self.encoded * left if self.encoded else None


@dataclass(frozen=True, slots=True)
class Reel:
    """A reel that was made.

    Attributes:
        shots, slates: in it; slates are counted as shots too.
        pictures: its length in frames.
        starts: number of the first picture of each shot.
        encoded, reused: segments that this run made, and that were there.
        problems: clips that should be in it and are not, a sentence each.
    """

    uri: str
    shots: int
    slates: int
    canvas: Canvas
    pictures: int
    starts: tuple[int, ...]
    has_sound: bool
    encoded: int
    reused: int
    problems: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return float(self.pictures / self.canvas.fps)


@dataclass(frozen=True, slots=True)
class _Segment:
    shot: ReelShot
    path: Path
    is_slate: bool
    is_new: bool
    problem: str


@dataclass(frozen=True, slots=True)
class ReelMaker:
    """Makes reels with one pool of processes and one cache.

    Attributes:
        origin: scheme, host and port of stills that may be asked though they are private; empty for none.
    """

    cache: SegmentCache
    processes: Processes
    network: Network = DIRECT
    origin: str = ""
    progress: ReelProgress = field(default_factory=ReelProgress)

    async def make(self, shots: Sequence[ReelShot], style: ReelStyle, uri: str) -> Reel:
        """Write the reel of some shots, in their order, as an MP4; the file is replaced as a whole.

        Raises:
            LocationError: there is nothing to show, or the file or the cache cannot be written.
        """
        if not shots or len(shots) > MOST_SHOTS:
            raise LocationError(f"{uri}: found {len(shots):,} shots for one reel; allowed: 1 to {MOST_SHOTS:,}")
        storage.require_writable(uri)
        canvas = choose_canvas(shots, style.size, style.fps)
        room = asyncio.Semaphore(2 * processes_here())

        async def segment(shot: ReelShot, web: WebReader) -> _Segment | str:
            async with room:
                return await self._segment(shot, canvas, style, web)

        try:
            async with still_reader(self.origin, self.network) as web:
                found = await _all_of([asyncio.create_task(segment(shot, web)) for shot in shots])
            made = [each for each in found if isinstance(each, _Segment)]
            if not made:
                raise LocationError(f"{uri}: no shot has a clip; leave --no-slates out to see slates")
            reel = await self._join(made, canvas, style, uri)
        except OSError as error:
            raise LocationError(f"{self.cache.folder}: cannot be used for segments: {error.strerror}") from None
        left_out = tuple(each for each in found if isinstance(each, str) and each)
        await asyncio.to_thread(self.cache.trim, {each.path for each in made})
        return replace(reel, problems=(*reel.problems, *left_out))

    async def _segment(self, shot: ReelShot, canvas: Canvas, style: ReelStyle, web: WebReader) -> _Segment | str:
        """Return the segment of a shot: of its clip, else a slate; without slates, why there is no clip."""
        problem = shot.problem
        if shot.clip is not None:
            try:
                path, is_new = await self._clip_segment(shot, shot.clip, canvas, style)
                return _Segment(shot, path, is_slate=False, is_new=is_new, problem=problem)
            except (ValueError, LocationError, FileNotFoundError) as error:
                why = "is not in the archive any more" if isinstance(error, FileNotFoundError) else str(error)
                problem = (
                    f"shot {one_line(shot.shot_id)}, take {shot.take}: {one_line(short_name(shot.clip.uri), 100)} {why}"
                )
        if not style.has_slates:
            self.progress.total -= 1
            return problem
        status = shot.status if shot.clip is None else f"take {shot.take}: its clip cannot be used"
        path, is_new = await self._slate(replace(shot, status=status), canvas, style, web)
        return _Segment(shot, path, is_slate=True, is_new=is_new, problem=problem)

    async def _clip_segment(
        self, shot: ReelShot, clip: ReelClip, canvas: Canvas, style: ReelStyle
    ) -> tuple[Path, bool]:
        label = f"{shot.shot_id}  ·  take {shot.take}" if style.burn_in else ""
        spec = SegmentSpec(canvas, SOFTWARE, media_sha256=clip.sha256, label=label)
        found = await self._find(spec)
        if found is not None:
            return found, False
        with await asyncio.to_thread(_Fetched, clip.uri, self.network) as fetched:
            return await self._encode(spec, fetched.path), True

    async def _slate(self, shot: ReelShot, canvas: Canvas, style: ReelStyle, web: WebReader) -> tuple[Path, bool]:
        """Return the slate of a shot; a still that cannot be used leaves a plain card."""
        label = f"{shot.shot_id}  ·  slate" if style.burn_in else ""
        spec = SegmentSpec(
            canvas,
            SOFTWARE,
            is_slate=True,
            label=label,
            title=shot.shot_id,
            status=shot.status,
            prompt=shot.prompt,
            pictures=slate_pictures(shot.wished_s, canvas.fps),
        )
        if shot.still_uri is not None:
            with tempfile.TemporaryDirectory(prefix="animatic-still-") as folder:
                still = Path(folder) / "still"
                if await fetch_still(shot.still_uri, still, web, self.origin) is None:
                    sha256 = await asyncio.to_thread(storage.sha256_of, str(still), max_bytes=MAX_STILL_BYTES)
                    with suppress(ValueError):  # a still that is none leaves a card, which says all that matters
                        return await self._found_or_made(replace(spec, media_sha256=sha256), still)
        return await self._found_or_made(spec, None)

    async def _found_or_made(self, spec: SegmentSpec, medium: Path | None) -> tuple[Path, bool]:
        found = await self._find(spec)
        return (found, False) if found is not None else (await self._encode(spec, medium), True)

    async def _find(self, spec: SegmentSpec) -> Path | None:
        found = await asyncio.to_thread(self.cache.find, spec.key)
        self.progress.reused += found is not None
        return found

    async def _encode(self, spec: SegmentSpec, medium: Path | None) -> Path:
        path = await self.processes.run(SEGMENT_WITHIN_S, make_segment, spec, medium, self.cache.folder)
        self.progress.encoded += 1
        return path

    async def _join(self, made: Sequence[_Segment], canvas: Canvas, style: ReelStyle, uri: str) -> Reel:
        paths, names = [each.path for each in made], [each.shot.shot_id for each in made]
        with tempfile.TemporaryDirectory(prefix="animatic-reel-") as folder:
            into = Path(folder) / "reel.mp4"
            try:
                joined = await self.processes.run(
                    JOIN_WITHIN_S, join_segments, paths, names, canvas.fps, into, is_silent=style.is_silent
                )
            except ValueError as error:
                raise LocationError(f"{uri}: {error}; run it again") from None
            with into.open("rb") as file:
                await asyncio.to_thread(storage.replace_with, uri, file)
        return Reel(
            uri, len(made), sum(each.is_slate for each in made), canvas, joined.pictures, joined.starts,
            joined.has_sound, sum(each.is_new for each in made), sum(not each.is_new for each in made),
            tuple(each.problem for each in made if each.problem),
        )  # fmt: skip


async def _all_of(tasks: Sequence["asyncio.Task[_Segment | str]"]) -> list[_Segment | str]:
    """Return the results of tasks, in order; the first error gives the others up."""
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise


class _Fetched:
    """A clip from anywhere, as one on this machine's disk, until the end of a block. Making it blocks.

    Raises:
        FileNotFoundError: it is not there.
        LocationError: it cannot be read, or is too large.
    """

    def __init__(self, uri: str, network: Network) -> None:
        self._copy = None
        here = storage.real_path(uri)
        if here is not None:
            self.path = here
            if not storage.exists(uri):
                raise FileNotFoundError(uri)
            return
        self._copy = tempfile.NamedTemporaryFile(prefix="animatic-")  # noqa: SIM115 - closed at the block's end
        self.path = Path(self._copy.name)
        try:
            with storage.open_copy(uri, max_bytes=MOST_CLIP_BYTES, network=network) as file:
                shutil.copyfileobj(file, self._copy)
            self._copy.flush()
        except NoSuchFileError:
            self._copy.close()
            raise FileNotFoundError(uri) from None
        except BaseException:
            self._copy.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._copy is not None:
            self._copy.close()
