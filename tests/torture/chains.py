"""kill -9 of whole runs of chains: each shot bought once, after the shot that it starts from, and from its last frame.

Twenty chains of five shots share one manifest. The command is killed at random moments, between any two shots too, and
started again until it is done. Then short chains, one for each line between the completion of a clip and the purchase
that starts from it: the command kills itself at that line, and the next run goes on.

The sandbox's witness tells the order: a shot is in order if the one before it in its chain had ended when it was
accepted, and if what was sent as its still is an upload of that clip's last frame.
"""

import contextlib
import inspect
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from os import killpg
from pathlib import Path
from typing import TYPE_CHECKING, Any

from animatic.sandbox.witness import Accepted
from torture.canary import search
from torture.ledgers import Place
from torture.part import Part
from torture.runs import ANIMATIC, Stage, stage, start
from torture.studio import fast_folder

if TYPE_CHECKING:
    import subprocess

MOST_STARTS = 40
MORE = {"ANIMATIC_MAX_IN_FLIGHT": "10", "ANIMATIC_SETTLE_S": "1"}
KILLED_AT = """
import os, signal, sys, threading
file, line = sys.argv[1], int(sys.argv[2])
sys.argv = ["animatic", *sys.argv[3:]]
def trace(frame, event, argument):
    if frame.f_code.co_filename != file:
        return None
    if event == "line" and frame.f_lineno == line:
        os.kill(os.getpid(), signal.SIGKILL)
    return trace
threading.settrace(trace)
sys.settrace(trace)
from flows.command.cli import main
main()
"""


@dataclass(frozen=True)
class Film:
    """A manifest of chains in a folder of its own; its rows are mixed, so that no shot stands behind its source."""

    on: Stage
    tag: str
    chains: int = 20
    shots: int = 5

    @property
    def setup(self) -> Path:
        return self.on.folder / self.tag

    @property
    def seen(self) -> Sequence[Accepted]:
        return self.on.sandbox.accepted(self.tag)

    def write(self) -> None:
        self.setup.mkdir()
        rows = ["shot_id,image,prompt,start_from"]
        for shot in reversed(range(self.shots)):
            for chain in range(self.chains):
                still = "" if shot else f"https://stills.example/{chain}.png"
                source = f"c{chain}s{shot - 1}" if shot else ""
                rows.append(f"c{chain}s{shot},{still},c{chain}s{shot} {self.tag},{source}")
        (self.setup / "shots.csv").write_text("\n".join(rows) + "\n")

    def start(self, command: Sequence[str] = ANIMATIC) -> "subprocess.Popen[str]":
        return start(self.on, self.setup, "400", MORE, command)

    def run_until_done(self, part: Part) -> None:
        """Run until all is completed and nothing is left to buy; what is unknown is settled by WaveSpeed's list."""
        for _ in range(MOST_STARTS):
            process = self.start()
            stdout = process.communicate(timeout=240)[0]
            counts = json.loads(stdout.splitlines()[-1]) if stdout else {}
            part.unknown += counts.get("unknown", 0)
            if process.returncode not in {0, 3, 4}:
                log = (self.setup / "stderr.txt").read_text()[-400:]
                part.problems.append(f"{self.tag}: ended with {process.returncode}, {counts}: {log}")
                return
            if process.returncode == 0 and not counts["submitted"]:
                part.lost += self.chains * self.shots - counts["completed"]
                return
        part.problems.append(f"{self.tag}: not done after {MOST_STARTS} starts")

    def judge(self, part: Part) -> None:
        """Count what was bought twice and out of order."""
        seen = self.seen
        part.accepted += len(seen)
        part.duplicates += sum(count - 1 for count in Counter(_name(each) for each in seen).values())
        part.problems += [f"{self.tag}: {problem}" for problem in [*_out_of_order(seen), *self._other_frames(seen)]]

    def _other_frames(self, seen: Sequence[Accepted]) -> list[str]:
        """Hold what was sent as a still against the upload of the last frame of the shot before."""
        sql = (
            "SELECT prediction_id, request, uploads, fingerprint FROM attempt "
            "JOIN take USING (fingerprint) WHERE prediction_id IS NOT NULL"
        )
        known = {row[0]: (json.loads(row[1])["image"], *row[2:]) for row in Place(self.setup).rows(sql)}
        take_of = {_name(each): known[each.id][2] for each in seen if each.id in known}
        problems: list[str] = []
        for each in seen:
            before = _before(_name(each))
            if before is None or each.id not in known:
                continue
            wanted = f"last frame of {take_of.get(before)}"
            still, uploads, _ = known[each.id]
            if still != wanted or json.loads(uploads or "{}").get(still) != each.inputs["image"]:
                problems.append(f"{_name(each)} was not sent with the last frame of {before}")
        return problems


