"""An inbox of 200 manifests, two schedulers at once that are killed at random, ten rounds each.

One manifest in ten is broken. Takes that are not final within seconds are left to later rounds. The sandbox is the
witness of what was bought.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.contest import Studio, environment, write_manifest
from benchmarks.server import ROOT, Account, served, takes_of
from benchmarks.sizes import Result, Sizes, say
from flows.server.child_processes import prefect_server

ACCOUNT, MANIFESTS, ROUNDS, TAKES = Account(6_000, 500, 2.0, 0.4), 200, 10, 3
DEADLINE_S, KILLS, SCHEDULERS = 3, 6, 2
LONGEST_S = 3_600.0


def run(studio: Studio, sizes: Sizes) -> Result:
    """Play the rounds; count takes, results and reports."""
    count, rounds = (sizes.rows or (MANIFESTS,))[0], sizes.rounds or ROUNDS
    room = studio.room("inbox")
    box = room / "box"
    box.mkdir()
    for number in range(count):
        if number % 10 == 9:
            (box / f"ep{number:03}.csv").write_text(f"image,prompt\nhttps://stills.example/{number}.png,\n")
        else:
            write_manifest(box / f"ep{number:03}.parquet", TAKES, f"ep{number:03}-shot")
    before = {path.name for path in box.iterdir()}
    os.environ["PREFECT_HOME"] = str(room / "prefect")
    with served(room / "sandbox", ACCOUNT) as server, prefect_server(room / "prefect.log") as prefect:
        env = environment(room, studio.code) | {
            "WAVESPEED_BASE_URL": server.url,
            "WAVESPEED_API_KEY": server.key,
            "PREFECT_API_URL": prefect.url,
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "ANIMATIC_LEDGER": f"sqlite:///{room / 'ledger.sqlite'}",
            "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),
            "ANIMATIC_ACCOUNT_LEVEL": "ultra",
            "ANIMATIC_POLL_FLOOR_S": "0.2",
            "ANIMATIC_TAKE_DEADLINE_S": str(DEADLINE_S),
        }
        began = time.monotonic()
        schedulers = [_Scheduler(box, rounds, env, room / f"scheduler-{number}.log") for number in range(SCHEDULERS)]
        kills = _play(schedulers)
        wall_s = time.monotonic() - began
    return _found(box, before, room / "sandbox") | {
        "manifests": count,
        "rounds": [len(each.messages) for each in schedulers],
        "kills": kills,
        "wall_s": round(wall_s),
        "last": [each.messages[-1] for each in schedulers if each.messages],
    }


class _Scheduler:
    """A process that plays rounds, and is started again after a kill until it has played all of them."""

    def __init__(self, box: Path, rounds: int, env: Mapping[str, str], log: Path) -> None:
        self._box, self._rounds, self._env, self._log = box, rounds, env, log
        self.messages: list[str] = []
        self.is_ready = False
        self.process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def kill(self) -> bool:
        """Kill its process where one plays rounds now."""
        process = self.process
        if process is None or not self.is_ready or process.poll() is not None:
            return False
        self.is_ready = False
        process.send_signal(signal.SIGKILL)
        return True

    def _keep(self) -> None:
        ends = time.monotonic() + LONGEST_S
        while len(self.messages) < self._rounds and time.monotonic() < ends:
            left = str(self._rounds - len(self.messages))
            command = [sys.executable, "-m", "benchmarks.contenders.inbox_rounds", str(self._box), left]
            with (
                self._log.open("a") as log,
                subprocess.Popen(
                    command, env=dict(self._env), cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
                ) as self.process,
            ):
                assert self.process.stdout is not None
                self.is_ready = bool(self.process.stdout.readline())
                for line in self.process.stdout:
                    self.messages.append(line.strip())
                    say(f"round {len(self.messages)}: {line.strip()}")


def _play(schedulers: list[_Scheduler]) -> int:
    """Start all, kill one of them now and then; return how many kills there were."""
    kills, chance = 0, random.Random(18)
    for each in schedulers:
        each.start()
    while not all(each.is_over for each in schedulers):
        time.sleep(chance.uniform(5, 20) if kills < KILLS else 1)
        if kills < KILLS and chance.choice(schedulers).kill():
            kills += 1
            say(f"kill {kills}")
    return kills


def _found(box: Path, before: set[str], sandbox: Path) -> Result:
    """Return what was bought and what lies in the folder."""
    times = Counter(each.prompt for each in takes_of(sandbox))
    shots = [name.removesuffix(".parquet") for name in before if name.endswith(".parquet")]
    wanted = {f"slow push in on {name}-shot {number}" for name in shots for number in range(TAKES)}
    names = {path.name for path in box.iterdir()}
    tables = {name for name in before if f"{name}.results.parquet" in names}
    statuses = Counter[str]()
    for name in tables:
        statuses.update(pq.read_table(box / f"{name}.results.parquet", columns=["status"])["status"].to_pylist())
    reports = {name for name in before if f"{name}.errors.txt" in names}
    return {
        "takes": len(wanted),
        "bought_twice": sum(count - 1 for count in times.values()),
        "not_bought": len(wanted - times.keys()),
        "statuses": dict(statuses),
        "with_results": len(tables),
        "with_report": len(reports),
        "with_neither": len(before - tables - reports),
        "other_files": len(names - before) - len(tables) - len(reports),
    }
