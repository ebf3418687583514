"""A TCP server in front of another one, which a test closes, blocks or lets answer for itself, and opens again."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Generator
from typing import Any
from urllib.parse import urlsplit

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Door:
    """Passes connections on, until it is changed.

    Its port stays bound while it is closed, so that no other process listens there then.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = parts.hostname, parts.port
        self._bound = self._socket(0)
        self._port = self._bound.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}{parts.path}"
        self.connections = 0
        """Number of connections so far."""
        self._passes: int | None = None
        self._then: int | None = None
        self._status: int | None = None
        self._is_blocked = False
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.open()

    def url_with(self, user: str) -> str:
        """The URL with `user:password` in it."""
        return self.url.replace("//", f"//{user}@")

    def open(self) -> None:
        """Pass everything on."""
        self._do(self._set(None, is_blocked=False))

    def close(self) -> None:
        """Refuse connections, and cut those that are there."""
        self._do(self._shut())

    def block(self) -> None:
        """Take connections and what is sent, and say nothing more."""
        self._do(self._set(None, is_blocked=True))

    def answer(self, status: int) -> None:
        """Answer every request with this status, and cut the connections that are there."""
        self._do(self._set(status, is_blocked=False))

    def let_pass(self, connections: int, then: int | None) -> None:
        """Pass so many connections on in all, then answer with this status, or block where it is None."""
        self._passes, self._then = connections, then

    def end(self) -> None:
        """Close, and end the thread."""
        self.close()
        self._do(asyncio.sleep(0.05))  # transports close in the next rounds of the loop
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._bound.close()

    @staticmethod
    def _socket(port: int) -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
        return made

    def _do(self, change: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(change, self._loop).result(10)

    async def _set(self, status: int | None, *, is_blocked: bool) -> None:
        self._status, self._is_blocked = status, is_blocked
        if not is_blocked:
            await self._cut()
        if self._server is None:
            self._server = await asyncio.start_server(self._link, sock=self._socket(self._port), backlog=512)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        links = dict(self._links)
        for link, client in links.items():
            client.transport.abort()
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._passes is not None and self.connections > self._passes:
            self._status, self._is_blocked = self._then, self._then is None
        task = asyncio.current_task()
        assert task is not None
        self._links[task] = writer
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                if self._status is not None:
                    await self._refuse(reader, writer, self._status)
                else:
                    await self._pass_on((reader, writer))
        finally:
            writer.close()
            del self._links[task]

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        for line in head.split("\r\n"):
            name, _, value = line.partition(":")
            if name == "content-length":
                await reader.readexactly(int(value))
        writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()

    async def _pass_on(self, near: Pipe) -> None:
        if self._is_blocked:
            await self._drain(near[0])
            return
        far = await asyncio.open_connection(*self._upstream)
        try:
            await asyncio.gather(self._pump(near[0], far[1]), self._pump(far[0], near[1]))
        finally:
            far[1].close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while (chunk := await source.read(1 << 16)) and not self._is_blocked:
            target.write(chunk)
            await target.drain()
        if self._is_blocked:
            await self._drain(source)
        elif target.can_write_eof():
            target.write_eof()

    async def _drain(self, source: asyncio.StreamReader) -> None:
        while await source.read(1 << 16):
            pass
        while self._is_blocked:
            await asyncio.sleep(0.1)


@contextlib.contextmanager
def door(upstream: str) -> Generator[Door]:
    made = Door(upstream)
    try:
        yield made
    finally:
        made.end()
