"""Endpoint of a run's metrics: answers GET on a port of this machine, in a thread of its own, and sends nothing.

A request never reaches the event loop of the run. Its size and time, and the number of connections, are bounded;
answers are limited per second, so that frequent requests do not slow a run down.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

MOST_CONNECTIONS = 16
MOST_HEAD_BYTES = 8_192
WITHIN_S = 5.0
"""Longest time of a connection, from its first byte to the last of the answer."""

SPACING_S = 0.02
"""Pause between two answers: at most 50 a second."""

STOPS_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


Respond = Callable[[str], Page | None]
"""Returns the page of a path; None where there is none. Called in the endpoint's thread."""


@contextmanager
def served(respond: Respond, host: str, ports: Sequence[int]) -> Generator[int]:
    """Serve pages for the length of the block on the first port that is free; yield it.

    Raises:
        OSError: no port can be listened on.
    """
    with listening_on(host, ports) as listening:
        endpoint = _Endpoint(respond, listening)
        thread = threading.Thread(target=endpoint.run, name="metrics", daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            endpoint.stop()
            thread.join(STOPS_WITHIN_S)


def listening_on(host: str, ports: Sequence[int]) -> socket.socket:
    """Return a socket that listens on the first port that is free. `host` is an IP address, or localhost.

    Raises:
        OSError: none can be listened on; the problem of the last one.
    """
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    problem = OSError("no port")
    for port in ports:
        try:
            return socket.create_server((address, port), family=family, backlog=MOST_CONNECTIONS)
        except OSError as error:
            problem = error
    raise problem


class _Endpoint:
    """An endpoint on a listening socket."""

    def __init__(self, respond: Respond, listening: socket.socket) -> None:
        self._respond, self._listening = respond, listening
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped, self._is_stopped = asyncio.Event(), False
        self._open = 0

    def run(self) -> None:
        """Answer until `stop`; in a thread of its own."""
        asyncio.run(self._serve())

    def stop(self) -> None:
        """Answer nothing more. Called by another thread."""
        self._is_stopped = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self) -> None:
        self._loop, self._turn = asyncio.get_running_loop(), asyncio.Lock()
        server = await asyncio.start_server(self._handle, sock=self._listening, limit=MOST_HEAD_BYTES)
        if not self._is_stopped:
            await self._stopped.wait()
        server.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MOST_CONNECTIONS:
                async with asyncio.timeout(WITHIN_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    async with self._turn:
                        await asyncio.sleep(SPACING_S)
                        writer.write(answer(head, self._respond))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open -= 1
            writer.transport.abort()


def answer(head: bytes, respond: Respond) -> bytes:
    """Return the whole answer to the head of a request."""
    method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
    target = rest.partition(" ")[0]
    page = _page_of(method, target.partition("?")[0], respond)
    lines = [
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    body = b"" if method == "HEAD" else page.body
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _page_of(method: str, path: str, respond: Respond) -> Page:
    if method not in {"GET", "HEAD"}:
        return Page(b"allowed: GET, HEAD\n", status=HTTPStatus.METHOD_NOT_ALLOWED)
    try:
        page = respond(path)
    except Exception:  # noqa: BLE001 - a fault here must end no thread, and its words may hold anything
        return Page(b"cannot be told now; ask again\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)
    return page or Page(b"there are /metrics and /healthz\n", status=HTTPStatus.NOT_FOUND)
