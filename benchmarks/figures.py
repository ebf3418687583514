"""The figures that the project promises for a single machine, measured: `python benchmarks/figures.py plan|run|kills`.

Everything happens in a temporary folder with an empty home; nothing outside of it is read or written. Counts come from
the sandbox's own log of accepted submissions. Times are for this machine at this moment and prove nothing elsewhere.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path

from animatic.sandbox.witness import read_witness

ANIMATIC = [sys.executable, "-m", "flows.cli"]
REPOSITORY = Path(__file__).parents[1]


def write_manifest(path: Path, rows: int) -> None:
    """Distinct prompts, so that each is one fingerprint."""
    with path.open("w", encoding="utf-8") as file:
        file.write("shot_id,image,prompt,duration,notes\n")
        for row in range(rows):
            file.write(f's{row},https://example.com/{row}.jpg,"slow push in, number {row}",{5 + row % 4},=note\n')


def environment(home: Path, **more: str) -> dict[str, str]:
    """A clean environment with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR"}}
    return kept | {"HOME": str(home), "PYTHONPATH": str(REPOSITORY)} | more


@contextlib.contextmanager
def sandbox(folder: Path, *flags: str) -> Generator[str]:
    """A sandbox without rendering, as a process of its own; its URL."""
    command = [sys.executable, "-m", "animatic.sandbox", "--folder", str(folder), "--no-render", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def measured(arguments: list[str], env: dict[str, str], cwd: Path) -> tuple[float, float, int, str]:
    """Seconds, peak RSS in MB of the command's own process, exit code, and its stdout."""
    began = time.monotonic()
    with subprocess.Popen([*ANIMATIC, *arguments], env=env, cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        peak_kb = 0
        ended = threading.Event()

        def watch() -> None:
            nonlocal peak_kb
            while not ended.wait(0.05):
                with contextlib.suppress(OSError):
                    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
                    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
                    peak_kb = max(peak_kb, *map(int, found), 0)

        thread = threading.Thread(target=watch)
        thread.start()
        stdout = process.communicate()[0]
        ended.set()
        thread.join()
    return time.monotonic() - began, peak_kb / 1_024, process.returncode, stdout


def plan(folder: Path, rows: int) -> None:
    """How long a plan takes, and how much memory."""
    write_manifest(folder / "big.csv", rows)
    seconds, peak_mb, code, _ = measured(["plan", "big.csv"], environment(folder / "home"), folder)
    print(f"plan of {rows:,} rows: exit {code}, {seconds:.1f} s, peak RSS {peak_mb:.0f} MB")


def run(folder: Path, rows: int) -> None:
    """A run and a second one: rows, submissions, memory, task runs."""
    write_manifest(folder / "shots.csv", rows)
    with sandbox(folder / "sandbox", "--inference-s", "2", "--max-in-flight", "200") as url:
        env = environment(
            folder / "home",
            WAVESPEED_BASE_URL=url,
            WAVESPEED_API_KEY="sandbox-key",
            ANIMATIC_ACCOUNT_LEVEL="ultra",
            ANIMATIC_MAX_IN_FLIGHT="200",
            ANIMATIC_POLL_FLOOR_S="0.5",
        )
        for attempt in ("first", "second"):
            before = len(read_witness(folder / "sandbox"))
            arguments = ["run", "shots.csv", "--results", "out.parquet", "--json"]
            seconds, peak_mb, code, stdout = measured(arguments, env, folder)
            counts = json.loads(stdout.splitlines()[-1])
            accepted = len(read_witness(folder / "sandbox")) - before
            print(
                f"{attempt} run of {rows:,} rows: exit {code}, {seconds:.0f} s, {counts['completed']:,} completed, "
                f"{accepted:,} accepted by the witness, peak RSS {peak_mb:.0f} MB"
            )
        with contextlib.closing(sqlite3.connect(folder / "home/.prefect/prefect.db")) as database:
            query = "select flow_run_id, count(*), sum(state_type = 'COMPLETED') from task_run group by 1"
            for _, total, completed in database.execute(query):
                print(f"task runs in Prefect's database: {total}, completed {completed}")


def kills(folder: Path, times: int, seed: int) -> None:
    """Kill the command with -9 at random moments, then let it finish: nothing lost, nothing bought twice."""
    rows, chance = 40, random.Random(seed)
    duplicates = lost = unknown = 0
    for number in range(times):
        place = folder / f"kill-{number}"
        place.mkdir()
        write_manifest(place / "shots.csv", rows)
        with sandbox(place / "sandbox", "--inference-s", "3") as url:
            env = environment(
                folder / "home",
                WAVESPEED_BASE_URL=url,
                WAVESPEED_API_KEY="sandbox-key",
                ANIMATIC_LEDGER=f"sqlite:///{place / 'ledger.sqlite'}",
                ANIMATIC_STARTS_PER_MINUTE="5000",
                ANIMATIC_MAX_IN_FLIGHT="8",
                ANIMATIC_POLL_FLOOR_S="0.3",
            )
            arguments = [*ANIMATIC, "run", "shots.csv", "--results", "out.parquet", "--json"]
            with subprocess.Popen(
                arguments, env=env, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as run:
                deadline = time.monotonic() + 120
                while not read_witness(place / "sandbox") and run.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.02)
                moment_s = chance.uniform(0, 12)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.wait(moment_s)
                run.send_signal(signal.SIGKILL)
            at_kill = len(read_witness(place / "sandbox"))
            done = subprocess.run(
                arguments, env=env, cwd=place, capture_output=True, text=True, check=False, timeout=300
            )
            counts = json.loads(done.stdout.splitlines()[-1])
            prompts = collections.Counter(accepted.inputs["prompt"] for accepted in read_witness(place / "sandbox"))
            twice = sum(count > 1 for count in prompts.values())
            missing = rows - sum(
                counts[name] for name in ("completed", "unknown", "held", "failed", "rejected", "pending")
            )
            duplicates, lost, unknown = duplicates + twice, lost + missing, unknown + counts["unknown"]
            print(
                f"kill {number + 1}: {moment_s:.1f} s after the first submission, {at_kill} accepted; then exit "
                f"{done.returncode}, {counts['completed']} completed, {counts['unknown']} unknown, {twice} bought twice"
            )
    print(f"{times} kills (seed {seed}): {duplicates} bought twice, {lost} rows lost, {unknown} unknown and reported")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figure", choices=["plan", "run", "kills"])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="animatic-figures-") as name:
        folder = Path(name)
        (folder / "home").mkdir()
        match options.figure:
            case "plan":
                plan(folder, options.rows or 100_000)
            case "run":
                run(folder, options.rows or 1_000)
            case _:
                kills(folder, options.times, options.seed)


if __name__ == "__main__":
    main()
