"""A line to a PostgreSQL server that knows where messages begin: at the n-th of them, either way, something happens."""

import contextlib
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import Self
from urllib.parse import urlsplit

from torture.ledgers import DIRECT, SERVER

ASKS, SAYS = "asks", "says"
"""The two ways of messages: of the client, and of the server."""

Moment = tuple[str, int]


class Line:
    """A line; without `at` it only counts. At that message, before it is passed on, the line is cut and `fault` done.

    Args:
        server: the server's URL, with `sslmode=disable`.
        at: a way, and a number from 1.
        fault: gets the line, whose connections are cut already.
        away_s: so long nobody gets through afterwards.
    """

    def __init__(
        self,
        server: str,
        at: Moment | None = None,
        fault: "Callable[[Line], None] | None" = None,
        away_s: float = 0.0,
    ) -> None:
        parts = urlsplit(server)
        self._server = (parts.hostname or "", parts.port or 5432)
        self._at, self._fault, self._away_s = at, fault, away_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(netloc=f"{parts.username}@127.0.0.1:{self._listener.getsockname()[1]}").geturl()
        self.counts: Counter[str] = Counter()
        self.has_fired = threading.Event()
        self.loses_commits = ""
        """Lose each second COMMIT from now on (ASKS), or the reply to it (SAYS), and its connection with it."""
        self.lost_commits = 0
        self.is_silent = False
        """Pass nothing on, and cut nothing: as a line does that was unplugged."""
        self._turn, self._open, self._until_s = threading.Lock(), set[socket.socket](), 0.0
        self._all, self._pumps = list[socket.socket](), list[threading.Thread]()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        self.cut()
        self.is_silent = False
        for pump in self._pumps:
            pump.join(10)
        for each in self._all:
            each.close()

    def cut(self, away_s: float = 0.0) -> None:
        """Cut all connections, and refuse new ones for so long."""
        self._until_s = time.monotonic() + away_s
        for each in list(self._open):
            _end(each)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if time.monotonic() < self._until_s:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(self._server)
                except OSError:  # the server is away
                    near.close()
                    continue
                for each in (near, far):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open |= {near, far}
                self._all += [near, far]
                state = {"commits": False}
                for way, source, target in ((ASKS, near, far), (SAYS, far, near)):
                    pump = threading.Thread(target=self._pump, args=(way, source, target, state), daemon=True)
                    self._pumps.append(pump)
                    pump.start()

    def _pump(self, way: str, source: socket.socket, target: socket.socket, state: dict[str, bool]) -> None:
        """Pass on whole messages only."""
        left, is_first = b"", way == ASKS  # the client's first message has no type
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                while self.is_silent:
                    time.sleep(0.05)
                left += data
                passed = b""
                while (size := _size(left, is_first)) is not None:
                    message, left, is_first = left[:size], left[size:], False
                    if self._is_the_one(way, message, state):
                        target.sendall(passed)
                        self._strike()
                        return
                    passed += message
                target.sendall(passed)
        _end(source)
        _end(target)
        self._open -= {source, target}

    def _is_the_one(self, way: str, message: bytes, state: dict[str, bool]) -> bool:
        if way == ASKS:
            state["commits"] = b"COMMIT" in message
        with self._turn:
            self.counts[way] += 1
            if way == self.loses_commits and state["commits"]:
                state["commits"] = False
                self.counts["commits"] += 1
                self.lost_commits += self.counts["commits"] % 2
                return bool(self.counts["commits"] % 2)
            return self._at == (way, self.counts[way]) and not self.has_fired.is_set()

    def _strike(self) -> None:
        self.has_fired.set()
        self.cut(self._away_s)
        if self._fault is not None:
            self._fault(self)


@contextlib.contextmanager
def through(line: Line) -> Generator[Line]:
    """Let ledgers of this process, and of those that it forks, be reached through a line."""
    direct = os.environ[SERVER]
    os.environ |= {SERVER: line.url, DIRECT: direct}
    try:
        yield line
    finally:
        os.environ[SERVER] = direct
        del os.environ[DIRECT]


def _size(data: bytes, is_first: bool) -> int | None:
    """Return the size of the first message; None until all of it is there."""
    head = 0 if is_first else 1
    if len(data) < head + 4:
        return None
    size = head + int.from_bytes(data[head : head + 4], "big")
    return size if len(data) >= size else None


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
