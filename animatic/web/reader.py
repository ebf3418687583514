"""Requests to URLs that others name: what is there, and its bytes."""

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver

from animatic.web.network import DIRECT, Network
from animatic.web.public_web import WebError, open_session

FAILURES = (TimeoutError, aiohttp.ClientError, OSError, ValueError)
"""Errors of a request that failed, WebError among them."""

MOST_HOPS = 5
"""Redirects that `WebReader.follow` goes along."""

Resolver = AbstractResolver
_CHUNK_BYTES = 1 << 18
_BUFFER_BYTES = 1 << 20
"""Bytes of each answer that may wait to be read: with fewer, the line is stopped and started all the time."""

_CONNECT_TIMEOUT_S = 10.0


class RedirectsError(WebError):
    """A URL that leads to others again and again."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of which the body is still to come, as it was sent.

    Attributes:
        status: of HTTP.
        headers: of the answer, found without regard to case.
        chunks: the body, up to 256 KiB at a time.
    """

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]

    @property
    def encoding(self) -> str:
        """`identity`, or how the body is compressed."""
        return self.headers.get("Content-Encoding", "identity").lower()


class WebReader:
    """Asks without a key, and guarded as `open_session` says. Use as `async with`.

    Args:
        origin: scheme, host and port that may be asked though they are private; empty for none.
        network: proxies and authorities.
        resolver: in place of the system's.
        headers: of each request.
        deadline_s: for a request as a whole; None: without bound.
        stalls_after_s: the longest wait for the next bytes; None: without bound.
        most_connections: at once.
    """

    def __init__(  # noqa: PLR0913 - bounds of a request, each with a name
        self,
        origin: str = "",
        *,
        network: Network = DIRECT,
        resolver: Resolver | None = None,
        headers: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
        stalls_after_s: float | None = None,
        most_connections: int = 4,
    ) -> None:
        timeout = aiohttp.ClientTimeout(total=deadline_s, sock_connect=_CONNECT_TIMEOUT_S, sock_read=stalls_after_s)
        self._open = functools.partial(
            open_session,
            origin,
            network=network,
            resolver=resolver,
            most_connections=most_connections,
            headers=headers,
            timeout=timeout,
            read_bufsize=_BUFFER_BYTES,
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
    async def open(self, url: str, headers: Mapping[str, str] | None = None) -> AsyncGenerator[Page]:
        """Send a GET request, and follow no redirect. Raises FAILURES, also while the body is read."""
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            yield Page(response.status, response.headers, response.content.iter_chunked(_CHUNK_BYTES))

    @asynccontextmanager
    async def follow(self, url: str, headers: Mapping[str, str] | None = None) -> AsyncGenerator[Page]:
        """Send GET requests along redirects, each of which is judged like the first.

        The page is the first that leads nowhere else: also a redirect without a target.

        Raises:
            RedirectsError: there are more than MOST_HOPS redirects.
            FAILURES: also while the body is read.
        """
        at = url
        for _ in range(MOST_HOPS + 1):
            async with self.open(at, headers) as page:
                target = page.headers.get("Location", "")
                if not 300 <= page.status < 400 or page.status == 304 or not target:
                    yield page
                    return
            at = urljoin(at, target)
        raise RedirectsError(f"more than {MOST_HOPS} redirects")
