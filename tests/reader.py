"""A terminal in a clone of this repository, in which the commands of a page are typed as they stand there.

Only what they talk to is ours: a sandbox stands for WaveSpeed, and ports that others may have are replaced.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pages import ROOT, Page, Step
from ports import free_port

DEADLINE_S = 400.0
KEPT = ("Makefile", "README.md", "LICENSE", "pyproject.toml")
FOLDERS = ("tools", "manifests", "deployments", "docs")
CODE = ("flows", "tasks", "animatic")
"""Folders that stay those of the tests' own environment, as in a clone with its own."""
STAMPS = (".ready", ".dev", ".bench")
"""Files that say which locks are installed, in the order in which they depend on each other."""

RUN_SQL = (
    "import duckdb, pathlib; "
    "[duckdb.sql(q).show() for q in pathlib.Path('snippet.sql').read_text().split(';') if q.strip()]"
)


@dataclass(frozen=True)
class Server:
    """A command that goes on until it is stopped: how it begins, and what it prints or answers once it is there."""

    begins: str
    prints: str = ""
    answers: str = ""


SERVERS = (
    Server(r"animatic sandbox\b", prints=r'"url": "http://127\.0\.0\.1:(?P<p8787>\d+)'),
    Server(r"make serve\b", prints=r"UI: http://127\.0\.0\.1:(?P<p4200>\d+)[\s\S]*serving until"),
    Server(r"(\.venv/bin/)?prefect server start\b", answers="/api/health"),
    Server(r"prefect worker start\b", prints="started!"),
)


def server_of(command: str) -> Server | None:
    return next((each for each in SERVERS if re.match(each.begins, command)), None)


def make_clone(clone: Path) -> None:
    """The contents of a clone, with the environment of the first `make`: the packages are the tests' own."""
    clone.mkdir()
    for name in (*KEPT, *(lock.name for lock in ROOT.glob("requirements*.lock"))):
        shutil.copy2(ROOT / name, clone / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in CODE:
        (clone / name).symlink_to(ROOT / name)
    venv = clone / ".venv"
    venv.mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name not in STAMPS:
            (venv / part.name).symlink_to(part)
    for stamp in STAMPS:
        (venv / stamp).touch()


@dataclass
class Terminal:
    """A terminal in a folder; what `export` says holds for the commands after it.

    `programs` is a folder that comes first on its PATH, whatever a page puts there; `ports` says which port stands for
    one that a page names.
    """

    folder: Path
    environment: dict[str, str]
    programs: Path
    ports: dict[str, str] = field(default_factory=dict[str, str])
    servers: "list[subprocess.Popen[bytes]]" = field(default_factory=list["subprocess.Popen[bytes]"])

    def type(self, line: str) -> tuple[int, str]:
        """Type a command and wait until it ends, answering yes: its exit code, and all that it showed."""
        ours, theirs = pty.openpty()
        process = self._start(line, stdin=theirs, stdout=theirs)
        os.close(theirs)
        shown, ends, is_answered = b"", time.monotonic() + DEADLINE_S, False
        try:
            while time.monotonic() < ends:
                if select.select([ours], [], [], 0.2)[0]:
                    try:
                        shown += os.read(ours, 65_536)
                    except OSError:  # the other end is closed
                        break
                    if b"[y/N]" in shown and not is_answered:
                        is_answered = os.write(ours, b"y\n") > 0
                elif process.poll() is not None:
                    break
            assert time.monotonic() < ends, f"{line}: did not end: {shown[-2_000:]!r}"
            code = process.wait(timeout=10)
            return code if code >= 0 else 128 - code, shown.decode("utf-8", "replace")  # as a shell has it
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    def show(self, line: str) -> tuple[int, str]:
        """Run a command whose output goes to a file of 100 columns: its exit code and its output."""
        with tempfile.TemporaryFile() as output:
            process = self._start(f"COLUMNS=100 {line}", stdin=subprocess.DEVNULL, stdout=output)
            code = process.wait(DEADLINE_S)
            output.seek(0)
            return code, output.read().decode("utf-8", "replace")

    def export(self, line: str) -> None:
        """Take over what a line of the shell leaves in its environment."""
        ended = subprocess.run(
            ["bash", "-c", f"{line}; env -0"], cwd=self.folder, env=self.environment, capture_output=True, check=True
        )
        pairs = (each.partition("=") for each in ended.stdout.decode().split("\0") if each)
        self.environment = {name: value for name, _, value in pairs if name not in {"_", "SHLVL", "PWD"}}

    def serve(self, line: str, server: Server) -> None:
        """Start a command that goes on, and wait until it is there."""
        log = self.folder / f"server-{len(self.servers)}.log"
        with log.open("wb") as output:
            process = self._start(f"exec {line}", stdin=subprocess.DEVNULL, stdout=output)
        self.servers.append(process)
        ends = time.monotonic() + DEADLINE_S
        while not self._is_there(server, log.read_text(errors="replace")):
            assert process.poll() is None, f"{line}: ended with {process.returncode}: {log.read_text()}"
            assert time.monotonic() < ends, f"{line}: is not there: {log.read_text()}"
            time.sleep(0.1)

    def _is_there(self, server: Server, printed: str) -> bool:
        if server.answers:
            try:
                port = self.environment["PREFECT_SERVER_API_PORT"]
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{server.answers}", timeout=5):
                    return True
            except OSError:
                return False
        found = re.search(server.prints, printed)
        if found is None:
            return False
        self.ports |= {name[1:]: port for name, port in found.groupdict().items()}
        return True

    def _start(self, line: str, *, stdin: int, stdout: "int | object") -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment | {"PATH": f"{self.programs}:{self.environment['PATH']}"},
            stdin=stdin,
            stdout=stdout,  # pyright: ignore[reportArgumentType]
            stderr=stdout,  # pyright: ignore[reportArgumentType]
            start_new_session=True,
        )

    def stop(self) -> None:
        """Stop the servers, the last one first."""
        for process in reversed(self.servers):
            process.terminate()
        for process in reversed(self.servers):
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.servers.clear()


