"""Cost of rows that are all settled: `python benchmarks/rows.py 1000 100000`; CPU and wall seconds, peak RSS.

Each step is that of a run without Prefect: check, plan, results. Each size has a process of its own, so that its peak
is its own; `arrow` is what pyarrow needs in one go to read the same manifest and to write the same table.
"""

import argparse
import asyncio
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
PROVIDER = "https://api.wavespeed.ai"
NOON = datetime(2026, 11, 1, 12)  # noqa: DTZ001 - as the ledger stores it
COLUMNS = ("shot_id", "storyboard", "image", "prompt", "duration", "takes", "notes", "priority", "shoot_day")


def measure(rows: Sequence[int]) -> dict[int, dict[str, Any]]:
    """For each number of rows: CPU and wall seconds of each step, peak RSS in MB, and what pyarrow alone needs."""
    found: dict[int, dict[str, Any]] = {}
    for count in rows:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), count)
            found[count] = _in_a_process("settled", folder) | {"arrow": _in_a_process("arrow", folder)}
    return found


def fill(folder: Path, rows: int) -> None:
    """A manifest, and a ledger in which every take of it is completed."""
    from animatic.ledger.opening import find_database, open_database  # noqa: PLC0415 - not in the measured process
    from animatic.ledger.schema import ATTEMPT, RUN, TAKE  # noqa: PLC0415 - not in the measured process
    from animatic.takes.inputs import Inputs, request_of  # noqa: PLC0415
    from animatic.takes.models import DEFAULT_MODEL  # noqa: PLC0415
    from animatic.takes.shots import fingerprint  # noqa: PLC0415

    engine = open_database(find_database(f"sqlite:///{folder / 'ledger.sqlite'}")).engine
    with engine.begin() as db, (folder / "shots.csv").open("w", newline="", encoding="utf-8") as file:
        db.execute(RUN.insert().values(run_id="r0", run_no=1, manifest="m", started_at=NOON, host="h", pid=1))
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for start in range(0, rows, 5_000):
            takes, attempts = [], []
            for row in range(start, min(start + 5_000, rows)):
                image = f"https://stills.example.com/boards/{row % 40}/frame-{row:06d}.jpg"
                prompt = (
                    f"slow push in past the harbour wall, gulls lift off as the light turns; number {row}, handheld"
                )
                duration = f"{5 + row % 4}s"
                more = (f"note {row}, see sheet {row // 50}", row % 7, f"2026-11-{row % 28 + 1:02d}")
                writer.writerow((f"s{row:06d}", f"board {row % 40}", image, prompt, duration, 1, *more))
                inputs = Inputs({"prompt": prompt, "image": image, "aspect_ratio": "16:9", "duration": duration})
                key = fingerprint(provider=PROVIDER, model=DEFAULT_MODEL, inputs=inputs, take=1)
                asked = {"fingerprint": key, "provider": PROVIDER, "model": DEFAULT_MODEL, "duration": duration}
                takes.append(asked | {"request": request_of(inputs, 1)})
                attempts.append(
                    {
                        "fingerprint": key,
                        "attempt_no": 1,
                        "state": "completed",
                        "run_id": "r0",
                        "allowed_by": "plan",
                        "quoted_microusd": 2_500_000,
                        "intent_at": NOON,
                        "submitted_at": NOON,
                        "completed_at": NOON + timedelta(seconds=40),
                        "created_at": NOON,
                        "prediction_id": f"{row:032x}",
                        "prediction_status": "completed",
                        "outputs": json.dumps([f"https://cdn.example.com/out/{row:032x}.mp4"]),
                        "has_nsfw_contents": "[false]",
                        "inference_ms": 40_000 + row % 9_000,
                        "polls": 4,
                    }
                )
            db.execute(TAKE.insert(), takes)
            db.execute(ATTEMPT.insert(), attempts)
    engine.dispose()


def settled(folder: Path) -> dict[str, Any]:
    """The steps of a run in which there is nothing to do."""
    from animatic.ledger.records import Reserved  # noqa: PLC0415
    from animatic.planning.lookup import look_into, plan_against  # noqa: PLC0415 - the imports are not what is measured
    from animatic.planning.manifests import ManifestFile  # noqa: PLC0415 - the imports are not what is measured
    from animatic.results.summary import run_summary_of  # noqa: PLC0415
    from animatic.results.writer import ResultsWriter  # noqa: PLC0415
    from animatic.takes.states import BuyingPolicy  # noqa: PLC0415

    ledger, results, steps = f"sqlite:///{folder / 'ledger.sqlite'}", str(folder / "results.parquet"), dict[str, Any]()
    with _timed(steps, "check"):
        manifest = ManifestFile(str(folder / "shots.csv"), PROVIDER).load()
    with _timed(steps, "plan"):
        plan = asyncio.run(plan_against(ledger, manifest, BuyingPolicy()))
    assert plan.to_do == 0
    with _timed(steps, "results"), look_into(ledger) as desk:
        stats = asyncio.run(ResultsWriter(plan.manifest, plan.final_attempts(), "r1", desk).write(results))
        digest = run_summary_of(stats, run_id="r1", results=results, submitted=0, reserved=Reserved())
    assert digest.exit_code == 0
    return steps


def arrow(folder: Path) -> dict[str, Any]:
    """The same file read, and the same table written, in one go."""
    import pyarrow.csv as pacsv  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    steps: dict[str, Any] = {}
    table = pq.read_table(folder / "results.parquet")
    with _timed(steps, "read"):
        pacsv.read_csv(folder / "shots.csv")
    with _timed(steps, "write"):
        pq.write_table(table, folder / "arrow.parquet", compression="zstd")
    return steps


@contextmanager
def _timed(steps: dict[str, Any], name: str) -> Generator[None]:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    yield
    spent = {"cpu_s": round(time.process_time() - cpu_s, 2), "wall_s": round(time.perf_counter() - wall_s, 2)}
    steps[name] = spent
    steps["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024)


def _in_a_process(what: str, folder: str) -> dict[str, Any]:
    """Started by a small program, for a process inherits the peak of the one that it is forked from."""
    command = [sys.executable, str(Path(__file__)), what, folder]
    forked = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    env = {"PATH": "/usr/bin:/bin", "HOME": folder, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-S", "-c", forked, *command], env=env, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure, or be the process that is measured."""
    if len(sys.argv) == 3 and sys.argv[1] in {"settled", "arrow"}:
        print(json.dumps((settled if sys.argv[1] == "settled" else arrow)(Path(sys.argv[2]))))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, default=[1_000, 100_000])
    for count, steps in measure(parser.parse_args().rows).items():
        alone = steps.pop("arrow")
        print(f"{count:,} rows, peak RSS {steps.pop('peak_mb')} MB")
        for name, spent in steps.items():
            print(f"  {name:8} {spent['cpu_s']:6.2f} s CPU {spent['wall_s']:6.2f} s wall")
        for name in ("read", "write"):
            print(f"  pyarrow, {name:5} {alone[name]['cpu_s']:6.2f} s CPU {alone[name]['wall_s']:6.2f} s wall")


if __name__ == "__main__":
    main()
