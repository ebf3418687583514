"""Real proxies and TLS servers on 127.0.0.1.

A proxy reaches any name, since it is told where each leads; what it hears outside of a tunnel is kept.
"""

import base64
import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Address = tuple[str, int]


@dataclass
class Relay:
    """A server on loopback; `connections` counts those that it accepted."""

    address: Address
    connections: int = 0
    ends: list[threading.Thread] = field(default_factory=list[threading.Thread])


@contextlib.contextmanager
def relaying(
    handle: Callable[[socket.socket], None], context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Generator[Relay]:
    """Serve each connection in a thread of its own, over TLS where there is a context."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, 0), family=family)
    relay = Relay(listening.getsockname()[:2])

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            connection.settimeout(30)
            if context is not None:
                connection = stack.enter_context(context.wrap_socket(connection, server_side=True))
            handle(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = listening.accept()[0]
                relay.connections += 1
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)


def pass_on(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side ends. One thread does it: two may not share a TLS connection."""
    with contextlib.suppress(OSError), selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while ready := selector.select(30):
            for key, _ in ready:
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                if not _carry(source, target):
                    return


def _carry(source: socket.socket, target: socket.socket) -> bool:
    """Send on what has come. False once `source` has ended."""
    while True:
        source.settimeout(0)
        try:
            data = source.recv(65_536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        finally:
            source.settimeout(30)
        if not data:
            return False
        target.sendall(data)


@contextlib.contextmanager
def over_tls(upstream: str, context: ssl.SSLContext, host: str = "127.0.0.1") -> Generator[Relay]:
    """A TLS server in front of an http one."""
    parts = urlsplit(upstream)

    def handle(connection: socket.socket) -> None:
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=30) as behind:
            pass_on(connection, behind)

    with relaying(handle, context, host) as relay:
        yield relay


@dataclass
class Proxy:
    """A proxy: its URL, what it was asked for, and all that it heard outside of tunnels."""

    relay: Relay
    scheme: str
    asked: list[str] = field(default_factory=list[str])
    heard: list[bytes] = field(default_factory=list[bytes])

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.relay.address[1]}"

    @property
    def connections(self) -> int:
        return self.relay.connections

    def url_for(self, login: str) -> str:
        return self.url.replace("://", f"://{login}@")


@contextlib.contextmanager
def proxying(
    routes: Mapping[str, Address],
    *,
    login: str | None = None,
    context: ssl.SSLContext | None = None,
    answer: bytes | None = None,
) -> Generator[Proxy]:
    """A proxy that connects `host:port`, or any port of `host`, to an address.

    It speaks TLS where there is a context, wants a `login` (`user:password`) where one is given, and says nothing but
    `answer`, where that is given, before it hangs up.
    """
    wanted = None if login is None else b"Basic " + base64.b64encode(login.encode())

    def handle(connection: socket.socket) -> None:
        head = _read_head(connection)
        proxy.heard.append(head)
        line = head.partition(b"\r\n")[0].decode("latin-1")
        if not line:
            return
        proxy.asked.append(line.rpartition(" ")[0])
        method, target, _ = line.split(" ")
        if answer is not None:
            connection.sendall(answer)
            return
        if wanted is not None and wanted not in head:
            connection.sendall(b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            return
        parts = urlsplit(target if "://" in target else f"//{target}")
        address = routes.get(parts.netloc) or routes.get(parts.hostname or "")
        if address is None:
            connection.sendall(b"HTTP/1.1 502 No such host\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(address, timeout=30) as behind:
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                behind.sendall(head.replace(target.encode(), path.encode(), 1))
            pass_on(connection, behind)

    with relaying(handle, context) as relay:
        proxy = Proxy(relay, "http" if context is None else "https")
        yield proxy


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and (data := connection.recv(65_536)):
        head += data
    return head
