"""Stills behind paths, on disk or elsewhere: probed, identified by their bytes, decoded, uploaded if still the same."""

import asyncio
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from animatic import storage
from animatic.errors import LocationError, NoSuchFileError
from animatic.media.media_files import probe_media
from animatic.media.still_copies import StillCopies
from animatic.media.stills import TOO_LARGE, find_damage, probe
from animatic.takes.stills import FoundStill, LocalFile, MediaFile, MissingStill, Still, media_suffix, most_bytes
from animatic.wavespeed.client import WaveSpeedClient
from animatic.web.network import DIRECT, Network

MOST_NEAR_NAMES = 50
"""So many missing stills are compared with the names of their folder; a report tells no more of them."""

DECODED_AT_ONCE = 4

READ_AT_ONCE = 8
"""Stills that are not on disk are read so many at a time."""

T = TypeVar("T")


@functools.cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READ_AT_ONCE, "stills")


@dataclass(frozen=True, slots=True)
class LocalStills:
    """Stills of one manifest that are uploaded, by their paths.

    Attributes:
        anchor: URI of a file in the folder that paths start from: the manifest, or any name in that of `--stills`.
        copies: of those that were read from an object store.
    """

    anchor: str
    network: Network = DIRECT
    copies: StillCopies = field(default_factory=StillCopies)

    @property
    def are_local(self) -> bool:
        """Tell if they are on this machine's disk."""
        return storage.real_path(self.anchor) is not None

    def probe(self, path: str) -> FoundStill:
        """Return the still, or the reason why it cannot be used."""
        if path in self.copies.embedded:
            return self._probe_embedded(path)
        try:
            version = storage.version_of_still(self.anchor, path)
            known = None if version is None else self.copies.find(path, version)
            if known is not None:
                return known
            with storage.open_still(self.anchor, path, max_bytes=most_bytes(path), network=self.network) as file:
                found = _probe(path, file)
                if isinstance(found, Still) and version is not None:
                    self.copies.keep(path, version, found, file)
                return found
        except NoSuchFileError:
            return MissingStill()
        except LocationError as error:
            return str(error)
        except OSError as error:
            return f"cannot be read ({error.strerror})"

    def _probe_embedded(self, name: str) -> FoundStill:
        """Return a still that lies in the manifest itself."""
        digest = self.copies.embedded[name]
        known, chunks = self.copies.find(name, digest), self.copies.chunks(digest or "")
        if known is not None:
            return known
        if chunks is None:
            return TOO_LARGE
        with storage.copy_of(chunks) as copy:
            found = probe(copy)
            if not isinstance(found, Still):
                return found
            found = replace(found, is_embedded=True)
            self.copies.keep(name, digest, found, copy)
            return found

    def probe_all(self, paths: Sequence[str]) -> dict[str, FoundStill]:
        """Probe several: on disk one after the other, some at a time where each has a way to go."""
        found = self._for_each(self.probe, paths)
        missing = [path for path, still in found.items() if isinstance(still, MissingStill)]
        for path in missing[:MOST_NEAR_NAMES]:
            found[path] = MissingStill(storage.find_near_still(self.anchor, path))
        return found

    async def find_damages(self, stills: Mapping[str, Still]) -> dict[str, str | None]:
        """Decode stills by their paths; return by SHA-256 what is wrong with each, None where nothing is.

        Raises:
            LocationError: a file is no longer the one that was probed.
        """
        loop = asyncio.get_running_loop()
        threads = ThreadPoolExecutor(min(os.cpu_count() or 1, DECODED_AT_ONCE), "decode")
        try:
            damages = await asyncio.gather(
                *(loop.run_in_executor(threads, self._find_damage, *each) for each in stills.items())
            )
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
        return {still.sha256: damage for still, damage in zip(stills.values(), damages, strict=True)}

    def _find_damage(self, path: str, still: Still) -> str | None:
        with storage.copy_of(self._chunks(path, still.sha256)) as copy:
            now = probe(copy)
            if not isinstance(now, Still) or now.sha256 != still.sha256:
                raise LocationError(f"still {path}: it changed while the run was planned; run again")
            try:
                return find_damage(copy, still)
            except MemoryError:
                size = f"{still.width} x {still.height}"
                raise LocationError(
                    f"still {path}: decoding its {size} pixels takes more memory than there is; save it smaller"
                ) from None

    def digests(self, paths: Sequence[str]) -> dict[str, str]:
        """Return what tells each content from all others: the hash of its bytes as they are now, or why there is none.

        Of a still in an object store it is the store's name for this version of it: nothing is read.
        """
        return self._for_each(self._digest, paths)

    def _digest(self, path: str) -> str:
        if path in self.copies.embedded:
            return self.copies.embedded[path] or TOO_LARGE
        try:
            version = storage.version_of_still(self.anchor, path)
            if version is not None:
                return f"{storage.absolute_uri(self.anchor)} {version}"
            still = storage.still_chunks(self.anchor, path, max_bytes=most_bytes(path), network=self.network)
            return storage.hash_of(still)
        except LocationError as error:
            return str(error)

    def _chunks(self, path: str, sha256: str) -> Iterable[bytes]:
        """Return a content by its copy, if there is one, else as it is at its path now."""
        copied = self.copies.chunks(sha256)
        if copied is not None:
            return copied
        return storage.still_chunks(self.anchor, path, max_bytes=most_bytes(path), network=self.network)

    def copy(self, path: str, sha256: str, target: Path) -> None:
        """Write a still to a file of ours.

        Raises:
            LocationError: it is gone, or is no longer the one with this hash.
        """
        if storage.write_chunks(target, self._chunks(path, sha256)) != sha256:
            raise LocationError(f"still {path}: it is not the one that was sent any more; put that one back")

    def _for_each(self, function: Callable[[str], T], paths: Sequence[str]) -> dict[str, T]:
        if self.are_local or len(paths) == 1:
            return {path: function(path) for path in paths}
        return dict(zip(paths, _readers().map(function, paths), strict=True))

    async def upload(self, client: WaveSpeedClient, file: LocalFile) -> str:
        """Upload a file, if it is still the one that was planned; where it can be fetched.

        What is sent is a copy of its own, so that a file which changes while it is sent is never sent under the old
        hash.

        Raises:
            LocationError: the file has changed since the plan was made.
        """
        with ExitStack() as stack:
            copied = storage.copy_of(self._chunks(file.path, file.identity.removeprefix("sha256:")))
            copy = await asyncio.to_thread(stack.enter_context, copied)
            found = await asyncio.to_thread(_probe, file.path, copy)
            if not isinstance(found, Still | MediaFile) or f"sha256:{found.sha256}" != file.identity:
                what = "still" if media_suffix(file.path) is None else "file"
                raise LocationError(
                    f"{what} {file.path} of shot {file.shot_id}: it changed while the run was planned; run again"
                )
            copy.seek(0)
            return await client.upload(f"{found.sha256[:32]}{found.suffix}", copy, found.media_type)


def _probe(path: str, file: BinaryIO) -> FoundStill:
    suffix = media_suffix(path)
    return probe(file) if suffix is None else probe_media(file, suffix)
