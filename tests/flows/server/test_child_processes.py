"""Processes that live as long as their parent, and the log files that they write to."""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from others_models import entry

from animatic.errors import SettingsError
from flows.logs import MOST_LOG_FILES, log_path, redirect_logs
from flows.server import child_processes

START = """
import sys, time
from pathlib import Path
from flows.server import child_processes
with child_processes.sandbox(Path(sys.argv[1]), Path(sys.argv[2])) as server:
    print(server.process.pid, flush=True)
    time.sleep(60)
"""


def test_a_child_server_dies_with_the_process_that_started_it(tmp_path: Path, tools: Any, shell: Any) -> None:
    command = [sys.executable, "-c", START, str(tmp_path / "state"), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=shell.environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert child in tools.processes_with(f"HOME={shell.home}")
        assert b"WAVESPEED_API_KEY" not in Path(f"/proc/{child}/environ").read_bytes()
        parent.send_signal(signal.SIGKILL)
    tools.wait_until(lambda: not tools.processes_with(f"HOME={shell.home}"), 10)


def test_a_folder_that_is_served_already_is_not_served_twice(tmp_path: Path, sandbox: Any) -> None:
    with child_processes.sandbox(sandbox.folder, tmp_path / "log") as server:
        assert (server.url, server.process) == (sandbox.url, None)
    assert sandbox.process.poll() is None


def test_a_sandbox_ends_by_itself_with_the_run_that_used_it(tmp_path: Path) -> None:
    with child_processes.sandbox(tmp_path / "state", tmp_path / "log") as server:
        process = server.process
    assert process is not None
    assert process.returncode == 0, "it had to be killed"


def test_a_sandbox_outlives_the_run_that_started_it_while_another_uses_it(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with contextlib.ExitStack() as other:
        with child_processes.sandbox(folder, tmp_path / "log") as started:
            used = other.enter_context(child_processes.sandbox(folder, tmp_path / "other"))
            assert (used.url, used.process) == (started.url, None)
        with urllib.request.urlopen(f"{used.url}/sandbox/health", timeout=10) as reply:
            assert reply.status == 200
    assert started.process is not None
    assert started.process.wait(10) == 0


def test_a_sandbox_that_sells_other_models_is_no_use_to_a_run(tmp_path: Path) -> None:
    for name, price in (("these", 1.0), ("others", 2.0)):
        (tmp_path / name).mkdir()
        listed = entry("a/b/image-to-video", ("prompt",), price, prompt={"type": "string"})
        (tmp_path / name / "models.json").write_text(json.dumps(listed))
    folder, log, these, others = (tmp_path / name for name in ("state", "log", "these", "others"))
    with child_processes.sandbox(folder, log, these) as started:
        with child_processes.sandbox(folder, tmp_path / "second", these) as same:
            assert same.url == started.url
        with child_processes.sandbox(folder, tmp_path / "third") as any_models:
            assert any_models.url == started.url
        with (
            pytest.raises(SettingsError, match=r"--models: found .*others, but the sandbox .* with other models; wait"),
            child_processes.sandbox(folder, tmp_path / "fourth", others),
        ):
            pass


def test_a_sandbox_without_models_is_no_use_to_a_run_with_them(tmp_path: Path, sandbox: Any) -> None:
    (tmp_path / "models").mkdir()
    with (
        pytest.raises(SettingsError, match=r"was started without them; .* or end it \(process [0-9]+\)"),
        child_processes.sandbox(sandbox.folder, tmp_path / "log", tmp_path / "models"),
    ):
        pass


def test_a_sandbox_that_does_not_start_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "accepted.jsonl").mkdir()
    with (
        pytest.raises(child_processes.ServerProcessError, match=r"did not start: .*accepted\.jsonl"),
        child_processes.sandbox(folder, tmp_path / "log"),
    ):
        pass


def test_a_sandbox_on_a_taken_port_listens_on_another_and_keeps_it(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = listening.getsockname()[1]
        folder.mkdir()
        (folder / "sandbox.ports").write_text(str(taken))
        with child_processes.sandbox(folder, tmp_path / "log") as first:
            assert not first.url.endswith(f":{taken}")
    with child_processes.sandbox(folder, tmp_path / "log"):
        with urllib.request.urlopen(f"http://127.0.0.1:{taken}/sandbox/health", timeout=10) as reply:
            assert reply.status == 200
        with urllib.request.urlopen(f"{first.url}/sandbox/health", timeout=10) as reply:
            assert reply.status == 200


def test_log_files_are_private_and_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for number in range(MOST_LOG_FILES + 5):
        path = log_path(f"run-{number}")
        os.utime(path, (number, number))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    left = {each.stem for each in path.parent.iterdir()}
    assert "run-0" not in left
    assert path.stem in left
    assert len(left) <= MOST_LOG_FILES + 1


@pytest.fixture
def logger() -> Any:
    """A logger that prints, as Prefect's do; and everything as it was, afterwards."""
    root = logging.getLogger()
    before = list(root.handlers)
    mine = logging.getLogger("tests.flows.child_processes")
    mine.propagate = False
    mine.setLevel(logging.INFO)
    mine.addHandler(logging.StreamHandler(sys.stderr))
    yield mine
    logging.captureWarnings(False)
    for handler in (*mine.handlers, *(each for each in root.handlers if each not in before)):
        handler.close()
    mine.handlers.clear()
    root.handlers[:] = before


@pytest.mark.parametrize("debug", [False, True])
def test_logs_go_to_the_file_and_with_debug_to_both(
    tmp_path: Path, logger: Any, capfd: pytest.CaptureFixture[str], debug: bool
) -> None:
    others = {
        name: list(each.handlers) for name, each in logging.root.manager.loggerDict.items() if hasattr(each, "handlers")
    }
    stream = logger.handlers[0]
    stream.setStream(sys.stderr)
    redirect_logs(tmp_path / "run.log", debug=debug)
    logger.info("a line of the machinery")
    assert (tmp_path / "run.log").read_text().count("a line of the machinery") == 1
    assert ("a line of the machinery" in capfd.readouterr().err) is debug
    for name, handlers in others.items():
        if name != logger.name:
            logging.getLogger(name).handlers[:] = handlers


def test_a_server_knows_the_address_of_its_own_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIMATIC_HOME", str(tmp_path))
    with child_processes.prefect_server(tmp_path / "server.log") as server:
        assert server.process is not None
        environment = Path(f"/proc/{server.process.pid}/environ").read_bytes().split(b"\0")
        assert f"PREFECT_UI_URL={server.url.removesuffix('/api')}".encode() in environment
