"""Connections that go to the public Internet only, for URLs of others. They carry no key and no cookie.

A name is resolved once; all of its addresses are judged, and only judged addresses are connected to, so that a name
which resolves to something else the second time gains nothing. Every hop of a redirect, where redirects are allowed
at all, is judged like the first.

A proxy resolves names for itself. What can be judged here is judged here all the same: address literals, and names
that resolve here. A name that does not resolve here is the proxy's to judge.
"""

import asyncio
import functools
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict

from animatic.web.addresses import USUAL_PORTS, is_public, refusal_of
from animatic.web.certificates import TRUST_ADVICE, tls_context
from animatic.web.network import DIRECT, PROXY_ADVICE, PROXY_REFUSAL, Network, Proxy, is_this_machine

RESOLVED_WITHIN_S = 5.0
"""Bound on a look-up whose name a proxy would look up itself: where nothing outside resolves, it may take long."""


class WebError(aiohttp.ClientConnectionError):
    """A URL that is not fetched; the message says why, and holds nothing of its path or query, or of a password."""


class NotPublicError(WebError):
    """A URL or an address that must not be fetched."""


class NotReachedError(WebError):
    """A proxy refused to pass the request on, or the other side has no certificate that we trust."""


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those of which any address is not public, but for the origin that is trusted.

    That one may be private only if it was so from the first: a public name does not become private on the way.

    Args:
        trusted_origin: scheme, host and port that the operator gave.
        inner: in place of the system's.
        proxies: host and port of proxies, which may be anywhere. A URL that names one is judged by `judge`.
    """

    def __init__(
        self,
        trusted_origin: str = "",
        inner: AbstractResolver | None = None,
        proxies: Collection[tuple[str, int]] = (),
    ) -> None:
        parts = urlsplit(trusted_origin)
        self._proxies = proxies
        self._trusted = (parts.hostname, parts.port or USUAL_PORTS.get(parts.scheme))
        self._was_public = False
        self._inner = inner or aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host to connect to; raises NotPublicError."""
        if (host, port) in self._proxies:
            return await self._inner.resolve(host, port, family)
        return await self.judge(host, port, family)

    async def judge(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a URL's host; raises NotPublicError, also where the URL names a proxy."""
        found = await self._inner.resolve(host, port, family)
        private = [each["host"] for each in found if not is_public(each["host"])]
        is_trusted = (host, port) == self._trusted and not self._was_public
        if (host, port) == self._trusted and found and not private:
            self._was_public = True
        if (private or not found) and not is_trusted:
            raise NotPublicError(f"{host} resolves to {', '.join(private) or 'nothing'}, which is not public")
        return found

    async def close(self) -> None:
        """Close what resolves."""
        await self._inner.close()


def open_session(
    trusted_origin: str = "",
    *,
    network: Network = DIRECT,
    resolver: AbstractResolver | None = None,
    most_connections: int = 4,
    **options: Any,
) -> aiohttp.ClientSession:
    """Open a session whose every request is judged; close it.

    Args:
        trusted_origin: scheme, host and port that the operator gave; may be private.
        network: proxies and authorities.
        resolver: in place of the system's.
        most_connections: at once.
        options: as for `aiohttp.ClientSession`.
    """
    judged = PublicResolver(trusted_origin, resolver, network.proxies)

    async def judge(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        why = refusal_of(str(request.url), trusted_origin)
        if why is not None:
            raise NotPublicError(f"a URL on {request.url.host or 'no host'} is not fetched: {why}")
        proxy = await _route(request, network, judged)
        try:
            return await _pass_on(request, proxy, handler)
        except aiohttp.ClientHttpProxyError as error:
            raise _refused_by_proxy(request, error.status) from None
        except aiohttp.ClientProxyConnectionError as error:
            raise NotReachedError(f"the proxy cannot be reached ({error.strerror}). {PROXY_ADVICE}") from None
        except aiohttp.ClientConnectorDNSError as error:
            raise WebError(f"the name {error.host} is not known, or no name server answers") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise NotReachedError(f"the certificate of {error.host} is not trusted. {TRUST_ADVICE}") from None

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=most_connections, resolver=judged, ssl=tls_context(network, trusts_system=True)
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(judge,),
        auto_decompress=False,
        trust_env=False,
        max_line_size=16_384,
        max_field_size=16_384,
        **options,
    )


@functools.cache
def session_maker(trusted_origin: str, network: Network) -> Callable[..., Awaitable[aiohttp.ClientSession]]:
    """Return a maker of sessions as fsspec wants it. Cached, for fsspec keeps one file system for equal options."""

    async def make(**options: Any) -> aiohttp.ClientSession:
        options.pop("loop", None)
        return open_session(trusted_origin, network=network, **options)

    return make


async def _route(request: aiohttp.ClientRequest, network: Network, resolver: PublicResolver) -> Proxy | None:
    """Return the proxy for one request, None for a direct one. Raises NotPublicError where its host is private.

    Without any proxy, the resolver of the connection judges. Only the trusted origin may resolve to this machine, and
    is then reached directly.
    """
    if not network.proxies:
        return None
    proxy = network.proxy_for(str(request.url))
    host, port = request.url.raw_host or "", request.url.port or 0
    try:
        async with asyncio.timeout(RESOLVED_WITHIN_S):
            found = await resolver.judge(host, port)
    except OSError:  # it does not resolve here, or not in time
        return proxy
    return None if found and all(is_this_machine(each["host"]) for each in found) else proxy


async def _pass_on(
    request: aiohttp.ClientRequest, proxy: Proxy | None, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send one request, by a proxy or not; an http request carries the proxy's password itself."""
    request.headers.pop("Proxy-Authorization", None)
    if proxy is None:
        return await handler(request)
    request.update_proxy(yarl.URL(proxy.url), None, CIMultiDict(proxy.headers))
    if not request.is_ssl():
        request.headers.update(proxy.headers)
    response = await handler(request)
    if response.status == PROXY_REFUSAL and not request.is_ssl():
        response.close()
        raise _refused_by_proxy(request, response.status)
    return response


def _refused_by_proxy(request: aiohttp.ClientRequest, status: int) -> NotReachedError:
    return NotReachedError(f"a proxy refused to connect to {request.url.host} (HTTP {status}). {PROXY_ADVICE}")
