"""The fault matrix: a case for each way in which connection, reply, status, list, disk, clock, input or company fails.

Each case runs the real client, ledger and shoot against a real sandbox on loopback, and says whether its fault fired.
`docs/reliability.md` has the table; a test holds the two against each other.
"""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psycopg

from animatic.ledger import open_ledger
from animatic.sandbox.witness import read_witness
from torture.bill import require_true_bill
from torture.canary import search
from torture.ledgers import backend, is_on_server, live_at, take_database_of_own
from torture.matrix import (
    company,
    connection,
    disk,
    evidence,
    held,
    inputs,
    listing,
    money,
    refusals,
    scenarios,
    server,
    surroundings,
)
from torture.matrix.stage import CASES, ONLY_ON, PROVIDER, Setup
from torture.part import Part

__all__ = [
    "CASES", "ONLY_ON", "Setup", "cases_on", "company", "connection", "disk", "evidence", "held", "inputs", "listing", "money", "refusals", "run",
    "run_case", "scenarios", "server", "surroundings",
]  # fmt: skip


def run_case(name: str) -> Part:
    """One case by its name."""
    return asyncio.run(_play(name))


async def _play(name: str) -> Part:
    part = Part(name, points=1)
    folder = Path(tempfile.mkdtemp(prefix="animatic-case-"))
    live_at(folder)
    setup = Setup(folder)
    try:
        part.faults_fired += await asyncio.wait_for(CASES[name][2](setup), 90)
        await _count_the_money(setup)
        await _read_the_bill(setup)
        if not part.faults_fired:
            part.problems.append(f"{name}: its fault did not fire")
    except Exception as error:  # noqa: BLE001 - whatever it is, the case is red
        part.problems.append(f"{name}: {type(error).__name__}: {error}")
    finally:
        setup.ends.close()
    if is_on_server():
        with contextlib.suppress(psycopg.Error, RuntimeError):  # of a server that the case has ended
            setup.ledger.save()  # what is in the ledger is searched as well
    search(folder, part)
    part.accepted = sum(len(read_witness(each.parent)) for each in folder.glob("*/accepted.jsonl"))
    shutil.rmtree(folder, ignore_errors=True)
    return part


async def _count_the_money(setup: Setup) -> None:
    """Once more at the end, whatever the case did by itself; `Setup.run` does it after each run."""
    if setup.ledger.exists:
        with open_ledger(setup.ledger.url, may_be_restored=True) as opened:
            await opened.transactions.do(0.0, setup.require_sound_money)


async def _read_the_bill(setup: Setup) -> None:
    """Hold WaveSpeed's bill against the ledger and the sandbox's account, where the case has just one."""
    folders = [each.parent for each in setup.folder.glob("*/accepted.jsonl")]
    if len(folders) == 1 and setup.ledger.exists:
        await require_true_bill(folders[0], setup.ledger.url, PROVIDER)


def cases_on(ledger: str) -> list[str]:
    """Return the cases of a backend of the ledger."""
    return [name for name in CASES if ONLY_ON.get(name, ledger) == ledger]


def run(names: Sequence[str] | None = None) -> Part:
    """All cases, or these, two at a time; three with a server, for which they wait."""
    began = time.monotonic()
    whole = Part("fault matrix")
    with ProcessPoolExecutor(3 if is_on_server() else 2, initializer=take_database_of_own) as pool:
        for part in pool.map(run_case, names or cases_on(backend())):
            whole.add(part)
    whole.details = {"cases": whole.points}
    whole.seconds = time.monotonic() - began
    return whole
