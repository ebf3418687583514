"""Faults of a PostgreSQL server and of the line to it, at any message of a run, either way.

Dry runs of the acts count the messages that pass. Then, at one of them, the line is cut before it is passed on, so that
statements, their replies and replies to COMMIT are lost; or the server is killed with SIGKILL, all its processes at
once, and starts again with crash recovery, at times with the run killed too. The run goes on, or ends with a sentence.
Another one recovers, one more must buy nothing, and the witness is asked.

Where the server is killed, `GRACE_S` is shortened: no other run is alive here. A row of the matrix has all of it.
"""

import asyncio
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from animatic.errors import AnimaticError
from animatic.ledger import postgres_sessions
from animatic.web.certificates import tls_context
from animatic.web.network import DIRECT
from torture.acts import ACTS
from torture.canary import search
from torture.cluster import Cluster, cluster
from torture.ledgers import SERVER, live_at, on, take_database_of_own
from torture.lines import recover_and_judge, set_up
from torture.part import Part
from torture.server_line import Line, through
from torture.studio import fast_folder, in_child, served
from torture.subject import Setup

GRACE_S = 1.0
WENT_ON, STOPPED = 10, 11
"""Exit codes of a run that was struck: it went on to its end, or ended with an error of ours."""


@dataclass(frozen=True)
class Strike:
    """A message of an act: which way it goes, and its number."""

    act: str
    way: str
    number: int

    def __str__(self) -> str:
        return f"{self.act}, message {self.number} that the {'client' if self.way == 'asks' else 'server'} sends"


Fault = Callable[[Line, list[int]], None]
"""Gets the line, and the pid of the run."""


def play(setup: Setup, url: str, strike: Strike, fault: Fault | None, away_s: float = 0.0) -> tuple[int, Line]:
    """Carry an act out through a line that is struck; the exit code of its process, and the line."""
    pids: list[int] = []

    def work() -> None:
        try:
            asyncio.run(_awaited(ACTS[strike.act].work(setup, url, "struck")))
        except AnimaticError:
            os._exit(STOPPED)
        os._exit(WENT_ON)

    then = None if fault is None else lambda line: fault(line, pids)
    with through(Line(os.environ[SERVER], (strike.way, strike.number), then, away_s)) as line, line:
        code = in_child(work, 120.0, pids.append)
    return code, line


async def _awaited(work: object) -> None:
    await work  # type: ignore[misc]


def count_messages(names: Sequence[str], folder: Path, url: str) -> dict[str, Counter[str]]:
    """Return how many messages pass each way, in each act."""
    found: dict[str, Counter[str]] = {}
    for name in names:
        setup = set_up(ACTS[name], folder / name.replace(" ", "-"), url, "dry")
        code, line = play(setup, url, Strike(name, "asks", 0), None)
        if code not in {WENT_ON, STOPPED}:
            raise RuntimeError(f"a dry run of {name} ended with {code}")
        found[name] = line.counts
    return found


def _strike_some(strikes: Sequence[Strike], folder: Path, seed: int, kills: bool) -> Part:
    """Strike the line; where `kills`, a server of this process's own."""
    part, ends = Part("server"), Counter[str]()
    live_at(folder)
    tls_context(DIRECT)
    chance = random.Random(seed)
    with served(folder / "sandbox") as sandbox:
        if kills:
            postgres_sessions.GRACE_S = GRACE_S
            with cluster() as server, on(server.url):
                for number, strike in enumerate(strikes):
                    ends += _one(part, strike, folder / f"p{number}", sandbox, _killing(server, chance), server)
        else:
            take_database_of_own()
            for number, strike in enumerate(strikes):
                away_s = chance.choice([0.0, 0.0, 0.3])
                ends += _one(part, strike, folder / f"p{number}", sandbox, None, None, away_s)
    search(folder, part)
    part.details = dict(ends)
    return part


def _killing(server: Cluster, chance: random.Random) -> Fault:
    """Kill the server, and at times the run with it, as where the power of their machine fails; start the server again."""
    with_the_run, pause_s = chance.random() < 0.3, chance.choice([0.0, 0.3])

    def kill(_: Line, pids: list[int]) -> None:
        if with_the_run:
            os.kill(pids[0], signal.SIGKILL)
        server.kill()
        time.sleep(pause_s)
        server.start()

    return kill


def _one(
    part: Part,
    strike: Strike,
    folder: Path,
    sandbox: object,
    fault: Fault | None,
    server: Cluster | None,
    away_s: float = 0.0,
) -> Counter[str]:
    url = sandbox.url  # type: ignore[attr-defined]
    tag = folder.name
    setup = set_up(ACTS[strike.act], folder, url, tag)
    code, line = play(setup, url, strike, fault, away_s)
    has_fired = line.has_fired.is_set()
    part.points += 1
    part.faults_fired += has_fired
    if server is not None and has_fired:
        until = time.monotonic() + 30
        while not server.pids() and time.monotonic() < until:
            time.sleep(0.02)
        server.wait_until_up()
        time.sleep(max(0.0, server.started_at_s + GRACE_S + 0.2 - time.monotonic()))
    ended = {WENT_ON: "went on", STOPPED: "stopped", -signal.SIGKILL: "killed"}.get(code)
    if ended is None or (ended == "killed" and fault is None):
        part.problems.append(f"{strike}: the run ended with {code}")
    setup.ledger.wait_for_the_dead()
    recover_and_judge(setup, sandbox, tag, strike, part)  # type: ignore[arg-type]
    search(setup.folder, part)
    shutil.rmtree(setup.folder)
    setup.ledger.remove()
    return Counter([ended or "died"])


def _run(name: str, points: int, seed: int, *, kills: bool, acts: Sequence[str]) -> Part:
    began, whole, ends = time.monotonic(), Part(name), Counter[str]()
    folder = Path(tempfile.mkdtemp(prefix="animatic-server-", dir=fast_folder()))
    chance = random.Random(seed)
    live_at(folder / "dry")
    try:
        with served(folder / "dry-sandbox") as sandbox:
            counts = count_messages(acts, folder / "dry", sandbox.url)
        there_are = [
            Strike(act, way, number)
            for act, ways in counts.items()
            for way, count in ways.items()
            for number in range(1, count + 1)
        ]
        chosen = chance.sample(there_are, min(points, len(there_are)))
        at_once = 4 if kills else 2  # after a crash, most of the time is waited
        with ProcessPoolExecutor(at_once) as pool:
            jobs = [
                pool.submit(_strike_some, chosen[number::at_once], folder / str(number), seed + number, kills)
                for number in range(at_once)
            ]
            for part in (job.result() for job in jobs):
                whole.add(part)
                ends.update(part.details)
        whole.details = {"messages": len(there_are), "acts": len(counts), "ends": dict(ends), "seed": seed}
        search(folder, whole)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    whole.seconds = time.monotonic() - began
    return whole


def cut(points: int = 300, seed: int = 1, acts: Sequence[str] = tuple(ACTS)) -> Part:
    """Cut the line at so many messages of the acts."""
    return _run("connection cut at any message", points, seed, kills=False, acts=acts)


def crash(
    points: int = 60, seed: int = 1, acts: Sequence[str] = ("an ordinary run", "after a death", "trouble")
) -> Part:
    """Kill the server at so many messages."""
    return _run("kill -9 of the server, crash recovery", points, seed, kills=True, acts=acts)
