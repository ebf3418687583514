"""The sandbox as a process of its own: its start, its refusals, its end."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from animatic.errors import SettingsError
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.folder import FolderServedError
from animatic.sandbox.server import serve


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/sandbox/health", timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "animatic.sandbox", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)


def test_a_host_that_is_nowhere_ends_the_process_with_2(tmp_path: Path) -> None:
    ended = _run("--folder", str(tmp_path), "--host", "0.0.0.0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert 'found "0.0.0.0"' in ended.stderr


@pytest.mark.parametrize(
    "wrong", [{"max_in_flight": 0}, {"inference_s": -1.0}, {"inference_s": float("nan")}, {"key": ""}, {"port": 70_000}]
)
def test_a_wrong_setting_says_what_is_allowed(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        SandboxConfig(folder=tmp_path, **wrong)


def test_a_config_does_not_show_its_key(tmp_path: Path) -> None:
    assert "canary" not in repr(SandboxConfig(folder=tmp_path, key="canary"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, start_process: Any, number: signal.Signals) -> None:
    server = start_process("--folder", str(tmp_path), "--key", "another")
    assert set(server.ready) == {"url", "folder", "key"}
    assert (server.ready["folder"], server.ready["key"]) == (str(tmp_path), "another")
    assert _healthy(server.url)
    server.process.send_signal(number)
    assert server.process.wait(30) == 0
    assert not _healthy(server.url)


def test_it_dies_with_its_parent_when_asked_to(tmp_path: Path, start_process: Any) -> None:
    server = start_process("--folder", str(tmp_path), "--die-with-parent")
    assert _healthy(server.url)
    server.process.stdin.close()
    server.process.stdin = None
    assert server.process.wait(5) == 0


def test_a_served_folder_is_refused_and_free_after_kill_9(tmp_path: Path, start_process: Any) -> None:
    first = start_process("--folder", str(tmp_path))
    refused = _run("--folder", str(tmp_path))
    assert (refused.returncode, refused.stdout) == (3, "")
    assert str(tmp_path) in refused.stderr
    assert first.url in refused.stderr
    assert refused.stderr.count("\n") == 1
    first.process.kill()
    first.process.wait()
    assert _healthy(start_process("--folder", str(tmp_path)).url)


async def test_a_folder_that_is_served_is_refused_within_one_process_too(tmp_path: Path) -> None:
    config = SandboxConfig(folder=tmp_path, renders=False)
    async with serve(config) as first:
        with pytest.raises(FolderServedError, match=first.url):
            async with serve(config):
                pass
        assert _healthy_in_use(tmp_path, first.url)
    async with serve(config):
        pass


def _healthy_in_use(folder: Path, url: str) -> bool:
    return url in (folder / "sandbox.lock").read_text()


async def test_a_port_in_use_is_a_wrong_setting(tmp_path: Path) -> None:
    async with serve(SandboxConfig(folder=tmp_path / "a", renders=False)) as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1 port {port}"):
            async with serve(SandboxConfig(folder=tmp_path / "b", port=port, renders=False)):
                pass


def test_rendering_processes_die_with_a_sandbox_that_is_killed(tmp_path: Path, start_process: Any) -> None:
    server = start_process("--folder", str(tmp_path), "--inference-s", "60")
    body = b'{"prompt": "push in", "image": "https://stills.example/a.png", "duration": "8s"}'
    for _ in range(2):
        headers = {"Authorization": "Bearer sandbox-key"}
        url = f"{server.url}/api/v3/wavespeed-ai/veo2-i2v"
        urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5).close()
    # Two workers, and the process with which multiprocessing tracks their semaphores.
    workers = _until(lambda: len(_children_of(server.process.pid)) == 3 and _children_of(server.process.pid))
    assert workers
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    assert _until(lambda: not any(_is_alive(pid) for pid in workers))


SOME = 12  # clips, which take seconds


def test_a_signal_does_not_wait_for_clips_in_the_making(tmp_path: Path, start_process: Any) -> None:
    server = start_process("--folder", str(tmp_path), "--inference-s", "60")
    body = b'{"prompt": "push in", "image": "https://stills.example/a.png", "duration": "8s"}'
    headers = {"Authorization": "Bearer sandbox-key"}
    url = f"{server.url}/api/v3/wavespeed-ai/veo2-i2v"
    for _ in range(SOME):
        urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5).close()
    workers = _until(lambda: len(_children_of(server.process.pid)) > 2 and _children_of(server.process.pid))
    assert workers
    server.process.terminate()
    assert server.process.wait(30) == 0
    assert len(list((tmp_path / "clips").glob("*.mp4"))) < SOME
    assert _until(lambda: not any(_is_alive(pid) for pid in workers))


def _until(found: Any, deadline_s: float = 10.0) -> Any:
    ends = time.monotonic() + deadline_s
    while time.monotonic() < ends:
        if value := found():
            return value
        time.sleep(0.02)
    return False


def _children_of(pid: int) -> list[int]:
    return [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