def run(kills: int = 12, seed: int = 1, points: int = 6) -> Part:
    """So many kills at random moments, and at so many lines."""
    began, part, chance = time.monotonic(), Part("kill -9 of chains"), random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="animatic-chains-", dir=fast_folder()))
    try:
        with stage(folder) as on:
            if kills:
                _kill_at_random(Film(on, "chained"), part, kills, chance)
            lines = _lines()
            for number, (file, line) in enumerate(chance.sample(lines, min(points, len(lines)))):
                _kill_at(Film(on, f"line{number}", 1, 3), part, file, line)
        search(folder, part)
        part.details = {"chains": 20, "shots": 5, "lines": len(lines), "seed": seed}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    part.seconds = time.monotonic() - began
    return part


def _kill_at_random(film: Film, part: Part, kills: int, chance: random.Random) -> None:
    film.write()
    for _ in range(kills):
        part.points += 1
        part.faults_fired += _kill_after_a_purchase(film, chance)
    film.run_until_done(part)
    film.judge(part)


def _kill_after_a_purchase(film: Film, chance: random.Random) -> bool:
    process, known, deadline = film.start(), len(film.seen), time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None and len(film.seen) == known:
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 3.0))
    was_running = process.poll() is None
    with contextlib.suppress(ProcessLookupError):
        killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return was_running


def _kill_at(film: Film, part: Part, file: str, line: int) -> None:
    """Let a run kill itself at a line between a completion and the purchase after it, then run until all is done."""
    film.write()
    process = film.start([sys.executable, "-c", KILLED_AT, file, str(line)])
    process.communicate(timeout=240)
    part.points += 1
    part.faults_fired += process.returncode == -signal.SIGKILL
    film.run_until_done(part)
    film.judge(part)


def _lines() -> list[tuple[str, int]]:
    """Return the lines from the completion of a clip to the purchase of the take that starts from it."""
    from animatic.ledger import chains
    from animatic.media.last_frames import LastFrames, last_frame
    from animatic.media.uploads import UploadMemory
    from flows.followers import Followers
    from flows.priced_run import PricedRun

    code: list[Any] = [
        *(Followers.clip_handled, Followers._prepare, Followers._released, Followers.batches),
        *(LastFrames.upload, LastFrames.clips_of, LastFrames._extract, last_frame, UploadMemory.upload),
        *(PricedRun._fetch_last_frames, PricedRun._follow_up, chains.link, chains.remember),
    ]
    found: list[tuple[str, int]] = []
    for each in code:
        lines = {line for _, _, line in each.__code__.co_lines() if line and line > each.__code__.co_firstlineno}
        found += [(inspect.getfile(each), line) for line in sorted(lines)]
    return found


def _name(each: Accepted) -> str:
    return str(each.inputs["prompt"]).partition(" ")[0]


def _before(name: str) -> str | None:
    """Return the shot before one in its chain; None for the first."""
    chain, _, shot = name.partition("s")
    return f"{chain}s{int(shot) - 1}" if int(shot) else None


def _out_of_order(seen: Sequence[Accepted]) -> list[str]:
    ended_at = {
        _name(each): datetime.fromisoformat(each.started_at) + timedelta(seconds=each.latency_s) for each in seen
    }
    return [
        f"{_name(each)} was bought before {before} had ended"
        for each in seen
        if (before := _before(_name(each))) is not None
        and not (before in ended_at and ended_at[before] <= datetime.fromisoformat(each.accepted_at))
    ]


if __name__ == "__main__":
    print(run(*(int(each) for each in sys.argv[1:])))
