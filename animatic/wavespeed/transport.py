"""One request, bounded in time and size; what went wrong, sorted by whether it was sent.

httpx's transport interface, over aiohttp: several times cheaper than httpx's own transport, and aiohttp's exceptions
come through as they are, since they say whether anything was sent. (The adapter `httpx-aiohttp` gives "server
disconnected" out as a connect time-out, as if nothing had been sent.) A request that goes straight to our own transport
is never made in httpx's form.
"""

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import httpx
import yarl
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict

from animatic.errors import ApiUnreachableError, ProxyRefusedError, SubmissionUnknownError
from animatic.wavespeed.replies import Reply
from animatic.wavespeed.server_clock import unstopped_s
from animatic.web.certificates import TRUST_ADVICE, tls_context
from animatic.web.network import DIRECT, PROXY_ADVICE, Network

CONNECT_TIMEOUT_S = 10.0
CONNECTED_WITHIN_S = 25.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose body is in memory; its URL is as it goes out, escaped where that is needed."""

    method: str
    url: str
    headers: CIMultiDict[str]
    body: bytes = b""

    def in_httpx(self) -> httpx.Request:
        """Return it for any other transport than ours."""
        headers = httpx.Headers(list(self.headers.items()))
        return httpx.Request(self.method, self.url, headers=headers, content=self.body or None)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """A transport without cookies, redirects, or anything from the environment.

    Args:
        fresh_connections: open one for each request. A reused one that the server has just closed fails in a way that
            looks like a lost reply.
        most_connections: at once; more requests wait.
        connected_within_s: bound on a connection as a whole.
        network: proxies and authorities. A request carries the key: only an https URL goes to a proxy, by CONNECT.
        clock: seconds that only grow, while the machine sleeps too.
    """

    def __init__(
        self,
        *,
        fresh_connections: bool,
        most_connections: int,
        connected_within_s: float = CONNECTED_WITHIN_S,
        network: Network = DIRECT,
        clock: Callable[[], float] = unstopped_s,
    ) -> None:
        self._connected_within_s, self._clock = connected_within_s, clock
        self._fresh, self._most, self._network = fresh_connections, most_connections, network
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request whose body is in memory, or a file. Raises aiohttp's own exceptions, and OSError."""
        headers = CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw)
        response = await self._send(request.method, str(request.url), headers, _body_of(request))
        return httpx.Response(
            response.status, stream=_Body(response), request=request, extensions={_RAW_HEADERS: response.raw_headers}
        )

    async def exchange(self, request: Request, max_bytes: int) -> Reply:
        """Send a request and read its answer, without httpx. Raises as `fetch` does, and as `handle_async_request`."""
        response = await self._send(request.method, request.url, request.headers, request.body or None)
        try:
            body = await _read(request, response.content.iter_any(), max_bytes)
        finally:
            response.release()
        return Reply(response.status, _known_headers(response.raw_headers), body)

    async def _send(self, method: str, url: str, headers: CIMultiDict[str], body: Any) -> aiohttp.ClientResponse:
        session, where = self._session or self._open(), yarl.URL(url, encoded=True)
        proxy = self._network.proxy_for(url) if where.scheme == "https" else None
        return await session.request(
            method,
            where,
            headers=headers,
            data=body,
            allow_redirects=False,
            proxy=proxy and proxy.url,
            proxy_headers=proxy and proxy.headers,
        )

    def _open(self) -> aiohttp.ClientSession:
        """Inside the event loop, which a session belongs to."""
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                self._connected_within_s,
                self._clock,
                limit=self._most,
                force_close=self._fresh,
                ssl=tls_context(self._network),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            auto_decompress=False,
            trust_env=False,
            max_line_size=16_384,
            max_field_size=16_384,
        )
        return self._session

    async def aclose(self) -> None:
        """Close every connection; a later request opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # sockets close in the loop's next turn, which may be the loop's last


class _Connector(aiohttp.TCPConnector):
    """Makes connections; whatever goes wrong until one is made is known not to have sent anything.

    That includes a proxy that hangs, hangs up or answers nonsense: it has seen a host and a port, and no request. A
    machine that slept while it connected sends nothing either: its run may have been called dead since.

    Args:
        within_s: for a connection as a whole: to a proxy, through it, and TLS.
        clock: seconds that only grow, while the machine sleeps too, which asyncio's do not.
        options: as for `aiohttp.TCPConnector`.
    """

    def __init__(self, within_s: float, clock: Callable[[], float], **options: Any) -> None:
        super().__init__(**options)
        self._within_s, self._clock = within_s, clock

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: Any,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> ResponseHandler:
        began_s = self._clock()
        try:
            async with asyncio.timeout(self._within_s):
                connection = await super()._create_connection(req, traces, timeout)
                if self._clock() - began_s <= self._within_s + 1.0:
                    return connection
            connection.close()
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, TimeoutError):
            raise
        except (aiohttp.ClientError, OSError) as error:
            broken = OSError(None, f"{type(error).__name__} while connecting")
            raise aiohttp.ClientConnectorError(req.connection_key, broken) from None
        raise aiohttp.ClientConnectorError(req.connection_key, OSError(None, "this machine slept while it connected"))


def _body_of(request: httpx.Request) -> Any:
    """Return the body in memory, or the stream of one that was not read: a file's, sent as it is read."""
    try:
        return request.content or None
    except httpx.RequestNotRead:
        return request.stream


