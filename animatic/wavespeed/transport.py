"""One request, bounded in time and size; what went wrong, sorted by whether it was sent.

httpx's API runs over aiohttp here, several times cheaper than httpx's own transport. Its adapter maps aiohttp's
"server disconnected" and "connection reset" to `httpx.ConnectTimeout`, as if nothing had been sent, so this module
looks at aiohttp's own exception behind it: only a connector's error or a connect time-out proves that.
"""

import asyncio
import functools
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from animatic.errors import ApiUnreachableError, SubmissionUnknownError

CONNECT_TIMEOUT_S = 10.0
LONGEST_RETRY_AFTER_S = 120.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: status, headers, and a body no longer than asked for."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """What the server asks us to wait, in seconds from 1 to 120, or None where it doesn't say."""
        text = self.headers.get("retry-after", "")
        try:
            asked_s = float(text)
        except ValueError:
            return self._retry_after_date_s(text)
        return None if math.isnan(asked_s) else min(max(asked_s, 1.0), LONGEST_RETRY_AFTER_S)

    def _retry_after_date_s(self, text: str) -> float | None:
        try:
            asked_s = (
                parsedate_to_datetime(text) - parsedate_to_datetime(self.headers.get("date", ""))
            ).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
        return min(max(asked_s, 1.0), LONGEST_RETRY_AFTER_S)


@functools.cache
def tls_context() -> ssl.SSLContext:
    """How certificates are checked, the same for all connections: reading the authorities takes 25 ms."""
    return httpx.create_ssl_context(trust_env=False)


def make_transport(*, fresh_connections: bool, most_connections: int) -> httpx.AsyncBaseTransport:
    """A transport without cookies, proxies from the environment or redirects.

    `fresh_connections` opens one for each request: a reused one that the server has just closed fails in a way that
    can't be told from a lost reply.
    """
    context = tls_context()

    def make_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=most_connections, force_close=fresh_connections, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_line_size=16_384,
            max_field_size=16_384,
        )

    return AiohttpTransport(verify=context, client=make_session)  # or it would make a context of its own, unused


async def fetch(client: httpx.AsyncClient, request: httpx.Request, *, deadline_s: float, max_bytes: int) -> Reply:
    """Send one request once and read the whole answer.

    Raises:
        ApiUnreachableError: it provably never left.
        SubmissionUnknownError: it may have been received; there is no whole answer. (For a reading call the caller
            turns this into something milder.)
    """
    what = f"{request.method} {request.url.path}"
    try:
        async with asyncio.timeout(deadline_s):
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                body = await _read(response, max_bytes, what)
            finally:
                await response.aclose()
            return Reply(response.status_code, response.headers, body)
    except TimeoutError:
        raise SubmissionUnknownError(f"{what}: no whole answer within {deadline_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
        if _never_left(error):
            raise ApiUnreachableError(f"{what}: cannot connect to {request.url.host} ({_reason(error)})") from None
        raise SubmissionUnknownError(f"{what}: the connection broke before the answer ({_reason(error)})") from None


async def _read(response: httpx.Response, max_bytes: int, what: str) -> bytes:
    """The body as it was sent; nothing is decompressed, since we ask for identity."""
    chunks = bytearray()
    async for chunk in response.aiter_raw():
        chunks += chunk
        if len(chunks) > max_bytes:
            raise SubmissionUnknownError(f"{what}: the answer is longer than {max_bytes:,} bytes")
    return bytes(chunks)


def _never_left(error: BaseException) -> bool:
    """Whether the failure proves that no byte of the request was sent."""
    cause = error.__cause__ if isinstance(error, httpx.HTTPError) else error
    if cause is None:  # raised by httpx itself
        return isinstance(error, httpx.UnsupportedProtocol | httpx.PoolTimeout)
    return isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL)


def _reason(error: BaseException) -> str:
    """A short name for people; never the exception's own text, which may hold a URL with secrets."""
    cause = error.__cause__ or error
    system: Any = getattr(cause, "os_error", cause)
    text = getattr(system, "strerror", None)
    return f"{type(cause).__name__}: {text}" if isinstance(text, str) and text else type(cause).__name__


def identity_headers(user_agent: str) -> Mapping[str, str]:
    """Headers of every request: no compression (bombs), and who we are."""
    return {"Accept-Encoding": "identity", "Accept": "application/json", "User-Agent": user_agent}
