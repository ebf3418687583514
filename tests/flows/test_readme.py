"""Every command of the README, in its order, in one home, twice.

The commands are read out of the README, so one that is added is run too. Each is typed as it stands at a terminal, in a
folder that holds what a clone holds. Only what they talk to is ours: a second sandbox stands for WaveSpeed.
"""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from ports import free_port

from animatic import read_results
from animatic.takes.states import State

ROOT = Path(__file__).parents[2]
DEADLINE_S = 180.0
STAMPS = (".ready", ".dev", ".bench")
"""What says that a lock is installed, in the order in which they depend on each other."""

ENDS_WITH = {
    "animatic run manifests/demo.csv": 3,  # one of its shots is meant to fail
    "animatic results manifests/demo.csv": 3,
}
"""The exit codes that are not 0, by the beginning of the command."""

SERVERS = {
    "animatic sandbox --folder animatic-demo/sandbox": "/sandbox/health",
    ".venv/bin/prefect server start": "/api/health",
}
"""Commands that go on until they are stopped, and where they answer."""

NOT_RUN = {
    "make test": "it runs this test",
    "make check": "CI runs it before the tests",
    "make torture": "ten minutes; tests/torture runs its short form",
    "make clients": "tests/clients runs those in Python",
    "make bench": "three quarters of an hour",
    "make serve": "tests/flows/test_deployment.py has it",
    "animatic run": "names the command",
    "animatic reconcile --abandon FINGERPRINT": "names an option; tests/flows/test_forgotten.py has it",
}


BLOCK = re.compile(r"```(\w*)\n(.*?)```|`((?:make|animatic|prefect|\.venv/bin/\w+) [^`]+)`", re.DOTALL)


class Step(NamedTuple):
    language: str
    text: str


def steps(readme: str) -> Iterator[Step]:
    """The commands and snippets of the README in order: those of its blocks, and those in its sentences."""
    for block in BLOCK.finditer(readme):
        language, text, inline = block.groups()
        if inline:
            yield Step("sh", inline)
        elif language == "sh":
            lines = (re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines())
            yield from (Step("sh", line) for line in lines if line)
        elif language:
            yield Step(language, text)


@dataclass
class Terminal:
    """A terminal in a folder; what `export` says holds for the commands after it."""

    folder: Path
    environment: dict[str, str]
    servers: list["subprocess.Popen[bytes]"] = field(default_factory=list["subprocess.Popen[bytes]"])

    def type(self, line: str) -> tuple[int, str]:
        """Type a command and wait until it ends: its exit code, and all that it showed."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        shown, ends = b"", time.monotonic() + DEADLINE_S
        try:
            while time.monotonic() < ends:
                if select.select([ours], [], [], 0.2)[0]:
                    try:
                        shown += os.read(ours, 65_536)
                    except OSError:  # the other end is closed
                        break
                elif process.poll() is not None:
                    break
            return process.wait(timeout=10), shown.decode("utf-8", "replace")
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    def serve(self, line: str, url: str) -> None:
        """Start a command that goes on, and wait until it answers."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.servers.append(process)
        ends = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except OSError:
                assert process.poll() is None, f"{line}: ended with {process.returncode}"
                time.sleep(0.2)
        raise AssertionError(f"{line}: nothing answers at {url}")

    def stop(self) -> None:
        for process in self.servers:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.servers.clear()


def _make_venv(folder: Path) -> None:
    """The environment of the first `make`, with the packages of the tests' own, so nothing is installed."""
    folder.mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name not in STAMPS:
            (folder / part.name).symlink_to(part)
    for stamp in STAMPS:
        (folder / stamp).touch()


