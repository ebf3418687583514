"""A manifest that is all in the ledger, against pyarrow reading it and writing the table, and an empty flow."""

import json
import sqlite3
import statistics
import sys
import uuid
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq

from animatic.takes.inputs import Inputs
from animatic.takes.models import DEFAULT_MODEL, INPUT_NAMES
from animatic.takes.shots import fingerprint
from benchmarks.contest import Studio, completed_in, environment, write_manifest
from benchmarks.process import measure
from benchmarks.server import Account, served
from benchmarks.sizes import Result, Sizes, say

ROWS, ROUNDS = 100_000, 3
_PYARROW = """
import json, sys, time
import pyarrow.parquet as pq
table = pq.read_table(sys.argv[2])
began = time.perf_counter()
manifest = pq.read_table(sys.argv[1])
read = time.perf_counter() - began
pq.write_table(table, sys.argv[3])
print(json.dumps([read, time.perf_counter() - began - read]))
"""


def run(studio: Studio, sizes: Sizes) -> Result:
    """Rounds of: animatic on the cached manifest, pyarrow alone, an empty Prefect flow; medians."""
    count, rounds = (sizes.rows or (ROWS,))[0], sizes.rounds or ROUNDS
    room = studio.room("cached")
    manifest = write_manifest(room / "shots.parquet", count)
    runs: list[float] = []
    arrows: list[float] = []
    empties: list[float] = []
    with served(room / "sandbox", Account(5_000, 100, 0.2)) as server:
        command, env = studio.command("animatic", server, room, manifest)
        one = write_manifest(room / "one.parquet", 1)
        first = measure([str(one) if part == str(manifest) else part for part in command], env, room)
        assert first.exit_code == 0, first.stderr
        fill_ledger(room / "ledger.sqlite", manifest, server.url)
        say(f"the ledger holds {count:,} takes")
        for _ in range(rounds):
            took = measure(command, env, room)
            assert took.exit_code == 0, took.stderr
            assert completed_in(room / "out.parquet") == count
            runs.append(took.wall_s)
            asked = [
                sys.executable,
                "-c",
                _PYARROW,
                str(manifest),
                str(room / "out.parquet"),
                str(room / "again.parquet"),
            ]
            arrows.append(sum(json.loads(measure(asked, environment(room), room).stdout)))
            empties.append(studio.empty().wall_s)
            say(f"animatic {runs[-1]:.1f} s, pyarrow {arrows[-1]:.2f} s, an empty flow {empties[-1]:.1f} s")
        submitted = server.stats()["accepted"]
    run_s, arrow_s, empty_s = (statistics.median(each) for each in (runs, arrows, empties))
    return {
        "rows": count,
        "rounds": rounds,
        "run_s": round(run_s, 2),
        "pyarrow_s": round(arrow_s, 2),
        "empty_s": round(empty_s, 2),
        "ratio": round(run_s / (arrow_s + empty_s), 3),
        "bought_again": submitted - 1,
        "rss_mb": round(took.rss_mb),
        "cpu_s": round(took.cpu_s, 1),
        "runs_s": [round(each, 2) for each in runs],
    }


def fill_ledger(ledger: Path, manifest: Path, provider: str) -> None:
    """Copy the one completed take that is there for every row of the manifest, as if all had been bought."""
    rows = pq.read_table(manifest).to_pylist()
    with closing(sqlite3.connect(ledger)) as db, db:
        db.row_factory = sqlite3.Row
        take = dict(db.execute("SELECT * FROM take").fetchone())
        attempt = dict(db.execute("SELECT * FROM attempt").fetchone())
        del attempt["attempt_id"]
        takes: list[dict[str, object]] = []
        attempts: list[dict[str, object]] = []
        for row in rows:
            inputs = Inputs({name: row[name] for name in INPUT_NAMES})
            key = fingerprint(provider=provider, model=DEFAULT_MODEL, inputs=inputs, take=1)
            if key == take["fingerprint"]:
                continue
            asked = json.loads(take["request"]) | {"image": row["image"], "prompt": row["prompt"]}
            takes.append(take | {"fingerprint": key, "request": json.dumps(asked)})
            attempts.append(
                attempt | {"fingerprint": key, "prediction_id": uuid.uuid4().hex, "nonce": uuid.uuid4().hex}
            )
        for table, copies in (("take", takes), ("attempt", attempts)):
            names = list(copies[0])
            places = ", ".join(f":{name}" for name in names)
            db.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", copies)
