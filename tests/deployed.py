"""Processes of an installation: servers and workers, and what a Prefect server replies."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]


def login_of(home: Path) -> dict[str, str]:
    """Return what a login with this home has, and Prefect in it: no key and no settings."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


def kill_all_of(home: Path, tools: Any) -> None:
    """Kill every process of a login with this home."""
    for pid in tools.processes_with(f"HOME={home}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def reply_of(url: str, body: Any = None) -> Any:
    """Return the reply to a GET, or to a POST with a body; None without one, or with an error."""
    try:
        reply = httpx.get(url, timeout=10) if body is None else httpx.post(url, json=body, timeout=10)
    except httpx.TransportError:
        return None
    return reply.json() if reply.is_success else None


@contextmanager
def running(command: Sequence[Any], env: Mapping[str, str], output: Any) -> Generator["subprocess.Popen[bytes]"]:
    """Run a process in a session of its own, all of which is killed at the end."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
