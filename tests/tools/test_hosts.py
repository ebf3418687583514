"""Hosts as network namespaces: their lines can be cut and slowed, and nothing of them stays behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from animatic.ledger import dead_runs, open_ledger
from animatic.ledger.postgres_sessions import GRACE_S
from tools.hosts.network import PREFIX, Host, Network, missing
from tools.hosts.parts import Servers

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no hosts here: {missing()}")

ROOT = Path(__file__).parents[2]
FETCH = """
import sys, urllib.request
try:
    print(len(urllib.request.urlopen(sys.argv[1], timeout=1.5).read()))
except OSError:
    print("unreachable")
"""


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as made:
        yield made


def _served(network: Network, folder: Path) -> str:
    """Serve a folder on the bridge's address, from a host of its own; return the URL of a file of 200 kB."""
    (folder / "some").write_bytes(b"." * 200_000)
    host = network.add_host()
    command = [sys.executable, "-m", "http.server", "8000", "--bind", host.address, "--directory", str(folder)]
    with (folder / "log").open("wb") as log:
        host.start(command, {}, log)
    url, until = f"http://{host.address}:8000/some", time.monotonic() + 10
    other = network.add_host()
    while _fetched(other, url) == "unreachable" and time.monotonic() < until:
        time.sleep(0.05)
    return url


def _fetched(host: Host, url: str) -> str:
    command = host.command([sys.executable, "-c", FETCH, url])
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


def test_hosts_reach_each_other_until_a_line_is_cut(network: Network, tmp_path: Path) -> None:
    url = _served(network, tmp_path)
    host = network.hosts[1]
    assert _fetched(host, url) == "200000"
    for is_seen in (False, True):
        host.cut(is_seen=is_seen)
        assert _fetched(host, url) == "unreachable"
        host.mend()
        assert _fetched(host, url) == "200000"


def test_a_slow_line_takes_its_time(network: Network, tmp_path: Path) -> None:
    url = _served(network, tmp_path)
    host = network.hosts[1]
    host.slow("1mbit")  # 200 kB in 1.6 s
    began = time.monotonic()
    assert _fetched(host, url) == "200000"
    assert time.monotonic() - began > 1.0  # seconds are what a slow line costs; a busy machine only adds to them
    host.full_speed()
    assert _fetched(host, url) == "200000"


HOLDER = """
import asyncio, os, time
from animatic.ledger import open_ledger
async def main():
    with open_ledger(os.environ["ANIMATIC_LEDGER"]) as ledger:
        async with ledger.run("run-9", "file:///shots.csv"):
            print("held", flush=True)
            time.sleep(600)
asyncio.run(main())
"""


@pytest.mark.timeout(180)
def test_the_run_of_a_host_that_vanishes_is_dead_within_30_seconds(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIMATIC_HOME", str(tmp_path / "here"))
    host = network.add_host()
    with Servers(network.address, tmp_path) as servers, (tmp_path / "log").open("wb") as log:
        servers.start_postgres()
        monkeypatch.setenv("PGPASSWORD", servers.ledger["PGPASSWORD"])
        url = servers.ledger["ANIMATIC_LEDGER"]
        open_ledger(url).close()
        time.sleep(GRACE_S)  # of a server that has just been started, no run is called dead
        env = {**os.environ, **servers.ledger, "ANIMATIC_HOME": str(tmp_path / "there")}
        host.start([sys.executable, "-c", HOLDER], env, log, ROOT)
        while not (tmp_path / "log").read_text().startswith("held"):
            time.sleep(0.05)
        assert not dead_runs(url)("run-9")
        host.cut()
        cut_at = time.monotonic()
        while not dead_runs(url)("run-9"):
            time.sleep(0.5)
        assert time.monotonic() - cut_at < 30  # so many seconds are promised, of the server's keepalives


def test_hosts_reach_nothing_beyond_the_bridge(network: Network) -> None:
    host = network.add_host()
    assert _fetched(host, "http://192.0.2.1/") == "unreachable"
    assert _fetched(host, "http://127.0.0.1:5432/") == "unreachable"


def test_a_killed_host_runs_nothing(network: Network, tmp_path: Path) -> None:
    host = network.add_host()
    with (tmp_path / "log").open("wb") as log:
        process = host.start(["sh", "-c", "sleep 60 & sleep 60"], {}, log)
    while len(host.pids()) < 3:
        time.sleep(0.01)
    assert host.kill() >= 3
    assert (process.wait(5), host.pids()) == (-9, [])


def test_nothing_stays_behind_after_a_failure(tmp_path: Path) -> None:
    network = Network()
    bridge = network._bridge

    def fail() -> None:
        with network, (tmp_path / "log").open("wb") as log:
            network.add_host().start(["sleep", "60"], {}, log)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    for command in (["ip", "link"], ["ip", "netns", "list"]):
        assert bridge not in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_leavings_of_a_killed_process_are_taken_down() -> None:
    code = (
        "import os; from tools.hosts.network import Network; Network().__enter__().add_host(); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    assert killed.wait(20) == -9
    down = [sys.executable, "-m", "tools.hosts", "down"]
    said = subprocess.run(down, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"taken down: {PREFIX}{killed.pid}" in said
    assert (
        f"{PREFIX}{killed.pid}" not in subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    )
