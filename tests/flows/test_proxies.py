"""Whole commands behind a proxy: the API and the web go through it, this machine does not; the key is not seen."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from proxies import Proxy, over_tls, proxying

from tools.authority import Authority

API = "wavespeed.example"


class Behind:
    """The sandbox, by the name of `API` over TLS, behind a proxy; and what commands need to get there."""

    def __init__(self, sandbox: Any, folder: Path, stack: contextlib.ExitStack) -> None:
        self.authority = Authority(folder / "authority")
        self.front = stack.enter_context(over_tls(sandbox.url, self.authority.server_context(API, "localhost")))
        self.proxy: Proxy = stack.enter_context(
            proxying({API: self.front.address, "web.example": self.front.address}, login="user:proxys-secret")
        )
        self.url = self.proxy.url_for("user:proxys-secret")
        self.environment = {"WAVESPEED_BASE_URL": f"https://{API}", "SSL_CERT_FILE": str(self.authority.file)}


@pytest.fixture
def behind(sandbox: Any, tmp_path: Path) -> Iterator[Behind]:
    with contextlib.ExitStack() as stack:
        yield Behind(sandbox, tmp_path, stack)


@pytest.fixture
def idle_proxy() -> Iterator[tuple[dict[str, str], Proxy]]:
    """A proxy for everything, named in every way; a connection to it is a fault."""
    with proxying({}) as proxy:
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        yield {each: proxy.url for name in names for each in (name, name.lower())}, proxy


def in_clear(proxy: Proxy) -> bytes:
    return b"".join(proxy.heard)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_a_run_goes_through_the_proxy_which_never_sees_the_key(  # noqa: PLR0917 - fixtures
    shell_with_server: Any, manifest: Any, sandbox: Any, tools: Any, tag: str, behind: Behind, variable: str
) -> None:
    shell, shots = shell_with_server, manifest({"prompt": f"one {tag}"}, {"prompt": f"two {tag}"})
    shell.more |= behind.environment | {variable: behind.url}
    ended = shell.run("run", str(shots), "--results", "out.parquet", "--json")
    assert (ended.code, ended.json["completed"]) == (0, 2), ended.stderr
    assert sandbox.submitted(tag).total() == 2
    assert {*behind.proxy.asked} == {f"CONNECT {API}:443"}
    assert tools.KEY.encode() not in in_clear(behind.proxy)
    for kept in (ended.stderr, ended.stdout, *(log.read_text() for log in shell.logs())):
        assert "proxys-secret" not in kept


def test_a_name_in_no_proxy_is_reached_directly(shell: Any, manifest: Any, tag: str, behind: Behind) -> None:
    shell.more |= behind.environment | {"HTTPS_PROXY": behind.url, "NO_PROXY": "other.example, EXAMPLE"}
    shots = str(manifest({"prompt": tag}))
    assert shell.run("plan", shots, "--json").json["cost_usd"] is None, "the name leads nowhere from here"
    assert behind.proxy.connections == 0
    shell.more["NO_PROXY"] = "other.example"
    assert shell.run("plan", shots, "--json").json["cost_usd"] == 2.5


def test_a_loopback_base_url_is_reached_directly_over_tls(  # noqa: PLR0917 - fixtures
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, behind: Behind, idle_proxy: Any
) -> None:
    shell, shots = shell_with_server, manifest({"prompt": f"one {tag}"})
    proxies, proxy = idle_proxy
    shell.more |= behind.environment | proxies
    shell.more["WAVESPEED_BASE_URL"] = f"https://localhost:{behind.front.address[1]}"
    (shell.home / "authority.pem").write_bytes(behind.authority.file.read_bytes())
    shell.more["SSL_CERT_FILE"] = "authority.pem"  # as typed, from the folder of the command
    ended = shell.run("run", str(shots), "--results", "out.parquet", "--json")
    assert (ended.code, sandbox.submitted(tag).total()) == (0, 1), ended.stderr
    assert proxy.connections == 0


def test_the_embedded_sandbox_and_server_are_never_asked_by_a_proxy(
    shell: Any, manifest: Any, tag: str, idle_proxy: Any, migrated_home: Path
) -> None:
    proxies, proxy = idle_proxy
    shell.more |= {"PREFECT_HOME": str(migrated_home / ".prefect"), **proxies}
    del shell.more["PREFECT_API_URL"]
    ended = shell.run("run", str(manifest({"prompt": tag})), "--results", "out.parquet", "--sandbox", "--json")
    assert ended.code == 0, ended.stderr
    assert proxy.connections == 0, proxy.asked


@pytest.mark.long
@pytest.mark.timeout(600)  # it renders fourteen clips, on a machine that may be busy
def test_the_demo_never_asks_a_proxy(shell: Any, idle_proxy: Any, migrated_home: Path) -> None:
    proxies, proxy = idle_proxy
    shell.more |= {"PREFECT_HOME": str(migrated_home / ".prefect"), **proxies}
    del shell.more["PREFECT_API_URL"]
    ended = shell.run("demo", "--json", timeout_s=480)
    assert ended.code == 0, ended.stderr
    assert proxy.connections == 0, proxy.asked


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = (
            json.dumps("a").encode()
            if not self.path.endswith(".csv")
            else b"image,prompt\nhttps://a.example/a.png,go\n"
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def pages() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_manifest_on_the_web_is_planned_through_the_proxy(shell: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    with (
        pages() as url,
        over_tls(url, authority.server_context("web.example")) as front,
        proxying({"web.example": front.address}) as proxy,
    ):
        shell.more |= {"https_proxy": proxy.url, "SSL_CERT_FILE": str(authority.file)}
        ended = shell.run("plan", "https://web.example/shots.csv", "--json")
        assert (ended.code, ended.json["new"]) == (0, 1), ended.stderr
        assert {*proxy.asked} == {"CONNECT web.example:443"}
        port = urlsplit(url).port
        shell.more["http_proxy"] = proxy.url
        assert shell.run("plan", f"http://localhost:{port}/shots.csv", "--json").code == 0
        assert {*proxy.asked} == {"CONNECT web.example:443"}


@pytest.mark.parametrize("command", ["run", "plan", "results"])
def test_certificates_that_are_not_there_end_a_command_before_anything_else(
    shell: Any, manifest: Any, sandbox: Any, tag: str, command: str
) -> None:
    shell.more["SSL_CERT_FILE"] = "/nowhere/none.pem"
    results = [] if command == "plan" else ["--results", "out.csv"]
    ended = shell.run(command, str(manifest({"prompt": tag})), *results)
    assert ended.code == 2, ended.stderr
    assert "SSL_CERT_FILE: found" in ended.stderr
    assert "/nowhere/none.pem" in ended.stderr
    assert (sandbox.submitted(tag).total(), shell.ledger.exists()) == (0, False)


def test_a_socks_proxy_is_refused_by_name(shell: Any, manifest: Any, tag: str) -> None:
    shell.more["all_proxy"] = "socks5://user:secret@127.0.0.1:1080"
    ended = shell.run("run", str(manifest({"prompt": tag})), "--results", "out.csv")
    assert (ended.code, "secret" in ended.stderr) == (2, False)
    assert "all_proxy: found a proxy of type socks5" in ended.stderr
