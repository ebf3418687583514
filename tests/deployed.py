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
