"""Media of a page: pictures of stills and clips, and the clips themselves, put into the page's folder once."""

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from animatic import storage
from animatic.errors import LocationError, NoSuchFileError
from animatic.errors.text import one_line, quoted
from animatic.machine.durability import replacement
from animatic.machine.privacy import file_mode, make_folder, open_to_user
from animatic.media.processes import Processes, processes_here
from animatic.media.still_files import fetch_still, still_reader
from animatic.media.strips import (
    MOST_CLIP_BYTES,
    STRIP_WITHIN_S,
    Strip,
    Thumbnail,
    find_strip,
    find_thumbnail,
    make_strip,
    make_thumbnail,
)
from animatic.results.board import Board, Row
from animatic.review.page_data import ClipMedia, Media, archived_clips
from animatic.web.network import DIRECT, Network
from animatic.web.reader import WebReader

FOLDER = "media"
VIDEO, PICTURE, SOUND = (".mp4", ".webm", ".mov", ".m4v"), (".png", ".jpg", ".jpeg", ".webp"), (".mp3", ".wav", ".flac")
"""Suffixes of outputs that a page shows; SVG is not among them, since it can hold programs."""

OnProgress = Callable[[int, int], object]
"""Gets how many media are there, and how many there are to be."""


class PageMedia:
    """Media in one folder of a page, as far as this process knows them. What fails once is not tried again by it.

    Args:
        folder: of the page, on local disk.
        processes: that decode.
        origin: scheme, host and port of stills that may be asked though they are private; empty for none.
    """

    def __init__(self, folder: Path, processes: Processes, origin: str = "", network: Network = DIRECT) -> None:
        self._folder, self._processes = folder / FOLDER, processes
        self._origin, self._network = origin, network
        self._stills: dict[str, Thumbnail | str] = {}
        self._clips: dict[str, ClipMedia] = {}
        self._at_once = asyncio.Semaphore(2 * processes_here())

    @property
    def known(self) -> Media:
        """Media that are there."""
        return Media(f"{FOLDER}/", dict(self._stills), dict(self._clips))

    async def gather(self, board: Board, on_progress: OnProgress = lambda _, __: None) -> Media:
        """Put the media of a board into the folder, as far as they are not there; return what is there then.

        Raises:
            LocationError: the folder cannot be made.
        """
        await asyncio.to_thread(self._make_folder)
        rows = [take.row for shot in board.shots for take in shot.takes]
        stills = {uri for row in rows if (uri := row.get("still_uri")) and uri not in self._stills}
        clips = {sha256: uri for sha256, uri in _clips_of(rows) if sha256 not in self._clips}
        done, total = 0, len(stills) + len(clips)

        async def counted(work: Any) -> None:
            nonlocal done
            async with self._at_once:
                await work
            done += 1
            on_progress(done, total)

        async with still_reader(self._origin, self._network) as web:
            works = [self._add_still(uri, web) for uri in sorted(stills)]
            works += [self._add_clip(*each) for each in sorted(clips.items())]
            await asyncio.gather(*map(counted, works))
        return self.known

    def _make_folder(self) -> None:
        try:
            make_folder(self._folder)
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise LocationError(
                f"{quoted(str(self._folder))}: the folder cannot be made ({error.strerror}); give another folder"
            ) from None

    async def _add_still(self, uri: str, web: WebReader) -> None:
        with tempfile.TemporaryDirectory(prefix="animatic-still-") as folder:
            copy = Path(folder) / "still"
            problem = await fetch_still(uri, copy, web, self._origin)
            if problem is not None:
                self._stills[uri] = f"the still {problem}"
                return
            try:
                made = await self._thumbnail_of(copy)
            except (LocationError, OSError) as error:
                self._stills[uri] = f"the still {_unwritten(error)}"
            except (ValueError, RuntimeError) as error:
                self._stills[uri] = f"the still {error}"
            else:
                open_to_user(self._folder / made.name)
                self._stills[uri] = made

    async def _thumbnail_of(self, still: Path) -> Thumbnail:
        """Return the thumbnail that is there, else make it, which takes a process."""
        found = await asyncio.to_thread(lambda: find_thumbnail(_sha256_of(still), self._folder))
        return found or await self._processes.run(STRIP_WITHIN_S, make_thumbnail, still, self._folder)

    async def _add_clip(self, sha256: str, uri: str) -> None:
        suffix = os.path.splitext(storage.name_of(uri))[1].lower()  # noqa: PTH122 - a URI is no path
        if suffix not in {*VIDEO, *PICTURE, *SOUND}:
            self._clips[sha256] = ClipMedia(problem="is of a kind that this page does not show")
            return
        name = f"{sha256}{suffix}"
        try:
            if suffix not in VIDEO:
                await asyncio.to_thread(_bring, uri, self._folder / name)
                self._clips[sha256] = ClipMedia(name)
                return
            strip = await self._strip_of(sha256, uri, self._folder / name)
        except NoSuchFileError:
            self._clips[sha256] = ClipMedia(problem="is not in the archive any more", is_missing=True)
        except (LocationError, OSError) as error:
            self._clips[sha256] = ClipMedia(self._there(name), problem=_unwritten(error), is_missing=True)
        except (ValueError, RuntimeError) as error:
            there = self._there(name)
            self._clips[sha256] = ClipMedia(there, problem=str(error), is_missing=not there)
        else:
            self._clips[sha256] = ClipMedia(name, strip)

    def _there(self, name: str) -> str:
        """Return the name of a file that is in the folder, else an empty one."""
        return name if (self._folder / name).is_file() else ""

    async def _strip_of(self, sha256: str, uri: str, clip: Path) -> Strip:
        await asyncio.to_thread(_bring, uri, clip)
        found = await asyncio.to_thread(find_strip, sha256, self._folder)
        if found is not None:
            return found
        try:
            strip = await self._processes.run(STRIP_WITHIN_S, make_strip, clip, self._folder, sha256=sha256)
        except ValueError as error:
            if "archived" in str(error):
                await asyncio.to_thread(clip.unlink, missing_ok=True)  # another file than the one that the table means
            raise
        for made in (strip.poster_name, strip.strip_name):
            open_to_user(self._folder / made)
        return strip


def _clips_of(rows: Iterable[Row]) -> Iterable[tuple[str, str]]:
    for row in rows:
        yield from archived_clips(row)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unwritten(error: LocationError | OSError) -> str:
    """Return why a file could not be put into the folder, in words that follow its name."""
    why = str(error) if isinstance(error, LocationError) else error.strerror or str(error)
    return f"cannot be put beside the page: {one_line(why, 300)}"


def _bring(uri: str, to: Path) -> None:
    """Put a clip into the folder in one step: as a link where it lies on the same disk, else as a copy.

    Raises:
        LocationError: it cannot be read.
        OSError: it cannot be written.
    """
    if to.is_file():
        return
    source = storage.real_path(uri)
    if source is not None and _is_linked(source, to):
        return
    with storage.open_copy(uri, max_bytes=MOST_CLIP_BYTES) as clip, replacement(to) as file:
        shutil.copyfileobj(clip, file)
        os.fchmod(file.fileno(), file_mode())  # a link keeps the mode that its clip has in the archive


def _is_linked(source: Path, to: Path) -> bool:
    with suppress(OSError):
        os.link(source, to, follow_symlinks=False)
        if to.is_file() and not to.is_symlink():
            return True
        to.unlink()
    return False