_RAW_HEADERS = "animatic.raw_headers"
"""Extension that holds an answer's raw headers: httpx's own form of them costs more than the rest of an answer."""


class _Body(httpx.AsyncByteStream):
    """An answer's body, as it comes."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.content.iter_any():
            yield chunk

    async def aclose(self) -> None:
        """Give the connection back, or close it where the answer was not read to its end."""
        self._response.release()


async def fetch(
    transport: httpx.AsyncBaseTransport, request: Request | httpx.Request, *, deadline_s: float, max_bytes: int
) -> Reply:
    """Send one request once and read the whole answer.

    Raises:
        ApiUnreachableError: it provably never left.
        ProxyRefusedError: a proxy refused to connect to the API, so it never left.
        SubmissionUnknownError: it may have been received; there is no whole answer. (For a reading call the caller
            turns this into something milder.)
    """
    try:
        async with asyncio.timeout(deadline_s):
            if isinstance(request, Request):
                if isinstance(transport, AiohttpTransport):
                    return await transport.exchange(request, max_bytes)
                request = request.in_httpx()
            response = await transport.handle_async_request(request)
            stream = cast("httpx.AsyncByteStream", response.stream)
            try:
                body = await _read(request, stream, max_bytes)
            finally:
                await stream.aclose()
            return Reply(response.status_code, _known_headers(raw_headers_of(response)), body)
    except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError) as error:  # some of aiohttp's are TimeoutErrors too
        raise _broken(request, error) from None
    except TimeoutError:
        raise SubmissionUnknownError(f"{_what(request)}: no whole answer within {deadline_s:g} s") from None
    except OSError as error:
        raise _broken(request, error) from None


def _broken(
    request: Request | httpx.Request, error: Exception
) -> ApiUnreachableError | ProxyRefusedError | SubmissionUnknownError:
    """Return the error that a failed connection means."""
    what, why, host = _what(request), _reason(error), yarl.URL(str(request.url), encoded=True).host
    refusal = _cause(error)
    if isinstance(refusal, aiohttp.ClientHttpProxyError):
        return ProxyRefusedError(f"{what}: a proxy refused to connect to {host} (HTTP {refusal.status})")
    if isinstance(refusal, aiohttp.ClientProxyConnectionError):
        return ApiUnreachableError(f"{what}: cannot connect to the proxy ({why}). {PROXY_ADVICE}")
    if isinstance(refusal, aiohttp.ClientConnectorCertificateError):
        return ApiUnreachableError(f"{what}: the certificate of {refusal.host} is not trusted. {TRUST_ADVICE}")
    if _never_left(error):
        return ApiUnreachableError(f"{what}: cannot connect to {host} ({why})")
    return SubmissionUnknownError(f"{what}: the connection broke before the answer ({why})")


async def _read(request: Request | httpx.Request, stream: AsyncIterable[bytes], max_bytes: int) -> bytes:
    """Read the body as it was sent. Nothing is decompressed, since we ask for identity."""
    chunks = bytearray()
    async for chunk in stream:
        chunks += chunk
        if len(chunks) > max_bytes:
            raise SubmissionUnknownError(f"{_what(request)}: the answer is longer than {max_bytes:,} bytes")
    return bytes(chunks)


_KNOWN_HEADERS = {name.encode(): name for name in ("age", "date", "retry-after")}


def _known_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Those that mean something to us; of one that comes twice, the first."""
    known: dict[str, str] = {}
    for raw, value in headers:
        name = _KNOWN_HEADERS.get(raw.lower())
        if name is not None:
            known.setdefault(name, value.decode("latin-1"))
    return known


def raw_headers_of(response: httpx.Response) -> Sequence[tuple[bytes, bytes]]:
    """Return the headers of an answer of ours, or of any other transport's, as they came."""
    return response.extensions.get(_RAW_HEADERS) or response.headers.raw


def _what(request: Request | httpx.Request) -> str:
    """Describe a request without its query, which may hold anything."""
    return f"{request.method} {yarl.URL(str(request.url), encoded=True).path}"


def _never_left(error: BaseException) -> bool:
    """Tell if the failure proves that no byte of the request was sent."""
    cause = _cause(error)
    if cause is None:  # raised by httpx itself
        return isinstance(error, httpx.UnsupportedProtocol | httpx.PoolTimeout)
    return isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL)


def _cause(error: BaseException) -> BaseException | None:
    """Return the error that a transport other than ours has wrapped."""
    return error.__cause__ if isinstance(error, httpx.HTTPError) else error


def _reason(error: BaseException) -> str:
    """Return a short name for people; never the exception's own text, which may hold a URL with secrets."""
    cause = _cause(error) or error
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return "its name cannot be looked up; is there a network?"
    if isinstance(cause, aiohttp.ServerDisconnectedError):
        return "it was closed at the other end"
    system: Any = getattr(cause, "os_error", cause)
    number, text = getattr(system, "errno", None), getattr(system, "strerror", None)
    if isinstance(number, int) and number in errno.errorcode and not isinstance(system, ssl.SSLError):
        return os.strerror(number).lower()
    return f"{type(cause).__name__}: {text}" if isinstance(text, str) and text else type(cause).__name__


def identity_headers(user_agent: str) -> Mapping[str, str]:
    """Headers of every request: no compression (bombs), and who we are."""
    return {"Accept-Encoding": "identity", "Accept": "application/json", "User-Agent": user_agent}
