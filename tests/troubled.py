"""A server on loopback that hands requests on to another one, and fails those that a test points at."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

CUT, STALL = "cut", "stall"
"""Faults beside HTTP statuses: the connection is reset half-way, and no answer comes until the client gives up."""

Fault = int | str | None
HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


class Trouble:
    """Faults to come: `fault` gets method, path with query and the number of the request, and returns one or None.

    Attributes:
        seen: method and path of each request, with the fault that it met.
    """

    def __init__(self) -> None:
        self.fault: Callable[[str, str], Fault] = lambda _, __: None
        self.seen: list[tuple[str, str, Fault]] = []
        self.url = ""

    def clear(self) -> None:
        self.fault = lambda _, __: None
        self.seen.clear()

    def first(self, times: int, fault: Fault, method: str | None = None, part: str = "") -> None:
        """Fail the first requests of a method whose path has this part."""
        left = [times]

        def next_fault(its_method: str, path: str) -> Fault:
            if left[0] <= 0 or method not in {None, its_method} or part not in path:
                return None
            left[0] -= 1
            return fault

        self.fault = next_fault

    @property
    def failed(self) -> list[tuple[str, str, Fault]]:
        return [each for each in self.seen if each[2] is not None]


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "").lower() == "chunked":
        data = b""
        while size := int(request.rfile.readline().partition(b";")[0], 16):
            data += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
        return data
    return request.rfile.read(int(request.headers.get("Content-Length") or 0))


def _handler(  # noqa: C901 - one class
    trouble: Trouble, target: str, ended: threading.Event
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

        def pass_on(self) -> None:
            fault = trouble.fault(self.command, self.path)
            trouble.seen.append((self.command, self.path, fault))
            data = _body(self)
            if fault == STALL:
                ended.wait(60)
                self.close_connection = True
            elif fault == CUT:
                # Closed with a reset, as by a server that dies.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
            elif isinstance(fault, int):
                self.answer(fault, {"Content-Type": "application/xml"}, b"")
            else:
                self.answer(*self.ask(data))

        def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(target, timeout=30)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
                connection.request(self.command, self.path, data or None, headers)
                reply = connection.getresponse()
                found = {
                    name: value.replace(target, urlsplit(trouble.url).netloc) for name, value in reply.getheaders()
                }
                return reply.status, found, reply.read()
            finally:
                connection.close()

        def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response_only(status)
            told = {name.lower(): value for name, value in headers.items()}
            size = told.get("content-length", "0") if self.command == "HEAD" else str(len(data))
            for name, value in headers.items():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", size)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = pass_on  # noqa: N815 - names that http.server calls

        def log_message(self, *_: Any) -> None:
            """A line for each request is noise."""

    return Handler


@contextmanager
def troubled(url: str) -> Generator[Trouble]:
    """Serve in front of a server for the length of the block."""
    trouble, ended = Trouble(), threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(trouble, urlsplit(url).netloc, ended))
    server.daemon_threads = True
    trouble.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield trouble
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
