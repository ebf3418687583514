"""The web through proxies: what is private here is refused here, hop by hop; the rest is the proxy's to judge."""

import asyncio
import contextlib
import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from proxies import Proxy, over_tls, proxying, relaying

import animatic
from animatic import storage
from animatic.errors import ClipRefusedError, LocationError
from animatic.media.downloads import ClipDownloader
from animatic.web.network import Network, read_proxy
from tools.authority import Authority

CLIP = b"\0\0\0\x20ftypisom" + b"frames" * 50


class Names(AbstractResolver):
    """A name server that knows these names and no others."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names, self.asked = names, list[str]()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not self.names[host]:
            await asyncio.sleep(60)
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0)
            for each in self.names[host]
        ]

    async def close(self) -> None:
        """Nothing is open."""


class Web:
    """Pages behind a proxy: `public.example` by https, `plain.example` by http. `moved` is where /away leads."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.authority, self.requests, self.moved = Authority(folder / "authority"), list[str](), ""
        self._stack = stack
        pages = stack.enter_context(relaying(self._answer))
        self.url = f"http://127.0.0.1:{pages.address[1]}"
        context = self.authority.server_context("public.example", "other.example", "1.1.1.1", "localhost")
        self.front = stack.enter_context(over_tls(self.url, context))
        self.routes = {
            **dict.fromkeys(("public.example", "other.example", "1.1.1.1"), self.front.address),
            "plain.example": pages.address,
        }
        self.proxy = self.another_proxy()

    def another_proxy(self, **options: object) -> Proxy:
        return self._stack.enter_context(proxying(self.routes, **options))  # pyright: ignore[reportArgumentType]

    def network(self, proxy: Proxy | None = None, login: str = "user:secret", no_proxy: str = "") -> Network:
        found = read_proxy((proxy or self.proxy).url_for(login))
        return Network(https=found, http=found, no_proxy=no_proxy, ca_file=str(self.authority.file))

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65_536)
        self.requests.append(head.decode())
        if b"/away" in head.partition(b"\r\n")[0]:
            connection.sendall(f"HTTP/1.1 302 X\r\nLocation: {self.moved}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            connection.sendall(
                f"HTTP/1.1 200 OK\r\nContent-Length: {len(CLIP)}\r\nConnection: close\r\n\r\n".encode() + CLIP
            )


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with contextlib.ExitStack() as stack:
        yield Web(tmp_path, stack)


def test_a_manifest_on_the_web_comes_by_the_proxy(web: Web) -> None:
    network = web.network()
    assert storage.read_bytes("https://public.example/a.csv?token=1", max_bytes=1_000, network=network) == CLIP
    still = storage.still_chunks("https://public.example/a.csv", "stills/b.png", network=network)
    assert b"".join(still) == CLIP
    assert {*web.proxy.asked} == {"CONNECT public.example:443"}
    assert b"token" not in b"".join(web.proxy.heard)
    assert not any("proxy-authorization" in request.lower() for request in web.requests)


def test_a_manifest_by_plain_http_comes_by_the_proxy_for_http(web: Web) -> None:
    proxy = web.another_proxy(login="us@er:pass")
    network = Network(http=read_proxy(proxy.url_for("us%40er:pass")))
    assert storage.read_bytes("http://plain.example/a.csv", max_bytes=1_000, network=network) == CLIP
    assert proxy.asked == ["GET http://plain.example/a.csv"]


def test_no_proxy_is_honoured_for_each_hop(web: Web) -> None:
    web.moved = "https://other.example/b.csv"
    network = web.network(no_proxy="other.example")
    with pytest.raises(LocationError):  # directly, it does not resolve
        storage.read_bytes("https://public.example/away.csv", max_bytes=1_000, network=network)
    assert web.proxy.asked == ["CONNECT public.example:443"]


def test_a_redirect_is_followed_by_the_proxy(web: Web) -> None:
    web.moved = "https://other.example/b.csv"
    assert storage.read_bytes("https://public.example/away.csv", max_bytes=1_000, network=web.network()) == CLIP
    assert web.proxy.asked == ["CONNECT public.example:443", "CONNECT other.example:443"]


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.1/a",
        "https://10.1.2.3/a",
        "https://[::1]/a",
        "https://169.254.169.254/latest",
        "https://localhost/a",
        "https://sandbox.localhost/a",
        "https://0x7f.1/a",
        "http://other.example/a",
        "{proxy}/a",
    ],
)
def test_a_redirect_to_a_private_address_never_reaches_the_proxy(web: Web, target: str) -> None:
    web.moved = target.format(proxy=web.proxy.url.replace("http:", "https:"))
    with pytest.raises(LocationError, match=r"not fetched|not public") as caught:
        storage.read_bytes("https://public.example/away.csv", max_bytes=1_000, network=web.network())
    assert web.proxy.asked == ["CONNECT public.example:443"]
    assert "secret" not in str(caught.value)


