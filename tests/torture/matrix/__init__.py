"""The fault matrix: a case for each way in which connection, reply, status, list, disk, clock, input or company fails.

Each case runs the real client, ledger and shoot against a real sandbox on loopback, and says whether its fault fired.
`docs/reliability.md` has the table; a test holds the two against each other.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from animatic.sandbox.witness import read_witness
from torture.canary import search
from torture.matrix import company, connection, disk, inputs, listing, scenarios
from torture.matrix.stage import CASES, Set
from torture.part import Part

__all__ = ["CASES", "Set", "company", "connection", "disk", "inputs", "listing", "run", "run_case", "scenarios"]


async def _one(name: str) -> tuple[bool, str, int]:
    _, _, work = CASES[name]
    folder = Path(tempfile.mkdtemp(prefix="animatic-case-"))
    place = Set(folder)
    try:
        fired = await asyncio.wait_for(work(place), 90)
        problem = "" if fired else "its fault did not fire"
    except Exception as error:  # noqa: BLE001 - whatever it is, the case is red
        fired, problem = True, f"{type(error).__name__}: {error}"
    left = Part(name)
    search(folder, left)
    problem = "; ".join([problem, *left.problems] if problem else left.problems)
    accepted = sum(len(read_witness(each.parent)) for each in folder.glob("sandbox*/accepted.jsonl"))
    shutil.rmtree(folder, ignore_errors=True)
    return fired, problem, accepted


def run_case(name: str) -> tuple[str, bool, str, int]:
    """One case by its name: whether its fault fired, and what is wrong, if anything."""
    return (name, *asyncio.run(_one(name)))


def run(names: Sequence[str] | None = None) -> Part:
    """All cases, or these."""
    began = time.monotonic()
    part = Part("fault matrix")
    with ProcessPoolExecutor(2) as pool:
        for name, fired, problem, accepted in pool.map(run_case, names or list(CASES)):
            part.points += 1
            part.faults_fired += fired
            part.accepted += accepted
            if problem:
                part.problems.append(f"{name}: {problem}")
    part.details = {"cases": part.points}
    part.seconds = time.monotonic() - began
    return part
