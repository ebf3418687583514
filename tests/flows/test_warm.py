"""Commands that are forked from a warm process: to those who start them they are like those that start cold."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from warm import COLD, Warm


@pytest.fixture(params=["cold", "warm"])
def program(request: pytest.FixtureRequest, warm: Warm) -> str:
    return str(COLD) if request.param == "cold" else warm.animatic


def test_arguments_streams_and_exit_codes_are_handed_on(program: str, shell: Any) -> None:
    command = [program, "plan", "no such file.csv", "--json"]
    ended = subprocess.run(command, env=shell.environment, cwd=shell.home, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "no such file.csv: there is no such file" in ended.stdout
    assert ended.stderr.startswith("animatic: no such file.csv")


def test_a_run_has_the_folder_and_the_settings_of_its_start(
    program: str, shell_with_server: Any, manifest: Any, tag: str
) -> None:
    shell = shell_with_server
    path = manifest({"prompt": tag})
    command = [program, "run", os.path.relpath(path, shell.home), "--results", "out.csv", "--no-archive", "--yes"]
    ended = subprocess.run(command, env=shell.environment, cwd=shell.home, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (shell.home / "out.csv").exists()
    assert shell.ledger.exists()


def test_a_signal_ends_the_command_as_well(program: str, shell: Any, tmp_path: Path, tools: Any) -> None:
    command = [program, "sandbox", "--port", "0", "--no-render", "--folder", str(tmp_path / "state")]
    process = subprocess.Popen(command, env=shell.environment, cwd=shell.home, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert b"127.0.0.1" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    tools.wait_until(lambda: not tools.processes_with(f"HOME={shell.home}"))
