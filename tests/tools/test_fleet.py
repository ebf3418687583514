"""A fleet's parts on a machine that is busy with other things: in a copy of the folder, so with a fleet of its own."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.sandbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "tools/fleet", tmp_path / "tools/fleet")
    (tmp_path / "build/fleet").mkdir(parents=True)
    return tmp_path


def python(folder: Path, program: str, shell: str = 'exec "$0" "$@"') -> str:
    command = ["sh", "-c", shell, sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_parts_of_a_fleet_in_the_background_end_on_ctrl_c(folder: Path) -> None:
    program = "from tools.fleet.processes import start; start('part', ['grep', 'SigIgn', '/proc/self/status'], {})"
    python(folder, program, shell='"$0" "$@" & wait $!')
    ignored = int((folder / "build/fleet/logs/part.log").read_text().split()[-1], 16)
    assert not ignored & 2, "a worker that ignores SIGINT never ends"


def test_a_fleet_that_another_terminal_ends_is_never_read_half_written(folder: Path) -> None:
    begin = "from tools.fleet.processes import kept, start, stop_all; "
    reader = [sys.executable, "-c", f"{begin}print('reads', flush=True)\nwhile not kept(): pass\nwhile kept(): pass"]
    with subprocess.Popen(reader, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reading:
        try:
            assert reading.stdout
            assert reading.stdout.readline() == "reads\n"
            python(folder, f"{begin}\nfor n in range(50): start(str(n), ['sleep', '60'], {{}})\nstop_all()")
            assert reading.wait(60) == 0, reading.stderr and reading.stderr.read()
        finally:
            reading.kill()


def test_a_port_that_is_taken_by_now_is_replaced(folder: Path) -> None:
    program = "from tools.fleet.folder import *; import json; print(json.dumps(with_free_ports(load_fleet()).ports))"
    first = json.loads(python(folder, program))
    with socket.create_server(("127.0.0.1", first["sandbox"])):
        second = json.loads(python(folder, program))
    assert second["sandbox"] != first["sandbox"]
    assert second.keys() == first.keys()
    assert json.loads((folder / "build/fleet/fleet.json").read_text())["ports"] == second


def test_a_part_that_ends_says_why_in_what_is_shown(folder: Path) -> None:
    begin = "from tools.fleet import parts, processes\n"
    python(folder, f"{begin}processes.start('redis', ['echo', 'started!'], {{}})")
    shown = python(
        folder,
        f"{begin}processes.start('redis', ['sh', '-c', 'echo the port is taken'], {{}})\n"
        "try: parts._wait('redis', lambda: 'started!' in processes.logged('redis'))\n"
        "except parts.NotReadyError as error: print(error)",
    )
    assert shown.startswith("redis ended: the port is taken; its log: ")