@pytest.fixture
def terminal(tmp_path: Path, serve_sandbox: Any, tools: Any) -> Iterator[Terminal]:
    """A terminal in a clone, its virtual environment made and activated, with a home of its own."""
    clone, home = tmp_path / "animatic", tmp_path / "home"
    home.mkdir()
    clone.mkdir()
    for name in ("Makefile", "README.md", "pyproject.toml", *(lock.name for lock in ROOT.glob("requirements*.lock"))):
        shutil.copy2(ROOT / name, clone / name)
    for name in ("tools", "manifests", "deployments", "flows", "tasks", "animatic"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    _make_venv(clone / ".venv")
    served = serve_sandbox("--inference-s", "0.3", folder=tmp_path / "wavespeed")
    rows = [{"prompt": f"push in on shot {number}", "shot_id": f"shot-{number}"} for number in range(3)]
    tools.write_manifest(clone / "shots.csv", rows)
    here = Terminal(
        clone,
        {
            "PATH": f"{clone}/.venv/bin:{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": tempfile.gettempdir(),
            "LANG": "C.UTF-8",
            "DO_NOT_TRACK": "1",
            "WAVESPEED_BASE_URL": served.url,
            "ANIMATIC_ACCOUNT_LEVEL": "gold",  # or three takes wait a minute for their starts
            "PREFECT_SERVER_API_PORT": str(free_port()),
        },
    )
    try:
        yield here
    finally:
        here.stop()


def follow(terminal: Terminal, readme: str, key: str) -> list[str]:
    """Do what the README says, in its order; what was done."""
    done: list[str] = []
    for language, text in steps(readme):
        if language == "sql":
            here = re.sub(r"'(animatic-demo/[^']*)'", rf"'{terminal.folder}/\1'", text)
            assert [duckdb.sql(query).fetchall() for query in here.split(";") if query.strip()]
        elif language == "python":
            (terminal.folder / "snippet.py").write_text(text)
            code, shown = terminal.type("python snippet.py")
            assert code == 0, shown
        elif exported := re.fullmatch(r"export (\w+)=(.*)", text):
            name, value = exported.groups()
            terminal.environment[name] = key if value == "..." else value
        elif text in SERVERS:
            of_sandbox = terminal.folder / "animatic-demo/sandbox/sandbox.ports"  # another test may have had 8787
            port = int(
                of_sandbox.read_text().split()[0]
                if "sandbox" in text
                else terminal.environment["PREFECT_SERVER_API_PORT"]
            )
            terminal.serve(text, f"http://127.0.0.1:{port}{SERVERS[text]}")
            if "prefect" in text:
                terminal.environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        elif text not in NOT_RUN:
            code, shown = terminal.type(text)
            expected = next((code for begin, code in ENDS_WITH.items() if text.startswith(begin)), 0)
            assert code == expected, f"{text}: {shown}"
        done.append(text)
    terminal.stop()
    del terminal.environment["WAVESPEED_API_KEY"], terminal.environment["PREFECT_API_URL"]
    return done


@pytest.mark.timeout(1_200)  # some thirty commands, twice
def test_every_command_works_in_its_order_and_buys_nothing_the_second_time(
    terminal: Terminal, tmp_path: Path, tools: Any
) -> None:
    from animatic.sandbox.witness import read_witness  # noqa: PLC0415 - the helper beside which it is needed

    readme = (ROOT / "README.md").read_text()
    accounts = {
        "the demo's": terminal.folder / "animatic-demo/sandbox",
        "the embedded": tmp_path / "home/.local/share/animatic/sandbox",
        "WaveSpeed's": tmp_path / "wavespeed",
    }
    done = follow(terminal, readme, tools.KEY)
    assert "make demo" in done
    bought = {name: len(read_witness(folder)) for name, folder in accounts.items()}
    assert bought == {"the demo's": 14, "the embedded": 14, "WaveSpeed's": 3}
    takes = read_results(str(terminal.folder / "animatic-demo/results.parquet"))
    assert (takes.status == State.COMPLETED).sum() == 13
    assert follow(terminal, readme, tools.KEY) == done
    assert {name: len(read_witness(folder)) for name, folder in accounts.items()} == bought


def test_what_is_not_run_is_in_the_readme() -> None:
    written = {text for _, text in steps((ROOT / "README.md").read_text())}
    assert {*NOT_RUN, *SERVERS} <= written


def test_the_map_names_every_room() -> None:
    block = (ROOT / "README.md").read_text().partition("## How it is built")[2].split("```")[1]
    mapped = {line.split()[0] for line in block.splitlines() if line.strip()}
    tops = ("flows", "tasks", "animatic", "manifests", "deployments", "tests", "benchmarks")
    rooms = [
        path for top in ("animatic", "flows") for path in (ROOT / top).iterdir() if (path / "__init__.py").exists()
    ]
    assert {*(f"{top}/" for top in tops), *(f"{room.name}/" for room in rooms)} <= mapped
    assert all(
        (ROOT / name).exists() or name.strip("/") in {room.name for room in rooms} for name in mapped - {"animate.py"}
    )
