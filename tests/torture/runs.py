"""kill -9 of the whole command at random moments, with real Prefect, started again until it is done.

Everything of these runs lives in one folder: home, ledger, logs, Prefect's own database. In the end the canary key is
searched for in every byte of it.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torture.canary import KEY, search
from torture.ledgers import Place, is_on_server
from torture.part import Part
from torture.studio import Served, fast_folder, served

ANIMATIC = [sys.executable, "-m", "flows.command.cli"]
ROWS = 6
MOST_STARTS = 8


@dataclass(frozen=True)
class Stage:
    """A home with a Prefect server, and a sandbox to buy from."""

    folder: Path
    prefect_url: str
    sandbox: Served

    def environment(self, setup: Path, more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "PYTHONPATH"}}
        return kept | {
            "HOME": str(self.folder / "home"),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": self.prefect_url,
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "DO_NOT_TRACK": "1",
            "WAVESPEED_API_KEY": KEY,
            "WAVESPEED_BASE_URL": self.sandbox.url,
            "ANIMATIC_LEDGER": Place(setup).url,
            "ANIMATIC_STARTS_PER_MINUTE": "5000",
            "ANIMATIC_MAX_IN_FLIGHT": "2",
            "ANIMATIC_POLL_FLOOR_S": "0.1",
            "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),  # no person is there to be asked
            **more,
        }


@contextlib.contextmanager
def stage(folder: Path) -> Generator[Stage]:
    """One Prefect server for all runs: starting one takes longer than a run."""
    from flows.server.child_processes import prefect_server

    (folder / "home").mkdir(parents=True)
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    with served(folder / "sandbox", "--inference-s", "0.6") as sandbox, prefect_server(folder / "server.log") as server:
        yield Stage(folder, server.url, sandbox)


def write_manifest(setup: Path, tag: str) -> None:
    setup.mkdir()
    prompts = [f"take {number} {tag}" for number in range(ROWS - 1)] + [f"[sandbox:lost-reply] last {tag}"]
    lines = [f"https://stills.example/{number}.png,{prompt}" for number, prompt in enumerate(prompts)]
    (setup / "shots.csv").write_text("\n".join(["image,prompt", *lines]) + "\n")


def start(
    on: Stage,
    setup: Path,
    max_usd: str = "40",
    more: Mapping[str, str] = MappingProxyType({}),
    animatic: Sequence[str] = ANIMATIC,
) -> "subprocess.Popen[str]":
    command = [*animatic, "run", "shots.csv", "--results", "out.parquet", "--json", "--debug", "--max-usd", max_usd]
    log = (setup / "stderr.txt").open("a")
    return subprocess.Popen(
        command,
        env=on.environment(setup, more),
        cwd=setup,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )


def kill_until_done(on: Stage, number: int, kills: int, seed: int) -> Part:
    """One manifest: so many kills, each a random time after the first sign of the flow; then runs until done."""
    part, chance, tag = Part("whole runs"), random.Random(seed * 1_000 + number), f"m{number}"
    setup = on.folder / tag
    write_manifest(setup, tag)
    counts: dict[str, Any] = {}
    for attempt in range(MOST_STARTS):
        process = start(on, setup)
        if attempt < kills:
            part.points += 1
            part.faults_fired += _kill_within(on, setup, process, chance)
            continue
        stdout = process.communicate(timeout=120)[0]
        if process.returncode not in {0, 4}:
            part.problems.append(f"{tag}: ended with {process.returncode}: {(setup / 'stderr.txt').read_text()[-300:]}")
            return part
        counts = json.loads(stdout.splitlines()[-1])
        if counts["submitted"] == 0:
            break
    seen = on.sandbox.accepted(tag)
    part.accepted = len(seen)
    part.duplicates = sum(count - 1 for count in Counter(each.inputs["prompt"] for each in seen).values())
    part.lost = ROWS - sum(counts[name] for name in ("completed", "unknown", "held"))
    part.unknown = counts["unknown"] + counts["held"]
    part.unreported = max(0, len(seen) - counts["completed"] - part.unknown)
    if part.duplicates or part.lost or part.unreported:
        part.problems.append(f"{tag}, seed {seed}: {counts}, {len(seen)} accepted")
    return part


def _kill_within(on: Stage, setup: Path, process: "subprocess.Popen[str]", chance: random.Random) -> bool:
    """Wait until the ledger is there, then a random while, then kill; return True if it was still running."""
    deadline = time.monotonic() + 60
    known = len(on.sandbox.accepted(setup.name))
    while time.monotonic() < deadline and process.poll() is None and len(on.sandbox.accepted(setup.name)) == known:
        if chance.random() < 0.02 and _has_begun(setup):
            break  # some die before they submit anything
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 2.5))
    was_running = process.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return was_running


def _has_begun(setup: Path) -> bool:
    ledger = Place(setup)
    if is_on_server():
        return ledger.exists and bool(ledger.rows("SELECT 1 FROM run"))
    return ledger.runs.exists() and bool(list(ledger.runs.glob("*.lock")))


def run(kills: int = 20, seed: int = 1) -> Part:
    """So many kills, over manifests of three kills each."""
    began = time.monotonic()
    whole = Part("kill -9 of the whole command, with Prefect")
    folder = Path(tempfile.mkdtemp(prefix="animatic-runs-", dir=fast_folder()))
    each = [3] * (kills // 3) + ([kills % 3] if kills % 3 else [])
    try:
        with stage(folder) as on, ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(kill_until_done, on, number, count, seed) for number, count in enumerate(each)]
            for job in jobs:
                whole.add(job.result())
        search(folder, whole)
        whole.details = {"manifests": len(each), "seed": seed}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    whole.seconds = time.monotonic() - began
    return whole


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
