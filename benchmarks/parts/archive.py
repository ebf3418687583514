"""Clips archived beside a run at full pace, against a bare script that downloads the same bytes, alone."""

import json
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.contest import ContestResult, Studio, completed_in, environment, outcome, write_manifest
from benchmarks.process import measure
from benchmarks.server import Account, Served, served, takes_of
from benchmarks.sizes import Result, Sizes, say

TAKES, CLIP_BYTES, MEDIAN_S, IN_FLIGHT, ROUNDS, DEADLINE_S = 2_000, 5_000_000, 20.0, 2_000, 3, 900.0
STARTS_A_MINUTE = (5_000,)
"""The pace of an ultra account: 417 MB of clips a second."""

_PROBES = """
import sys
from pathlib import Path
from animatic.media.clips import probe_clip
for path in Path(sys.argv[1]).iterdir():
    probe_clip(path)
"""


def run(studio: Studio, sizes: Sizes) -> Result:
    """For each account some rounds of: a run without clips, the bare script on its URLs, a run with clips."""
    takes, rounds = sizes.takes or TAKES, sizes.rounds or ROUNDS
    rows = [_row(studio, pace, takes, rounds) for pace in STARTS_A_MINUTE]
    return {"takes": takes, "clip_bytes": CLIP_BYTES, "median_s": MEDIAN_S, "rounds": rounds, "rows": rows}


def _row(studio: Studio, pace: int, takes: int, rounds: int) -> Result:
    account = Account(pace, IN_FLIGHT, MEDIAN_S)
    found = [_round(studio, account, takes) for _ in range(rounds)]
    row: Result = {name: statistics.median(each[name] for each in found) for name in found[0]}
    say(f"{pace:,} starts a minute: {row}")
    return {"starts_per_minute": pace} | row | {"rounds": found}


def _round(studio: Studio, account: Account, takes: int) -> Result:
    room = studio.room("archive")
    flags = ("--clip-bytes", str(CLIP_BYTES))
    with served(room / "sandbox", account, *flags) as server:
        without = _run(studio, server, room / "without", takes)
        urls = pq.read_table(room / "without" / "out.parquet", columns=["output_url"])["output_url"].to_pylist()
        bare = _bare(room, urls)
    with served(room / "sandbox2", account, *flags) as server:
        with_clips = _run(studio, server, room / "with", takes, "--archive", str(room / "clips"))
    clips = room / "clips"
    kept = sorted(clips.iterdir())
    assert len(kept) == takes, f"{len(kept)} clips of {takes}"
    total = sum(path.stat().st_size for path in kept)
    times = sorted(path.stat().st_mtime for path in kept)
    probing = measure([sys.executable, "-c", _PROBES, str(clips)], environment(room, studio.code), room).cpu_s
    idle = measure([sys.executable, "-c", _PROBES, str(room / "home")], environment(room, studio.code), room).cpu_s
    shutil.rmtree(clips)
    archiving_s = times[-1] - times[0]
    cpu_s = with_clips.cpu_s - without.cpu_s - (probing - idle)
    found = {
        "starts_without": without.most_starts_a_minute,
        "starts_with": with_clips.most_starts_a_minute,
        "makespan_without_s": round(without.makespan_s, 1),
        "makespan_with_s": round(with_clips.makespan_s, 1),
        "mb_per_s": round(total / archiving_s / 1e6, 1),
        "pace_mb_per_s": round(account.starts_per_minute / 60 * CLIP_BYTES / 1e6, 1),
        "bare_mb_per_s": round(bare["bytes"] / bare["seconds"] / 1e6, 1),
        "rss_without_mb": round(without.rss_mb, 1),
        "rss_with_mb": round(with_clips.rss_mb, 1),
        "cpu_s": round(cpu_s, 2),
        "bare_cpu_s": round(bare["cpu_s"], 2),
        "probing_cpu_s": round(probing - idle, 2),
    }
    say(f"{found}")
    return found


def _run(studio: Studio, server: Served, room: Path, takes: int, *options: str) -> ContestResult:
    (room / "home").mkdir(parents=True)
    shutil.copytree(studio.room("homes") / "prefect", room / "prefect")
    manifest = write_manifest(room / "shots.parquet", takes, room.name)
    command, env = studio.command("animatic", server, room, manifest)
    if options:
        command = [*(part for part in command if part != "--no-archive"), *options]
    before_s = server.cpu_s()
    took = measure(command, env, room, deadline_s=DEADLINE_S)
    assert took.exit_code == 0, took.stderr
    seen = [each for each in takes_of(server.folder) if room.name in each.prompt]
    found = outcome(
        "animatic", server.account, takes, took, seen, server.stats(), server.cpu_s() - before_s,
        completed_in(room / "out.parquet"),
    )  # fmt: skip
    assert found.completed == takes
    return found


def _bare(room: Path, urls: Sequence[str]) -> Result:
    (room / "urls.json").write_text(json.dumps(urls))
    command = [sys.executable, "-m", "benchmarks.contenders.bare_downloads", str(room / "urls.json")]
    took = measure([*command, str(room / "bare")], environment(room), room, deadline_s=DEADLINE_S)
    assert took.exit_code == 0, took.stderr
    shutil.rmtree(room / "bare")
    return json.loads(took.stdout) | {"cpu_s": took.cpu_s}
