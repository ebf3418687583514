"""kill -9 at every line of ledger, submit, poll, reconcile and results code.

Dry runs of the acts list the lines that they execute. For each of them a forked child does the same act and kills itself
when it gets there; then a run recovers, and one more must buy nothing. Everything is counted by the sandbox's witness.
"""

import asyncio
import gc
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Protocol

from animatic.web.certificates import tls_context
from animatic.web.network import DIRECT
from torture.acts import ACTS, Act
from torture.canary import search
from torture.ledgers import is_on_server, live_at, take_database_of_own
from torture.modules import ROOT, find_modules
from torture.part import Part
from torture.studio import Served, fast_folder, in_child, judge, readable, served
from torture.subject import Setup, run_subject, write_manifest

TRACED = find_modules(
    *(
        "states",
        "shoot",
        "submissions",
        "request",
        "poller",
        "throttle",
        "poll_history",
        "progress",
        "results.schema",
        "formats",
    ),
    *("evidence", "recovery", "buying.reconcile", "results.writer", "spool", "pilots", "waiting"),
    *("ledger", "wavespeed", "storage", "durability"),
)
MONEY = find_modules(
    *(
        "states",
        "shoot",
        "submissions",
        "request",
        "poller",
        "poll_history",
        "evidence",
        "recovery",
        "buying.reconcile",
    ),
    *("ledger", "outcomes", "transport"),
)
"""Files for which the number of lines reached is reported."""

_KILLER = """
import pickle, sys
from torture.lines import Point, _kill_some
points, folder = pickle.loads(sys.stdin.buffer.read())
sys.stdout.buffer.write(pickle.dumps(_kill_some([Point(*each) for each in points], folder)))
"""
Line = tuple[str, int]


class Struck(Protocol):
    """A moment of an act."""

    @property
    def act(self) -> str: ...


@dataclass(frozen=True)
class Point:
    """A line of an act, and at which of its executions the kill comes."""

    act: str
    line: Line
    occurrence: int = 1

    def __str__(self) -> str:
        return f"{self.act}, {Path(self.line[0]).relative_to(ROOT)}:{self.line[1]}, time {self.occurrence}"


