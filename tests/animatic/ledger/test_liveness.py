"""Liveness of runs is the kernel's word: a killed one is not alive, a stopped one is."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from animatic.buying.recovery import recover
from animatic.errors import LedgerUnusableError
from animatic.ledger.liveness import alive, is_alive, sweep
from animatic.takes.states import State
from tests.animatic.ledger.conftest import ON_SQLITE


async def noon() -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC)


HOLDER = """
import pathlib, sys
from animatic.ledger.liveness import alive
with alive(pathlib.Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""
StartRun = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start_run(path: Path) -> Iterator[StartRun]:
    """Starts a process that holds a run's lock until its stdin ends; returns once it does."""
    started: list[subprocess.Popen[str]] = []

    def start(run_id: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(path), run_id]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_run_is_alive_for_the_length_of_its_block(path: Path) -> None:
    assert not is_alive(path, "run-1")
    with alive(path, "run-1"):
        assert is_alive(path, "run-1")
        assert not is_alive(path, "run-2")
    assert not is_alive(path, "run-1")
    assert list(path.parent.rglob("*.lock")) == []


def test_a_run_that_ends_in_an_error_is_not_alive(path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), alive(path, "run-1"):
        raise ValueError("boom")
    assert not is_alive(path, "run-1")


def test_asking_does_not_take_the_lock(path: Path) -> None:
    with alive(path, "run-1"):
        assert [is_alive(path, "run-1") for _ in range(3)] == [True] * 3


def test_two_processes_cannot_be_the_same_run(path: Path) -> None:
    with alive(path, "run-1"), pytest.raises(BlockingIOError), alive(path, "run-1"):
        pass


def test_a_stopped_run_is_alive_and_a_killed_one_is_not(path: Path, start_run: StartRun) -> None:
    process = start_run("run-1")
    assert is_alive(path, "run-1")
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    assert is_alive(path, "run-1")
    process.kill()
    process.wait()
    assert not is_alive(path, "run-1")


def aged(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.utime(path, (0, 0))
    return path


def test_what_killed_runs_left_is_swept_and_no_evidence_or_living_lock(
    ledger: Any, path: Path, start_run: StartRun
) -> None:
    folder = path.parent / f"{path.name}.runs"
    left = [aged(folder / "killed.lock"), aged(folder / "ledger-id.1.tmp")]
    evidence = [aged(folder / "owed.lock"), aged(folder / "owed.receipts")]
    start_run("old")
    os.utime(folder / "old.lock", (0, 0))
    (folder / "new.lock").touch()
    sweep(path)
    assert [each.exists() for each in (*left, *evidence)] == [False, False, True, True]
    assert is_alive(path, "old")
    assert (folder / "new.lock").exists()


@ON_SQLITE
def test_only_dead_runs_are_buried(ledger: Any, path: Path, start_run: StartRun) -> None:
    assert path == ledger.path
    stopped, killed = start_run("stopped"), start_run("killed")

    async def prepare() -> None:
        for number, run_id in enumerate(("stopped", "killed", "killed")):
            if number < 2:
                await ledger.begin(run_id)
            await ledger.intend(f"{number:064d}", run_id=run_id)

    async def remove_run() -> tuple[int, list[State]]:
        recovered = await recover(ledger.opened, noon)
        return recovered.unknown, [(await ledger.find(f"{number:064d}")).state for number in range(3)]

    asyncio.run(prepare())
    assert asyncio.run(remove_run()) == (0, [State.SUBMITTING] * 3)
    stopped.send_signal(signal.SIGSTOP)
    killed.kill()
    killed.wait()
    assert asyncio.run(remove_run()) == (2, [State.SUBMITTING, State.UNKNOWN, State.UNKNOWN])
    assert asyncio.run(remove_run())[0] == 0


def test_a_ledger_that_cannot_keep_receipts_beside_it_names_their_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with (
        pytest.raises(LedgerUnusableError, match=r"folder .*/taken/.* cannot be written to .*ANIMATIC_LEDGER"),
        alive(tmp_path / "taken" / "ledger.sqlite", "run-1"),
    ):
        pytest.fail("it is held")
