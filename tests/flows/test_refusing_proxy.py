"""A proxy that refuses to connect to WaveSpeed: nothing was sent, and the run names the variable to check."""

import contextlib
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@contextlib.contextmanager
def refusing_proxy(status: int) -> Generator[tuple[str, list[str]]]:
    """A proxy that refuses every CONNECT; its URL, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def _refuse(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()

        do_CONNECT = do_GET = do_POST = _refuse  # noqa: N815 - as the standard library calls them

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("status", [403, 407])
def test_a_proxy_that_does_not_connect_stops_the_run_and_is_named(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, status: int
) -> None:
    shell, shots = shell_with_server, manifest({"prompt": f"one {tag}"}, {"prompt": f"two {tag}"})
    with refusing_proxy(status) as (url, asked):
        shell.more |= {"WAVESPEED_BASE_URL": "https://wavespeed.invalid", "HTTPS_PROXY": url, "NO_PROXY": "127.0.0.1"}
        ended = shell.run("run", str(shots), "--results", "out.parquet", "--json")
    assert "CONNECT wavespeed.invalid:443" in asked, "HTTPS_PROXY is not honoured"
    assert (ended.code, ended.json["pending"], ended.json["cost_usd"]) == (3, 2, 0.0), ended.stderr
    assert "HTTPS_PROXY" in ended.stderr
    assert sandbox.submitted(tag).total() == 0