Screen = Callable[[Step, str], None]


def follow(terminal: Terminal, page: Page, key: str, on_screen: Screen | None = None) -> list[str]:
    """Do what a page says, in its order; what was done. What it exported and started is gone afterwards."""
    done: list[str] = []
    before, ports = dict(terminal.environment), dict(terminal.ports)
    screens = {index - 1 for index, step in enumerate(page.steps) if step.language == "screen"}
    output = ""
    try:
        for index, step in enumerate(page.steps):
            if step.language == "terminals":
                terminal.stop()
                terminal.environment, terminal.ports = dict(before), dict(ports)
            elif step.language == "screen":
                assert on_screen is not None
                on_screen(step, output)
            elif page.runs(step):
                output = _do(terminal, step, key, is_shown=index in screens)
            done.append(step.text)
    finally:
        terminal.stop()
        terminal.environment, terminal.ports = before, ports
    return done


def _do(terminal: Terminal, step: Step, key: str, *, is_shown: bool) -> str:
    """Do one step; what it showed."""
    match step.language:
        case "file":
            (terminal.folder / step.name).write_text(step.text)
            return ""
        case "python":
            (terminal.folder / "snippet.py").write_text(step.text)
            line = "python snippet.py"
        case "sql":
            (terminal.folder / "snippet.sql").write_text(step.text)
            line = f'python -c "{RUN_SQL}"'
        case _:
            line = _with_ports(step.text, terminal.ports).replace("=...", f"={key}")
    if re.match(r"(?:export|source|unset) ", line):
        terminal.export(line)
        return ""
    server = server_of(step.text)
    if server is not None:
        terminal.serve(line, server)
        return ""
    code, shown = terminal.show(line) if is_shown else terminal.type(line)
    assert code == step.exit_code, f"{step.text}: ended with {code}: {shown}"
    return shown


def _with_ports(line: str, ports: Mapping[str, str]) -> str:
    for port, ours in ports.items():
        line = re.sub(rf"\b{port}\b", ours, line)
    return line


def share_drawn_clips(home: Path) -> None:
    """Let embedded sandboxes of this home find what those of other tests drew: half of a demo's work is drawing."""
    shared = Path(tempfile.gettempdir()) / f"animatic-tests-drawn-{os.getuid()}"
    shared.mkdir(mode=0o700, exist_ok=True)
    (home / ".cache/animatic").mkdir(parents=True)
    (home / ".cache/animatic/sandbox").symlink_to(shared)


def bare_environment(clone: Path, home: Path) -> dict[str, str]:
    """As little as a login has, with the clone's programs on the path."""
    share_drawn_clips(home)
    return {
        "PATH": f"{clone}/.venv/bin:{os.environ['PATH']}",
        "HOME": str(home),
        "TMPDIR": tempfile.gettempdir(),
        "LANG": "C.UTF-8",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_API_PORT": str(free_port()),
    }
