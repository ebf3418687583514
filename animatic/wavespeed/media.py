"""Download clips with a client that has no key, from one origin only, as files that are whole or not there.

File names come from the caller, never from a URL.
"""

import asyncio
import os
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import httpx

from animatic.errors import ApiUnavailableError
from animatic.wavespeed.transport import CONNECT_TIMEOUT_S, identity_headers, make_transport

CLIP_DEADLINE_S = 120.0
MAX_CLIP_BYTES = 512 << 20


class ClipDownloader:
    """Fetches clips from one origin. Use as `async with`."""

    def __init__(self, origin: str) -> None:
        self._origin = urlsplit(origin)
        self._client = httpx.AsyncClient(
            headers=identity_headers("animatic"),
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            transport=make_transport(fresh_connections=False, most_connections=4),
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def download(self, url: str, path: Path) -> int:
        """Write what is behind the URL to `path`, atomically; returns its size in bytes.

        Raises:
            ApiUnavailableError: another origin, no clip there, too large, too slow, or cut off.
        """
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc) != (self._origin.scheme, self._origin.netloc):
            raise ApiUnavailableError(f"clip {path.name}: its URL points to another host than {self._origin.netloc}")
        partial = path.with_name(path.name + ".partial")
        try:
            async with asyncio.timeout(CLIP_DEADLINE_S):
                size_bytes = await self._stream(url, partial)
        except (TimeoutError, httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            partial.unlink(missing_ok=True)
            raise ApiUnavailableError(f"clip {path.name}: not downloaded ({type(error).__name__})") from None
        except ApiUnavailableError:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(path)
        return size_bytes

    async def _stream(self, url: str, partial: Path) -> int:
        """The body into a file, counted and synced."""
        size_bytes = 0
        async with self._client.stream("GET", url) as response:
            if response.status_code != 200:
                raise ApiUnavailableError(f"clip {partial.stem}: HTTP {response.status_code} instead of a clip")
            with partial.open("wb") as file:
                async for chunk in response.aiter_raw():
                    size_bytes += len(chunk)
                    if size_bytes > MAX_CLIP_BYTES:
                        raise ApiUnavailableError(f"clip {partial.stem}: larger than {MAX_CLIP_BYTES >> 20} MiB")
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            announced = response.headers.get("content-length", "")
            if announced.isdigit() and int(announced) != size_bytes:
                raise ApiUnavailableError(f"clip {partial.stem}: {size_bytes} bytes of {announced}")
        return size_bytes
