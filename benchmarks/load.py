"""A bare load generator: requests over a few connections, as fast as the server answers, or at a given rate.

It parses no more of a reply than its length, so that it costs less than any server in Python.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection that carries one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._reply: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exc or ConnectionResetError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(_END)
        if head < 0:
            return
        at = self._received.lower().find(b"content-length:", 0, head)
        length = int(self._received[at + 15 : self._received.index(b"\r", at)]) if at >= 0 else 0
        if len(self._received) >= head + len(_END) + length and self._reply is not None:
            reply = bytes(self._received)
            self._received.clear()
            self._reply.set_result(reply)

    async def ask(self, request: bytes) -> bytes:
        """The whole reply to a whole request."""
        assert self._transport is not None
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._reply

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@dataclass(frozen=True, slots=True)
class Load:
    """Result of a load: requests, seconds, and how long the slowest tenth of a second's worth took."""

    requests: int
    seconds: float
    replies: Sequence[bytes]
    waits_s: Sequence[float]


async def fire(url: str, requests: Iterable[bytes], *, lanes: int, is_fresh: bool = False) -> Load:
    """Send all of them over so many connections; with `is_fresh` over one each, as our submissions go."""
    address = urlsplit(url)
    waiting = deque(requests)
    replies: list[bytes] = []
    waits_s: list[float] = []
    loop = asyncio.get_running_loop()

    async def lane() -> None:
        connection: Connection | None = None
        while waiting:
            request = waiting.popleft()
            began = time.perf_counter()
            if connection is None:
                _, connection = await loop.create_connection(Connection, address.hostname, address.port)
            replies.append(await connection.ask(request))
            waits_s.append(time.perf_counter() - began)
            if is_fresh:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(lanes)))
    return Load(len(replies), time.perf_counter() - began, replies, waits_s)


def get(path: str, key: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def post(path: str, key: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
