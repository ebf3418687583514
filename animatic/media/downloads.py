"""Download clips with a client that has no key, as files that are whole or not there.

From the public Internet by https, or from the one origin that the operator gave (the sandbox's). Redirects are not
followed. File names come from the caller, never from a URL.
"""

import asyncio
from pathlib import Path
from typing import BinaryIO, Self

from animatic.errors import ApiUnavailableError
from animatic.machine.durability import replacement
from animatic.wavespeed.transport import identity_headers
from animatic.web.addresses import refusal_of
from animatic.web.network import DIRECT, Network
from animatic.web.public_web import WebError
from animatic.web.reader import FAILURES, Page, Resolver, WebReader

CLIP_DEADLINE_S = 120.0
MAX_CLIP_BYTES = 512 << 20


class ClipDownloader:
    """Fetches clips. Use as `async with`.

    Args:
        origin: scheme, host and port that may be fetched from though they are private; empty for none.
        network: proxies and authorities.
        resolver: in place of the system's.
        deadline_s: for one clip as a whole.
        max_bytes: of one clip.
    """

    def __init__(
        self,
        origin: str = "",
        *,
        network: Network = DIRECT,
        resolver: Resolver | None = None,
        deadline_s: float = CLIP_DEADLINE_S,
        max_bytes: int = MAX_CLIP_BYTES,
    ) -> None:
        self._origin, self._deadline_s, self._max_bytes = origin, deadline_s, max_bytes
        self._web = WebReader(origin, network=network, resolver=resolver, headers=identity_headers("animatic"))

    async def __aenter__(self) -> Self:
        await self._web.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._web.__aexit__()

    async def download(self, url: str, path: Path) -> int:
        """Write what is behind the URL to `path`, atomically; returns its size in bytes.

        Raises:
            ApiUnavailableError: a URL that is not fetched, no clip there, too large, too slow, or cut off.
        """
        why = refusal_of(url, self._origin)
        if why is not None:
            raise ApiUnavailableError(f"clip {path.name}: its URL is not fetched: {why}")
        try:
            async with asyncio.timeout(self._deadline_s):
                with replacement(path) as file:
                    return await self._stream(url, file, path.name)
        except WebError as error:
            raise ApiUnavailableError(f"clip {path.name}: not downloaded: {error}") from None
        except FAILURES as error:
            raise ApiUnavailableError(f"clip {path.name}: not downloaded ({type(error).__name__})") from None

    async def _stream(self, url: str, file: BinaryIO, name: str) -> int:
        """Stream the body into a file, some KiB at a time; judge its first bytes, and return its size."""
        async with self._web.open(url) as page:
            _require_a_clip_to_come(page, name)
            size_bytes = 0
            async for chunk in page.chunks:
                if size_bytes == 0 and chunk[4:8] != b"ftyp":
                    raise ApiUnavailableError(f"clip {name}: what came is no MP4 file")
                size_bytes += len(chunk)
                if size_bytes > self._max_bytes:
                    raise ApiUnavailableError(f"clip {name}: larger than {self._max_bytes:,} bytes")
                file.write(chunk)
            if not size_bytes:
                raise ApiUnavailableError(f"clip {name}: nothing came")
        return size_bytes


def _require_a_clip_to_come(page: Page, name: str) -> None:
    """Judge the head of an answer before a byte of its body is kept."""
    if 300 <= page.status < 400:
        raise ApiUnavailableError(f"clip {name}: HTTP {page.status}, a redirect, which is not followed")
    if page.status != 200:
        raise ApiUnavailableError(f"clip {name}: HTTP {page.status} instead of a clip")
    if page.encoding != "identity":
        raise ApiUnavailableError(f"clip {name}: it came compressed, which was not asked for")
