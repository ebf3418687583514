"""Prefect's pages on past runs: served on loopback with a password, which the address hands to the browser alone."""

import base64
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from flows.server.sign_in import PAGE


@pytest.fixture
def served(shell: Any, migrated_home: Path) -> Iterator[tuple[Any, str]]:
    """The command, serving, and the address that it printed."""
    shutil.copytree(migrated_home / ".prefect", shell.home / ".prefect")
    del shell.more["PREFECT_API_URL"]
    process = shell.start("ui", "--no-open")
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_the_pages_are_served_until_interrupted(served: tuple[Any, str]) -> None:
    process, address = served
    parts = urlsplit(address)
    assert parts.hostname == "127.0.0.1"
    password, page = parts.fragment.split("/runs")
    assert page == "" or page.startswith("/flow-run/")
    origin = f"{parts.scheme}://{parts.netloc}"
    signing_in = httpx.get(f"{origin}{parts.path}", timeout=20)
    assert signing_in.text == PAGE
    assert "script-src 'sha256-" in signing_in.headers["content-security-policy"]
    shown = httpx.get(f"{origin}/runs", headers={"Accept": "text/html"}, timeout=20)
    assert shown.status_code == 200
    ask = f"{origin}/api/flow_runs/count"
    assert httpx.post(ask, json={}, timeout=20).status_code == 401
    headers = {"Authorization": f"Basic {password}"}
    assert httpx.post(ask, json={}, headers=headers, timeout=20).status_code == 200
    assert base64.b64decode(password).startswith(b"animatic:")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0, "as it says how to stop it"


def test_a_server_of_ones_own_has_pages_of_its_own(shell: Any) -> None:
    ended = shell.run("ui")
    assert (ended.code, ended.stdout.strip()) == (0, "http://127.0.0.1:9")
