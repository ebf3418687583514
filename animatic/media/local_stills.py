"""Local stills: probed, identified by their bytes, decoded, uploaded if they are still the same."""

import asyncio
import hashlib
import mimetypes
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from animatic import storage
from animatic.errors import LocationError, NoSuchFileError
from animatic.media.stills import find_damage, probe
from animatic.takes.stills import FoundStill, LocalFile, MissingStill, Still
from animatic.wavespeed.client import WaveSpeedClient
from animatic.web.network import DIRECT, Network

MOST_NEAR_NAMES = 50
"""So many missing stills are compared with the names of their folder; a report tells no more of them."""

DECODED_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class LocalStills:
    """Local stills of one manifest."""

    manifest_uri: str
    network: Network = DIRECT

    def probe(self, path: str) -> FoundStill:
        """Return the still, or the reason why it cannot be used."""
        try:
            with storage.open_still(self.manifest_uri, path, network=self.network) as file:
                return probe(file)
        except NoSuchFileError:
            return MissingStill()
        except LocationError as error:
            return str(error)
        except OSError as error:
            return f"cannot be read ({error.strerror})"

    def probe_all(self, paths: Sequence[str]) -> dict[str, FoundStill]:
        """Probe several, one after the other."""
        found = {path: self.probe(path) for path in paths}
        missing = [path for path, still in found.items() if isinstance(still, MissingStill)]
        for path in missing[:MOST_NEAR_NAMES]:
            found[path] = MissingStill(storage.find_near_still(self.manifest_uri, path))
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
        with storage.copy_of(storage.still_chunks(self.manifest_uri, path, network=self.network)) as copy:
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

    def digest(self, path: str) -> str:
        """Return the hash of a still's bytes as they are now, or the reason why there is none."""
        digest = hashlib.sha256()
        try:
            for chunk in storage.still_chunks(self.manifest_uri, path, network=self.network):
                digest.update(chunk)
        except LocationError as error:
            return str(error)
        return digest.hexdigest()

    async def upload(self, client: WaveSpeedClient, file: LocalFile) -> str:
        """Upload a file, if it is still the one that was planned; where it can be fetched.

        What is sent is a copy of its own, so that a file which changes while it is sent is never sent under the old
        hash.

        Raises:
            LocationError: the file has changed since the plan was made.
        """
        with ExitStack() as stack:
            copied = storage.copy_of(storage.still_chunks(self.manifest_uri, file.path, network=self.network))
            copy = await asyncio.to_thread(stack.enter_context, copied)
            found = await asyncio.to_thread(probe, copy)
            if not isinstance(found, Still) or f"sha256:{found.sha256}" != file.identity:
                raise LocationError(
                    f"still {file.path} of shot {file.shot_id}: it changed while the run was planned; run again"
                )
            suffix = f".{found.format.lower()}".replace(".jpeg", ".jpg")
            media_type = mimetypes.types_map.get(suffix, "image/webp")
            copy.seek(0)
            return await client.upload(f"{found.sha256[:32]}{suffix}", copy, media_type)