def trace_lines(seen: Any, is_traced: Callable[[str], bool]) -> None:
    """Call `seen(file, line)` for every line that is executed in the traced files, in any thread."""
    known: dict[str, bool] = {}

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            seen(frame.f_code.co_filename, frame.f_lineno)
        return local

    def tracer(frame: FrameType, _event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if file not in known:
            known[file] = is_traced(file)
        return local if known[file] else None

    threading.settrace(tracer)
    sys.settrace(tracer)


def set_up(act: Act, folder: Path, url: str, tag: str) -> Setup:
    setup = write_manifest(folder, [f"{prompt} {tag}" for prompt in act.prompts])
    if act.prepare is not None:
        asyncio.run(act.prepare(setup, url))
    return setup


def list_lines(name: str, folder: Path, url: str) -> dict[Line, int]:
    """Return every line that an act executes, in order of first execution, and its count."""
    act = ACTS[name]
    setup = set_up(act, folder, url, "dry")
    return lines_of(lambda: act.work(setup, url, "dry"), folder, TRACED)


def lines_of(work: Callable[[], Awaitable[object]], folder: Path, traced: Collection[Path]) -> dict[Line, int]:
    """Do something in a child; return every line of these files that it executes, in order, and how often."""
    found = folder / "lines.json"

    def trace() -> None:
        seen: Counter[Line] = Counter()
        trace_lines(lambda file, line: seen.update(((file, line),)), lambda file: Path(file) in traced)
        asyncio.run(_awaited(work()))
        sys.settrace(None)
        found.write_text(json.dumps([[file, line, count] for (file, line), count in seen.items()]))

    code = in_child(trace)
    if code != 0:
        raise RuntimeError(f"a dry run in {folder} ended with {code}")
    return {(file, line): count for file, line, count in json.loads(found.read_text())}


async def _awaited(work: Awaitable[object]) -> None:
    await work


def list_points(folder: Path, url: str, chance: random.Random) -> tuple[list[Point], list[Point]]:
    """Each line in the first act that executes it, at its first execution, and the same at a later one."""
    first: dict[Line, Point] = {}
    later: list[Point] = []
    for name in ACTS:
        for line, count in list_lines(name, folder / name.replace(" ", "-"), url).items():
            if line not in first:
                first[line] = Point(name, line)
            if count > 1:
                later.append(Point(name, line, chance.randint(2, count)))
    return list(first.values()), later


def lines_there_are() -> set[Line]:
    """Every line inside a function of the files that handle money."""
    found: set[Line] = set()
    for file in MONEY:
        module = compile(file.read_text(), str(file), "exec")
        found.update((str(file), line) for code in _functions(module) for line in _lines_of(code))
    return found


def _functions(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_flags & 0x2:  # CO_NEWLOCALS: a function, not the body of a class
                yield each
            yield from _functions(each)


def _lines_of(code: CodeType) -> set[int]:
    """Of a function, without the line that says `def`, which the tracer does not see."""
    return {line for *_, line in code.co_lines() if line and line != code.co_firstlineno}


def kill_at(setup: Setup, url: str, point: Point) -> bool:
    """Run an act that kills itself there; return True if it did."""
    return dies_at(point.line, point.occurrence, lambda: ACTS[point.act].work(setup, url, "killed"))


def dies_at(line: Line, occurrence: int, work: Callable[[], Awaitable[object]]) -> bool:
    """Do something in a child that kills itself at one execution of a line; return True if it did."""

    def until_there() -> None:
        left = occurrence

        def seen(file: str, number: int) -> None:
            nonlocal left
            if (file, number) == line:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        trace_lines(seen, line[0].__eq__)
        asyncio.run(_awaited(work()))

    return in_child(until_there) == -signal.SIGKILL


def recover_and_judge(setup: Setup, sandbox: Served, tag: str, point: Struck, part: Part) -> None:
    """A run to the end, then one that must buy nothing; then the count."""
    readable(setup, str(point), part)

    def work() -> None:
        asyncio.run(run_subject(setup, sandbox.url, "after"))
        again = asyncio.run(run_subject(setup, sandbox.url, "again"))
        os._exit(0 if again == 0 else 3)

    code = in_child(work)
    if code == 3:
        part.problems.append(f"{point}: a run after recovery bought something")
    elif code != 0:
        part.problems.append(f"{point}: recovery ended with {code}")
        return
    judge(setup, sandbox.accepted(tag), str(point), len(ACTS[point.act].prompts), part)


def _kill_some(points: Sequence[Point], folder: Path) -> Part:
    part = Part("lines")
    take_database_of_own()
    live_at(folder)
    tls_context(DIRECT)  # every child has it then, and what the first run below has compiled
    with served(folder / "sandbox") as sandbox:
        first = next(iter(ACTS.values()))
        asyncio.run(run_subject(set_up(first, folder / "warm", sandbox.url, "warm"), sandbox.url, "warm"))
        gc.freeze()  # what is there stays there: no child needs pages of its own for it
        for number, point in enumerate(points):
            tag = f"p{number}"
            setup = set_up(ACTS[point.act], folder / tag, sandbox.url, tag)
            part.points += 1
            part.faults_fired += kill_at(setup, sandbox.url, point)
            setup.ledger.wait_for_the_dead()
            recover_and_judge(setup, sandbox, tag, point, part)
            search(setup.folder, part)
            shutil.rmtree(setup.folder)
            if is_on_server():
                setup.ledger.remove()
    search(folder, part)
    return part


def run(seed: int = 1, limit: int | None = None, more: int = 0) -> Part:
    """Every line once, at its first execution, and `more` others at a later one; `limit` takes a sample of lines."""
    began = time.monotonic()
    whole = Part("kill -9 at every line")
    folder = Path(tempfile.mkdtemp(prefix="animatic-lines-", dir=fast_folder()))
    chance = random.Random(seed)
    live_at(folder / "dry")
    try:
        with served(folder / "dry-sandbox") as sandbox:
            points, later = list_points(folder / "dry", sandbox.url, chance)
        of_money, reached = lines_there_are(), {point.line for point in points}
        whole.details = {
            "lines": len(points),
            "files": len({point.line[0] for point in points}),
            "acts": dict(Counter(point.act for point in points)),
            "lines of the money path": f"{len(of_money & reached)} of {len(of_money)} reached",
            "seed": seed,
        }
        if limit is not None:
            points = chance.sample(points, min(limit, len(points)))
        points += chance.sample(later, min(more, len(later)))
        with ThreadPoolExecutor(2) as pool:  # each half forks from a process of its own
            for part in pool.map(_in_process, (points[0::2], points[1::2]), (folder / "0", folder / "1")):
                whole.add(part)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    whole.seconds = time.monotonic() - began
    return whole


def kill_near(words: str, count: int = 12) -> Part:
    """Only the lines that hold these words, and those around them: quick, for planted bugs."""
    whole = Part("kill -9 at some lines")
    folder = Path(tempfile.mkdtemp(prefix="animatic-lines-", dir=fast_folder()))
    name = next(iter(ACTS))
    live_at(folder / "dry")
    try:
        with served(folder / "dry-sandbox") as sandbox:
            lines = list(list_lines(name, folder / "dry", sandbox.url))
        texts = {file: Path(file).read_text().splitlines() for file, _ in lines}
        hits = [line for line in lines if words in texts[line[0]][line[1] - 1]]
        near = [line for line in lines if any(line[0] == hit[0] and 0 <= line[1] - hit[1] <= 6 for hit in hits)]
        whole.add(_kill_some([Point(name, line) for line in near[:count]], folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return whole


def _in_process(points: Sequence[Point], folder: Path) -> Part:
    """`_kill_some` in a fresh interpreter, which has no threads when it forks."""
    plain = [(point.act, point.line, point.occurrence) for point in points]
    given = pickle.dumps((plain, folder))
    done = subprocess.run([sys.executable, "-c", _KILLER], input=given, capture_output=True, check=False)
    if done.returncode:
        return Part("lines", problems=[f"the killer died: {done.stderr.decode()[-500:]}"])
    return pickle.loads(done.stdout)


if __name__ == "__main__":
    print(run(limit=int(sys.argv[1]) if len(sys.argv) > 1 else None))
