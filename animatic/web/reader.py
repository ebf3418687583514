"""Requests to URLs that others name: what is there, and its bytes. Follows no redirect."""

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver

from animatic.web.network import DIRECT, Network
from animatic.web.public_web import open_session

FAILURES = (TimeoutError, aiohttp.ClientError, OSError, ValueError)
"""Errors of a request that failed, WebError among them."""

Resolver = AbstractResolver
_CHUNK_BYTES = 1 << 16
_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of which the body is still to come, as it was sent.

    Attributes:
        status: of HTTP.
        encoding: `identity`, or how the body is compressed.
        chunks: the body, up to 64 KiB at a time.
    """

    status: int
    encoding: str
    chunks: AsyncIterator[bytes]


class WebReader:
    """Asks without a key, and guarded as `open_session` says. Use as `async with`.

    Args:
        origin: scheme, host and port that may be asked though they are private; empty for none.
        network: proxies and authorities.
        resolver: in place of the system's.
        headers: of each request.
        deadline_s: for a request as a whole; None: without bound.
    """

    def __init__(
        self,
        origin: str = "",
        *,
        network: Network = DIRECT,
        resolver: Resolver | None = None,
        headers: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
    ) -> None:
        timeout = aiohttp.ClientTimeout(total=deadline_s, sock_connect=_CONNECT_TIMEOUT_S)
        self._open = functools.partial(
            open_session, origin, network=network, resolver=resolver, headers=headers, timeout=timeout
        )

    async def __aenter__(self) -> Self:
        self._session = self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def status_of(self, url: str) -> int:
        """Return the status of a HEAD request. Raises FAILURES."""
        async with self._session.head(url, allow_redirects=False) as response:
            return response.status

    @asynccontextmanager
    async def open(self, url: str) -> AsyncGenerator[Page]:
        """Send a GET request. Raises FAILURES, also while the body is read."""
        async with self._session.get(url, allow_redirects=False) as response:
            encoding = response.headers.get("Content-Encoding", "identity").lower()
            yield Page(response.status, encoding, response.content.iter_chunked(_CHUNK_BYTES))
