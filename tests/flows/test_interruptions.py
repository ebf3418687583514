"""Runs that are interrupted or killed in the middle. Their takes are found again, and never bought twice."""

import os
import pty
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recent import newest_runs

from flows.settings import Settings

# Prefect leaves some of its sockets to the garbage collector, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def resume(run_flow: Any, settings: Settings) -> Callable[[Path, Path], Any]:
    """Runs the manifest again, in this process, on the ledger of a home."""

    def run(manifest: Path, ledger: Path) -> Any:
        mine = settings.model_copy(update={"ledger": f"sqlite:///{ledger}"})
        return run_flow(manifest, mine, results=manifest.with_name("again.parquet"))

    return run


class Screen:
    """A terminal for a command's stderr, read to its end in the background."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self._read = bytearray()
        self._thread = threading.Thread(target=self._read_to_the_end)
        self._thread.start()

    def _read_to_the_end(self) -> None:
        while True:
            try:
                read = os.read(self._ours, 65_536)
            except OSError:  # Linux's sign that the other end is closed
                return
            self._read += read

    def shows(self, words: str) -> bool:
        """True if they have been on it until now."""
        return words.encode() in self._read

    def text(self) -> str:
        """All that was written; call it when the command has ended."""
        self._thread.join(10)
        os.close(self._ours)
        return self._read.decode()


WHAT = ("a", "b [sandbox:slow=4]", "c [sandbox:slow=4]", "d")
"""With two in flight and none queued ahead: the first is done, two run and one waits when the third was submitted."""


def test_ctrl_c_writes_what_is_there_and_the_next_run_resumes_it(
    *, shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any, resume: Any, prefect: Any
) -> None:
    shell = shell_with_server
    shell.more |= {"ANIMATIC_MAX_IN_FLIGHT": "2", "ANIMATIC_QUEUED_AHEAD": "0", "COLUMNS": "160", "TERM": "xterm"}
    prompts = [f"{tag} {what}" for what in WHAT]
    path = manifest(*({"prompt": prompt} for prompt in prompts), name="ctrl-c.csv")
    screen = Screen()
    process = shell.start("run", str(path), "--results", "out.parquet", "--json", stderr=screen.theirs)
    os.close(screen.theirs)

    def is_time() -> bool:
        return (sandbox.submitted(tag).total() == 3 and screen.shows("2 in flight")) or process.poll() is not None

    try:
        tools.wait_until(is_time, 60)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        stdout, _ = process.communicate(timeout=30)
    finally:
        tools.kill_group(process)
    shown = screen.text()

    assert process.returncode == 130, shown
    assert "Traceback" not in shown
    assert "2 in flight" in shown
    assert "Stopped: interrupted by SIGINT" in shown
    assert '"completed": 1,' in stdout
    assert '"pending": 3,' in stdout
    rows = tools.read_rows(shell.home / "out.parquet")
    require_interrupted(rows)
    (state,) = (run.state for run in newest_runs(prefect) if run.name.startswith("ctrl-c "))
    assert (state.type, state.name) == ("CANCELLED", "Interrupted")

    again = resume(path, shell.ledger)
    assert again.statuses == ["completed"] * 4
    assert again.session.progress.submissions == 1
    assert again.end.summary.exit_code == 0
    assert sandbox.submitted(tag) == dict.fromkeys(prompts, 1)
    assert [row["prediction_id"] for row in again.rows][:3] == [row["prediction_id"] for row in rows][:3]


def require_interrupted(rows: list[dict[str, Any]]) -> None:
    assert [row["status"] for row in rows] == ["completed", "pending", "pending", "pending"]
    assert [row["prediction_id"] is not None for row in rows] == [True, True, True, False]
    assert [row["attempts"] for row in rows] == [1, 1, 1, 0]
    assert all(row["error"] for row in rows[1:])


def test_sigterm_does_the_same(
    *, run_flow: Any, manifest: Any, sandbox: Any, settings: Settings, tag: str, tools: Any
) -> None:
    path = manifest(*({"prompt": f"{tag} {what}"} for what in WHAT))
    missed: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: missed.append(number))

    def terminate() -> None:
        tools.wait_until(lambda: sandbox.submitted(tag).total() == 3, 60)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    thread.start()
    try:
        ran = run_flow(path, settings.model_copy(update={"max_in_flight": 2, "queued_ahead": 0}))
    finally:
        thread.join()
        signal.signal(signal.SIGTERM, before)
    assert missed == []
    require_interrupted(ran.rows)
    assert (ran.state.type, ran.state.name) == ("CANCELLED", "Interrupted")
    assert ran.end.summary.exit_code == 130
    assert "Stopped: interrupted by SIGTERM" in ran.state.message
    ends = Counter(run.state.name if run.state.type == "CANCELLED" else run.state.type for run in ran.task_runs())
    assert ends.pop("Left") == 3
    assert set(ends) == {"COMPLETED"}


SHOTS = 12
SEED = 20_261_122
MOMENTS_S = [random.Random(SEED).uniform(0.0, 1.5) for _ in range(3)]


def test_a_run_that_is_killed_buys_nothing_twice_when_it_runs_again(
    *, shell_with_server: Any, migrated_home: Path, manifest: Any, sandbox: Any, tag: str, tools: Any, resume: Any
) -> None:
    """Three at once, each killed some time after its first submission; the first with Prefect's embedded server."""
    more = {**shell_with_server.more, "ANIMATIC_MAX_IN_FLIGHT": "2", "ANIMATIC_QUEUED_AHEAD": "0"}
    embedded = {name: value for name, value in more.items() if not name.startswith("PREFECT_")}
    runs: list[tuple[Any, Path, Any]] = []
    for number in range(len(MOMENTS_S)):
        home = shell_with_server.home / str(number)
        home.mkdir()
        if number == 0:
            embedded["PREFECT_HOME"] = str(migrated_home / ".prefect")
        shell = tools.Shell(home, embedded if number == 0 else more)
        rows = ({"prompt": f"{tag} {number} shot {shot}", "shot_id": str(shot)} for shot in range(SHOTS))
        path = manifest(*rows, name=f"killed-{number}.csv")
        runs.append((shell, path, shell.start("run", str(path), "--results", "out.parquet", stderr=None)))
    try:
        threads = [
            threading.Thread(
                target=kill_after, args=(run[2], moment_s, lambda n=n: sandbox.submitted(f"{tag} {n}"), tools)
            )
            for n, (run, moment_s) in enumerate(zip(runs, MOMENTS_S, strict=True))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for _, _, process in runs:
            tools.kill_group(process)
    assert [process.returncode for _, _, process in runs] == [-signal.SIGKILL] * 3
    tools.wait_until(lambda: not any(tools.processes_with(f"HOME={shell.home}") for shell, _, _ in runs), 10)

    for number, (shell, path, _) in enumerate(runs):
        before = sandbox.submitted(f"{tag} {number}")
        assert 0 < before.total() < SHOTS
        again = resume(path, shell.ledger)
        after = sandbox.submitted(f"{tag} {number}")
        assert [row["shot_id"] for row in again.rows] == [str(shot) for shot in range(SHOTS)]
        assert set(after.values()) == {1}
        assert set(again.statuses) <= {"completed", "unknown"}
        assert again.statuses.count("unknown") <= 2  # no more than were on their way
        assert all(after[row["prompt"]] == 1 for row in again.rows if row["status"] == "completed")


def kill_after(process: Any, seconds: float, submitted: Callable[[], Any], tools: Any) -> None:
    """Kill a run that long after its first submission."""
    tools.wait_until(lambda: submitted() or process.poll() is not None, 60)
    time.sleep(seconds)
    process.kill()
    process.wait()
