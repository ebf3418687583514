"""Real proxies and TLS servers on 127.0.0.1, with an authority of the tests' own.

A proxy reaches any name, since it is told where each leads; what it hears outside of a tunnel is kept.
"""

import base64
import contextlib
import ipaddress
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Address = tuple[str, int]


class Authority:
    """Signs certificates for names and addresses; `file` is what SSL_CERT_FILE is given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "animatic's tests")])
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Certificate and key for a server with these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = (
            self._builder(subject, key)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / f"{names[0].replace(':', '_')}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


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
