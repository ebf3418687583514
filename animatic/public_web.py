"""Connections that go to the public Internet only, for URLs that are somebody else's. They carry no key and no cookie.

A name is resolved once; all of its addresses are judged, and only judged addresses are connected to, so that a name
which resolves to something else the second time gains nothing. Every hop of a redirect, where redirects are allowed
at all, is judged like the first.
"""

import socket
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from animatic.addresses import is_public, refusal_of

_USUAL_PORTS = {"http": 80, "https": 443}


class NotPublicError(aiohttp.ClientConnectionError):
    """A URL or an address that must not be fetched; the message says why, and nothing of the URL's path or query."""


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those of which any address is not public, but for the origin that is trusted.

    That one may be private only if it was so from the first: a public name does not become private on the way.
    """

    def __init__(self, trusted_origin: str = "", inner: AbstractResolver | None = None) -> None:
        parts = urlsplit(trusted_origin)
        self._trusted = (parts.hostname, parts.port or _USUAL_PORTS.get(parts.scheme))
        self._was_public = False
        self._inner = inner or aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host; raises NotPublicError."""
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
    resolver: AbstractResolver | None = None,
    most_connections: int = 4,
    **options: Any,
) -> aiohttp.ClientSession:
    """A session whose every request is judged; close it.

    Args:
        trusted_origin: scheme, host and port that the operator gave; may be private.
        resolver: in place of the system's.
        most_connections: at once.
        options: as for `aiohttp.ClientSession`.
    """

    async def judge(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        why = refusal_of(str(request.url), trusted_origin)
        if why is not None:
            raise NotPublicError(f"a URL on {request.url.host or 'no host'} is not fetched: {why}")
        return await handler(request)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=most_connections, resolver=PublicResolver(trusted_origin, resolver)),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(judge,),
        auto_decompress=False,
        trust_env=False,
        max_line_size=16_384,
        max_field_size=16_384,
        **options,
    )
