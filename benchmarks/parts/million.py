"""A million rows: `plan`, and a run of which every take is in the ledger, beside 100,000 rows of the same.

The first such run writes down what each row asks for, as every first run of a manifest does; those of later nights find
that the manifest is the same. Both are measured.
"""

import sys
from pathlib import Path

from benchmarks.contest import Studio, completed_in, write_manifest
from benchmarks.parts.cached import fill_ledger
from benchmarks.process import Measured, measure
from benchmarks.server import Account, served
from benchmarks.sizes import Result, Sizes, say

ROWS = (100_000, 1_000_000)
DEADLINE_S = 1_800.0


def run(studio: Studio, sizes: Sizes) -> Result:
    """One plan, a first cached run and one of a later night, of each size."""
    return {"rows": [_measured(studio, count) for count in sizes.rows or ROWS]}


def _measured(studio: Studio, count: int) -> Result:
    room = studio.room("million")
    manifest = write_manifest(room / "shots.parquet", count)
    with served(room / "sandbox", Account(5_000, 100, 0.2)) as server:
        command, env = studio.command("animatic", server, room, manifest)
        planned = _done([sys.executable, "-m", "flows.command.cli", "plan", str(manifest)], env, room)
        one = write_manifest(room / "one.parquet", 1)
        _done([str(one) if part == str(manifest) else part for part in command], env, room)
        fill_ledger(room / "ledger.sqlite", manifest, server.url)
        first = _done(command, env, room)
        cached = _done(command, env, room)
        again = _done([sys.executable, "-m", "flows.command.cli", "plan", str(manifest)], env, room)
        submitted = server.stats()["accepted"]
    assert completed_in(room / "out.parquet") == count
    kinds = {"plan": planned, "plan_cached": again, "cached_first": first, "cached": cached}
    found: Result = {"rows": count, "bought_again": submitted - 1}
    for name, took in kinds.items():
        found |= {f"{name}_s": round(took.wall_s, 1), f"{name}_rss_mb": round(took.rss_mb)}
        say(f"{count:,} rows, {name}: {took.wall_s:.1f} s, RSS {took.rss_mb:.0f} MB")
    return found


def _done(command: list[str], env: dict[str, str], room: Path) -> Measured:
    took = measure(command, env, room, deadline_s=DEADLINE_S)
    assert took.exit_code == 0, took.stderr
    return took
