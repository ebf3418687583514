"""Local stills: probed, identified by their bytes, uploaded if they are still the same."""

import asyncio
import hashlib
import mimetypes
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from animatic import storage
from animatic.errors import LocationError
from animatic.media.stills import probe
from animatic.takes.shots import Take
from animatic.takes.stills import Still
from animatic.wavespeed.client import WaveSpeedClient
from animatic.web.network import DIRECT, Network


@dataclass(frozen=True, slots=True)
class LocalStills:
    """Local stills of one manifest."""

    manifest_uri: str
    network: Network = DIRECT

    def probe(self, path: str) -> Still | str:
        """Return the still, or the reason why it cannot be used."""
        try:
            with storage.open_still(self.manifest_uri, path, network=self.network) as file:
                return probe(file)
        except LocationError as error:
            return str(error)
        except OSError as error:
            return f"cannot be read ({error.strerror})"

    def probe_all(self, paths: Sequence[str]) -> dict[str, Still | str]:
        """Probe several, one after the other."""
        return {path: self.probe(path) for path in paths}

    def digest(self, path: str) -> str:
        """Return the hash of a still's bytes as they are now, or the reason why there is none."""
        digest = hashlib.sha256()
        try:
            for chunk in storage.still_chunks(self.manifest_uri, path, network=self.network):
                digest.update(chunk)
        except LocationError as error:
            return str(error)
        return digest.hexdigest()

    async def upload(self, client: WaveSpeedClient, take: Take) -> str:
        """Upload the still of a take, if it is still the one that was planned; where it can be fetched.

        What is sent is a copy of its own, so that a file which changes while it is sent is never sent under the old
        hash.

        Raises:
            LocationError: the file has changed since the plan was made.
        """
        with ExitStack() as stack:
            copied = storage.copy_of(storage.still_chunks(self.manifest_uri, take.shot.image, network=self.network))
            copy = await asyncio.to_thread(stack.enter_context, copied)
            found = await asyncio.to_thread(probe, copy)
            if not isinstance(found, Still) or f"sha256:{found.sha256}" != take.shot.still:
                raise LocationError(
                    f"still {take.shot.image} of shot {take.shot.shot_id}: it changed while the run was planned; "
                    "run again"
                )
            suffix = f".{found.format.lower()}".replace(".jpeg", ".jpg")
            media_type = mimetypes.types_map.get(suffix, "image/webp")
            copy.seek(0)
            return await client.upload(f"{found.sha256[:32]}{suffix}", copy, media_type)
