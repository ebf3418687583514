"""kill -9 at every line of ledger, submit, poll, reconcile and results code.

A dry run lists the lines that a run executes. For each of them a forked child does the same run and kills itself when
it gets there; then a run recovers, and one more must buy nothing. Everything is counted by the sandbox's witness.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import animatic
from animatic.wavespeed.transport import tls_context
from torture.canary import search
from torture.part import Part
from torture.studio import Served, fast_folder, in_child, judge, readable, served
from torture.subject import Place, run_subject, write_manifest

ROOT = Path(animatic.__file__).parent
TRACED = (
    *("takes.py", "shoot.py", "watch.py", "gate.py", "looks.py", "tally.py", "results.py", "formats.py", "evidence.py"),
    *("recovery.py", "reconcile.py"),
    *("ledger/", "wavespeed/", "storage/"),
)
PROMPTS = ("push in", "[sandbox:fails] pan left", "[sandbox:lost-reply] tilt up")
Line = tuple[str, int]
_KILLER = """
import pickle, sys
from torture.lines import _kill_some
points, folder = pickle.loads(sys.stdin.buffer.read())
sys.stdout.buffer.write(pickle.dumps(_kill_some(points, folder, ())))
"""


def _is_traced(file: str) -> bool:
    return file.startswith(str(ROOT)) and file[len(str(ROOT)) + 1 :].startswith(TRACED)


def _trace(seen: Any) -> None:
    """Call `seen(file, line)` for every line that is executed in the traced files, in any thread."""

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            seen(frame.f_code.co_filename, frame.f_lineno)
        return local

    def tracer(frame: FrameType, _event: str, _: Any) -> Any:
        if not _is_traced(frame.f_code.co_filename):
            return None
        return local

    threading.settrace(tracer)
    sys.settrace(tracer)


def list_lines(folder: Path, url: str) -> list[tuple[Line, int]]:
    """Every line that a whole run executes, in order of first execution, and how often."""
    place = write_manifest(folder, [f"{prompt} dry" for prompt in PROMPTS])
    found = folder / "lines.json"

    def work() -> None:
        seen: dict[Line, int] = {}
        _trace(lambda file, line: seen.__setitem__((file, line), seen.get((file, line), 0) + 1))
        asyncio.run(run_subject(place, url, "dry"))
        sys.settrace(None)
        found.write_text(json.dumps([[file, line, count] for (file, line), count in seen.items()]))

    code = in_child(work)
    if code != 0:
        raise RuntimeError(f"the dry run ended with {code}")
    return [((file, line), count) for file, line, count in json.loads(found.read_text())]


def kill_at(place: Place, url: str, line: Line, occurrence: int) -> bool:
    """A run that kills itself there; whether it did."""

    def work() -> None:
        left = occurrence

        def seen(file: str, number: int) -> None:
            nonlocal left
            if (file, number) == line:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        _trace(seen)
        asyncio.run(run_subject(place, url, "killed"))

    return in_child(work) == -signal.SIGKILL


def recover_and_judge(place: Place, sandbox: Served, tag: str, point: str, part: Part) -> None:
    """A run to the end, then one that must buy nothing; then the count."""
    readable(place, point, part)

    def work() -> None:
        asyncio.run(run_subject(place, sandbox.url, "after"))
        again = asyncio.run(run_subject(place, sandbox.url, "again"))
        os._exit(0 if again == 0 else 3)

    code = in_child(work)
    if code == 3:
        part.problems.append(f"{point}: a run after recovery bought something")
    elif code != 0:
        part.problems.append(f"{point}: recovery ended with {code}")
        return
    judge(place, sandbox.accepted(tag), point, len(PROMPTS), part)


def _kill_some(points: list[tuple[Line, int]], folder: Path, flags: tuple[str, ...]) -> Part:
    part = Part("lines")
    tls_context()  # every child has it then
    with served(folder / "sandbox", *flags) as sandbox:
        for number, (line, occurrence) in enumerate(points):
            tag = f"p{number}"
            place = write_manifest(folder / tag, [f"{prompt} {tag}" for prompt in PROMPTS])
            point = f"{Path(line[0]).relative_to(ROOT)}:{line[1]}, time {occurrence}"
            part.points += 1
            if kill_at(place, sandbox.url, line, occurrence):
                part.faults_fired += 1
            recover_and_judge(place, sandbox, tag, point, part)
            search(place.folder, part)
            shutil.rmtree(place.folder)
    return part


def run(seed: int = 1, limit: int | None = None, more: int = 0) -> Part:
    """Every line once, at its first execution, and `more` others at a later one; `limit` takes a sample of lines."""
    began = time.monotonic()
    whole = Part("kill -9 at every line")
    folder = Path(tempfile.mkdtemp(prefix="animatic-lines-", dir=fast_folder()))
    chance = random.Random(seed)
    try:
        with served(folder / "dry-sandbox") as sandbox:
            counted = list_lines(folder / "dry", sandbox.url)
        points = [(line, 1) for line, _ in counted]
        later = [(line, chance.randint(2, count)) for line, count in counted if count > 1]
        if limit is not None:
            points = chance.sample(points, min(limit, len(points)))
        points += chance.sample(later, min(more, len(later)))
        halves = [points[0::2], points[1::2]]
        with ThreadPoolExecutor(2) as pool:  # each half forks from a process of its own
            for part in pool.map(
                lambda half: _in_process(*half), [(each, folder / str(n)) for n, each in enumerate(halves)]
            ):
                whole.add(part)
        whole.details = {"lines": len(counted), "files": len({line[0] for line, _ in counted}), "seed": seed}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    whole.seconds = time.monotonic() - began
    return whole


def kill_near(words: str, count: int = 12) -> Part:
    """Only the lines that hold these words, and those around them: quick, for planted bugs."""
    whole = Part("kill -9 at some lines")
    folder = Path(tempfile.mkdtemp(prefix="animatic-lines-", dir=fast_folder()))
    try:
        with served(folder / "dry-sandbox") as sandbox:
            counted = list_lines(folder / "dry", sandbox.url)
        texts = {line: Path(line[0]).read_text().splitlines() for line, _ in counted}
        hits = [line for line, _ in counted if words in texts[line][line[1] - 1]]
        near = [line for line, _ in counted if any(line[0] == hit[0] and 0 <= line[1] - hit[1] <= 6 for hit in hits)]
        whole.add(_kill_some([(line, 1) for line in near[:count]], folder, ()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return whole


def _in_process(points: list[tuple[Line, int]], folder: Path) -> Part:
    """`_kill_some` in a fresh interpreter, which has no threads when it forks."""
    import pickle
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", _KILLER], input=pickle.dumps((points, folder)), capture_output=True, check=False
    )
    if done.returncode:
        return Part("lines", problems=[f"the killer died: {done.stderr.decode()[-500:]}"])
    return pickle.loads(done.stdout)


if __name__ == "__main__":
    print(run(limit=int(sys.argv[1]) if len(sys.argv) > 1 else None))
