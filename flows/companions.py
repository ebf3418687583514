"""Processes that live as long as we do: Prefect's embedded server, and the embedded sandbox.

Each gets our end of a pipe as its stdin, which the kernel closes when we die, however we die; each ends itself then.
What they print goes to a log file.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from animatic.errors import AnimaticError

READY_WITHIN_S = 60.0
STOPS_WITHIN_S = 10.0
FOLDER_IS_SERVED = 3


class CompanionError(AnimaticError):
    """A process that the run needs did not come up."""


@dataclass(frozen=True, slots=True)
class Companion:
    """A running companion: its address, and the process behind it."""

    url: str
    process: subprocess.Popen[bytes] | None


@contextmanager
def prefect_server(log: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> Generator[Companion]:
    """Prefect's server on loopback, in a process of its own. `settings` replace those that suit a single run.

    Its socket listens before the process is up, so that clients wait in line instead of being refused. Faster to the
    first line of a flow than Prefect's own ephemeral mode, and its tracebacks stay in the log.
    """
    with socket.create_server(("127.0.0.1", port), backlog=512) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        arguments = ["-m", "flows.prefect_server", str(listening.fileno())]
        environment = {"PREFECT_SERVER_UI_API_URL": url, **(settings or {})}
        with _started(arguments, log, pass_fds=[listening.fileno()], environment=environment) as process:
            listening.close()
            yield Companion(url, process)


@contextmanager
def sandbox(folder: Path, log: Path, *, port: int = 0) -> Generator[Companion]:
    """The sandbox on loopback, with its state in `folder`; the one that serves this folder already, if there is one.

    Raises:
        CompanionError: it did not come up; the message has its own words.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    arguments = ["-m", "animatic.sandbox", "--folder", str(folder), "--port", str(port), "--die-with-parent"]
    with _started(arguments, log, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - we asked for a pipe
        line = process.stdout.readline()
        if not line and process.wait(STOPS_WITHIN_S) == FOLDER_IS_SERVED:
            served = json.loads((folder / "sandbox.lock").read_text())
            yield Companion(served["url"], None)
            return
        if not line:
            said = log.read_text(errors="replace").strip().splitlines()
            raise CompanionError(f"the embedded sandbox did not start: {said[-1] if said else 'it said nothing'}")
        yield Companion(json.loads(line)["url"], process)


def free_port(preferred: int) -> int:
    """The preferred port if nobody listens there, else 0 for any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return 0
    return preferred


@contextmanager
def _started(
    arguments: Sequence[str],
    log: Path,
    *,
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> Generator[subprocess.Popen[bytes]]:
    """A Python process that ends when its stdin does."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=stdout or output,
            stderr=output,
            env=dict(environment or {}) | without_secrets(),
            pass_fds=pass_fds,
            start_new_session=True,  # a Ctrl-C is for us; we end them when we are done
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Close its stdin, wait, then insist."""
    if process.stdin is not None:
        process.stdin.close()
    deadline = time.monotonic() + STOPS_WITHIN_S
    try:
        process.wait(max(deadline - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def without_secrets() -> dict[str, str]:
    """The environment without the key, which no companion needs."""
    return {name: value for name, value in os.environ.items() if name != "WAVESPEED_API_KEY"}
