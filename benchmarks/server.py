"""A sandbox in bench mode as a process of its own, and what it can tell of who used it."""

import contextlib
import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from animatic.sandbox.first_seen import read_first_seen
from animatic.sandbox.moments import moment_from
from animatic.sandbox.witness import read_witness

ROOT = Path(__file__).parents[1]
FLOOR_SHARE = 5.0 / 60.0
"""Of the median latency: what the default floor between two looks is at a latency of 60 s."""


@dataclass(frozen=True, slots=True)
class Account:
    """Limits and latency of the server's account."""

    starts_per_minute: int
    in_flight: int
    median_s: float
    spread: float = 0.2

    @property
    def floor_s(self) -> float:
        """The floor between two looks, in its default proportion to the latency."""
        return max(self.median_s * FLOOR_SHARE, 0.05)


@dataclass(frozen=True, slots=True)
class Served:
    """A sandbox that serves."""

    account: Account
    folder: Path
    url: str
    key: str
    process: psutil.Process
    authority: Path | None = None

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        return sum(self.process.cpu_times()[:2])

    def stats(self) -> dict[str, Any]:
        """Its own counts; its files are whole after this."""
        trusting = None if self.authority is None else ssl.create_default_context(cafile=self.authority)
        with urllib.request.urlopen(f"{self.url}/sandbox/stats", timeout=30, context=trusting) as reply:
            return json.load(reply)


@contextlib.contextmanager
def served(folder: Path, account: Account, *flags: str, authority: Path | None = None) -> Generator[Served]:
    """A sandbox in bench mode for the length of the block; over TLS, `authority` signed its certificate."""
    command = [
        sys.executable, "-m", "animatic.sandbox", "--bench", "--folder", str(folder),
        "--inference-s", str(account.median_s), "--spread", str(account.spread),
        "--starts-per-minute", str(account.starts_per_minute), "--max-in-flight", str(account.in_flight),
        "--balance-usd", "1e9", *flags,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=_environment()) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            yield Served(account, folder, ready["url"], ready["key"], psutil.Process(process.pid), authority)
        finally:
            process.terminate()


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True, slots=True)
class Seen:
    """One accepted take, as the server saw it; moments in seconds since 1970. seen_at: None if never polled."""

    prompt: str
    accepted_at: float
    latency_s: float
    final_at: float
    seen_at: float | None
    looks: int


def takes_of(folder: Path) -> Sequence[Seen]:
    """Everything that was accepted, in order."""
    first_seen = {each.id: each for each in read_first_seen(folder)}
    found: list[Seen] = []
    for each in read_witness(folder):
        poll = first_seen.get(each.id)
        found.append(
            Seen(
                prompt=each.inputs["prompt"],
                accepted_at=moment_from(each.accepted_at),
                latency_s=each.latency_s,
                final_at=moment_from(each.started_at) + each.latency_s,
                seen_at=poll.seen_at if poll else None,
                looks=poll.looks if poll else 0,
            )
        )
    return found
