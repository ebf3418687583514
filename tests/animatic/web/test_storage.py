"""Manifests and stills on the web: the operator's own host may be private; where it sends us may not."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from animatic import storage
from animatic.errors import LocationError
from animatic.web.public_web import NotPublicError, PublicResolver


def read_still(manifest_uri: str, path: str, **options: Any) -> bytes:
    return b"".join(storage.still_chunks(manifest_uri, path, **options))


class Pages(ThreadingHTTPServer):
    """A server with a manifest, a still, and redirects."""

    def __init__(self, host: str, target: str = "") -> None:
        self.heard: list[tuple[str, dict[str, str]]] = []
        self.target = target
        super().__init__((host, 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Pages)
        server.heard.append((self.path, dict(self.headers)))
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", f"{server.target}/secret.png")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"bytes")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[Pages]:
    pages = Pages("127.0.0.2")
    yield pages
    pages.shutdown()
    pages.server_close()


@pytest.fixture
def operators(elsewhere: Pages) -> Iterator[Pages]:
    pages = Pages("127.0.0.1", elsewhere.url)
    yield pages
    pages.shutdown()
    pages.server_close()


def test_the_operators_own_server_may_be_on_a_private_network(operators: Pages) -> None:
    assert storage.read_bytes(f"{operators.url}/shots.csv", max_bytes=100) == b"bytes"
    assert read_still(f"{operators.url}/shots.csv", "stills/a.png") == b"bytes"
    assert [path for path, _ in operators.heard] == ["/shots.csv", "/stills/a.png"]
    assert not any(name.lower() in {"authorization", "cookie"} for _, headers in operators.heard for name in headers)


def test_a_redirect_to_another_private_host_is_not_followed(operators: Pages, elsewhere: Pages) -> None:
    with pytest.raises(LocationError, match="not fetched") as caught:
        read_still(f"{operators.url}/shots.csv", "away/a.png")
    assert (elsewhere.heard, "secret" in str(caught.value)) == ([], False)


def test_a_redirect_to_a_private_host_by_name_is_not_followed(operators: Pages, elsewhere: Pages) -> None:
    operators.target = elsewhere.url.replace("127.0.0.2", "localhost")
    with pytest.raises(LocationError, match="not fetched"):
        storage.read_bytes(f"{operators.url}/away.csv", max_bytes=100)
    assert elsewhere.heard == []


def test_a_redirect_to_another_port_of_the_operators_host_is_refused(operators: Pages) -> None:
    other = Pages("127.0.0.1")
    operators.target = other.url
    with pytest.raises(LocationError, match="not fetched"):
        storage.read_bytes(f"{operators.url}/away.csv", max_bytes=100)
    assert other.heard == []
    other.shutdown()
    other.server_close()


class Turncoat(AbstractResolver):
    """A name server that changes its mind."""

    def __init__(self, *answers: str) -> None:
        self._answers = iter(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = next(self._answers)
        return [ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is open."""


async def test_the_operators_name_may_be_private_but_not_become_so() -> None:
    private = PublicResolver("http://nas.example:8080", Turncoat("10.0.0.1", "10.0.0.2"))
    assert [(await private.resolve("nas.example", 8080))[0]["host"] for _ in range(2)] == ["10.0.0.1", "10.0.0.2"]
    turncoat = PublicResolver("https://cdn.example", Turncoat("93.184.216.34", "169.254.169.254"))
    await turncoat.resolve("cdn.example", 443)
    with pytest.raises(NotPublicError):
        await turncoat.resolve("cdn.example", 443)
    other_port = PublicResolver("http://nas.example:8080", Turncoat("10.0.0.1"))
    with pytest.raises(NotPublicError):
        await other_port.resolve("nas.example", 9090)