def test_loopback_that_the_operator_named_is_reached_directly(web: Web) -> None:
    port = web.url.rpartition(":")[2]
    for url in (f"{web.url}/a.csv", f"http://localhost:{port}/a.csv"):
        assert storage.read_bytes(url, max_bytes=1_000, network=web.network()) == CLIP
    assert web.proxy.connections == 0


def test_certificates_of_the_web_are_checked_by_the_named_authority(web: Web, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    for network in (
        Network(https=read_proxy(web.proxy.url), ca_file=str(other.file)),
        Network(https=read_proxy(web.proxy.url)),
    ):
        with pytest.raises(LocationError, match=r"public\.example is not trusted.*SSL_CERT_FILE"):
            storage.read_bytes("https://public.example/a.csv", max_bytes=1_000, network=network)
    url = f"https://localhost:{web.front.address[1]}/a.csv"
    directly = Network(ca_file=str(web.authority.file))
    assert storage.read_bytes(url, max_bytes=1_000, network=directly) == CLIP


@pytest.mark.parametrize("url", ["https://public.example/a.csv", "http://plain.example/a.csv"])
def test_a_proxy_that_wants_a_login_is_named_and_no_password_shown(web: Web, url: str) -> None:
    proxy = web.another_proxy(login="user:right")
    with pytest.raises(LocationError, match=r"HTTP 407.*HTTPS_PROXY and HTTP_PROXY") as caught:
        storage.read_bytes(url, max_bytes=1_000, network=web.network(proxy))
    assert "secret" not in f"{caught.value!r} {caught.value}"


def test_a_proxy_that_is_not_there_is_named(web: Web) -> None:
    with proxying({}) as gone:
        network = web.network(gone)
    with pytest.raises(LocationError, match=r"proxy cannot be reached.*HTTPS_PROXY") as caught:
        storage.read_bytes("https://public.example/a.csv", max_bytes=1_000, network=network)
    assert "secret" not in str(caught.value)


def test_results_are_read_from_python_by_the_proxy_of_the_environment(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", web.proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.file))
    with pytest.raises(LocationError):  # it is no table, which shows only once it is here
        animatic.read_results("https://public.example/a.parquet")
    assert len(web.requests) == 1
    monkeypatch.setenv("https_proxy", "socks5://proxy")
    with pytest.raises(animatic.errors.SettingsError, match="https_proxy: "):
        animatic.read_results("https://public.example/a.parquet")


async def download(web: Web, url: str, names: dict[str, list[str]], network: Network, origin: str = "") -> Names:
    resolver = Names(names)
    async with ClipDownloader(origin, network=network, resolver=resolver) as downloader:
        file = io.BytesIO()
        await downloader.download(url, file, "a")
        assert file.getvalue() == CLIP
    return resolver


async def test_a_clip_of_a_public_or_unresolved_host_comes_by_the_proxy(web: Web) -> None:
    url = "https://public.example/a.mp4?token=1"
    for names in ({"public.example": ["93.184.216.34"]}, {}):
        assert (await download(web, url, names, web.network())).asked == ["public.example"]
    await download(web, "https://1.1.1.1/a.mp4", {"1.1.1.1": ["1.1.1.1"]}, web.network())
    assert web.proxy.asked == ["CONNECT public.example:443"] * 2 + ["CONNECT 1.1.1.1:443"]


async def test_a_name_that_does_not_resolve_is_the_proxys_to_judge(web: Web) -> None:
    await download(web, "https://public.example/a.mp4", {"public.example": []}, web.network())
    assert web.proxy.asked == ["CONNECT public.example:443"]


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["fd00::1"], ["169.254.169.254"]])
async def test_a_clip_whose_host_has_any_private_address_here_is_refused(web: Web, addresses: list[str]) -> None:
    for no_proxy in ("", "public.example"):
        with pytest.raises(ClipRefusedError, match="not public"):
            await download(
                web, "https://public.example/a.mp4", {"public.example": addresses}, web.network(no_proxy=no_proxy)
            )
    assert web.proxy.connections == 0


async def test_the_proxys_own_address_is_not_to_be_fetched_from_directly_either(web: Web) -> None:
    port = int(web.proxy.url.rpartition(":")[2])
    proxy = read_proxy(f"http://proxy.corp.example:{port}")
    network = Network(https=proxy, no_proxy="corp.example", ca_file=str(web.authority.file))
    names = {"proxy.corp.example": ["127.0.0.1"]}
    with pytest.raises(ClipRefusedError, match="not public"):
        await download(web, f"https://proxy.corp.example:{port}/a.mp4", names, network)
    assert web.proxy.connections == 0
    await download(web, "https://public.example/a.mp4", names, network)
    assert web.proxy.asked == ["CONNECT public.example:443"]


async def test_an_operators_origin_on_this_machine_is_reached_directly(web: Web) -> None:
    origin = f"http://sandbox.example:{web.url.rpartition(':')[2]}"
    await download(web, f"{origin}/a.mp4", {"sandbox.example": ["127.0.0.1"]}, web.network(), origin)
    assert web.proxy.connections == 0
