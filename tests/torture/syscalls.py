"""kill -9, EIO and ENOSPC at system calls of a whole run, injected by strace: native code is not spared.

A dry run counts the calls of each kind; points are sampled among them. After a kill the run is recovered and counted as
everywhere. After an injected error the run must not have bought what it could not write down first.
"""

import asyncio
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torture.acts import ACTS
from torture.canary import search
from torture.part import Part
from torture.studio import Served, fast_folder, judge, readable, served
from torture.subject import Setup, run_subject, write_manifest

PROMPTS = ACTS["an ordinary run"].prompts
KILLED = (
    "pwrite64",
    "write",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "unlink",
    "rename",
    "connect",
    "sendto",
    "recvfrom",
)
BROKEN = ("pwrite64", "fsync", "fdatasync")
ERRORS = ("EIO", "ENOSPC")


@dataclass(frozen=True)
class Point:
    """The n-th call of a kind, and what happens there: SIGKILL, or an error from there on."""

    call: str
    number: int
    error: str = ""

    @property
    def injection(self) -> str:
        if self.error:
            return f"inject={self.call}:error={self.error}:when={self.number}+"
        return f"inject={self.call}:signal=KILL:when={self.number}"

    def __str__(self) -> str:
        return f"{self.call} number {self.number}, {self.error or 'SIGKILL'}"


def command(setup: Setup, url: str) -> list[str]:
    return [sys.executable, "-m", "torture.subject", str(setup.folder), url, "struck"]


def count_calls(folder: Path, url: str) -> Counter[str]:
    """Return the number of calls of each kind that a whole run makes."""
    setup = write_manifest(folder, [f"{prompt} dry" for prompt in PROMPTS])
    log = folder / "calls.txt"
    subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(KILLED)}", *command(setup, url)], check=True
    )
    return Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(errors="replace"), re.MULTILINE))


def strike(point: Point, arguments: Sequence[str], log: Path) -> bool:
    """Run a command with this injection; return True if it fired."""
    traced = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={point.call}", "-e", point.injection, *arguments]
    subprocess.run(traced, capture_output=True, timeout=120, check=False)
    reported = log.read_text(errors="replace")
    return "(INJECTED)" in reported or "killed by SIGKILL" in reported


def sample(calls: Counter[str], points: int, seed: int) -> list[Point]:
    """Points spread over the kinds of calls, the later ones of each kind preferred: imports come first."""
    chance = random.Random(seed)
    kills = [Point(call, number) for call in KILLED for number in range(1, calls[call] + 1)]
    errors = [Point(call, number, error) for call in BROKEN for number in range(1, calls[call] + 1) for error in ERRORS]
    wanted = min(points, len(kills) + len(errors))
    few = min(wanted // 4, len(errors))
    return chance.sample(kills, min(wanted - few, len(kills))) + chance.sample(errors, few)


def _strike_some(points: Sequence[Point], folder: Path) -> Part:
    part = Part("system calls")
    with served(folder / "sandbox") as sandbox:
        for number, point in enumerate(points):
            tag = f"p{number}"
            setup = write_manifest(folder / tag, [f"{prompt} {tag}" for prompt in PROMPTS])
            part.points += 1
            part.faults_fired += strike(point, command(setup, sandbox.url), setup.folder / "strace.txt")
            setup.ledger.wait_for_the_dead()
            _recover(setup, sandbox, tag, str(point), part)
            search(setup.folder, part)
            shutil.rmtree(setup.folder)
    search(folder, part)
    return part


def _recover(setup: Setup, sandbox: Served, tag: str, point: str, part: Part) -> None:
    readable(setup, point, part)
    asyncio.run(run_subject(setup, sandbox.url, "after"))
    if asyncio.run(run_subject(setup, sandbox.url, "again")):
        part.problems.append(f"{point}: a run after recovery bought something")
    judge(setup, sandbox.accepted(tag), point, len(PROMPTS), part)


def run(points: int = 60, seed: int = 1) -> Part:
    """So many points of a run; all there are where `points` is larger."""
    began = time.monotonic()
    whole = Part("kill -9, EIO, ENOSPC at system calls")
    folder = Path(tempfile.mkdtemp(prefix="animatic-calls-", dir=fast_folder()))
    try:
        with served(folder / "dry-sandbox") as sandbox:
            calls = count_calls(folder / "dry", sandbox.url)
        chosen = sample(calls, points, seed)
        with ThreadPoolExecutor(2) as pool:
            for part in pool.map(_strike_some, [chosen[0::2], chosen[1::2]], [folder / "0", folder / "1"]):
                whole.add(part)
        whole.details = {"calls": dict(calls), "seed": seed, "errors": sum(bool(point.error) for point in chosen)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    whole.seconds = time.monotonic() - began
    return whole


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[1]))
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 60))
