"""Signals: a hangup is a wish like another, a second wish is in a hurry, and what was submitted is never lost.

The runs of this module wait at once for the reply to their second submission, which the sandbox has accepted.
"""

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lying import Answer, lying

STILL_WAITS_S = 6.0
"""Longer than a run takes to end that is in a hurry."""

SAME_WISH_S = 1.0


@dataclass(frozen=True)
class Waiting:
    """A run whose first take is completed and whose second one was accepted without a reply."""

    shell: Any
    process: Any
    name: str
    let_go: threading.Event
    rows_of: Callable[[Path], list[dict[str, Any]]]
    submitted: Callable[[], dict[str, int]]

    @property
    def table(self) -> Path:
        return self.shell.home / "out.parquet"

    def send(self, *numbers: signal.Signals, apart_s: float) -> None:
        """Send signals to the run alone."""
        for at, number in enumerate(numbers):
            if at:
                time.sleep(apart_s)  # the time between two wishes is what the rule is about
            self.process.send_signal(number)

    def ends(self, within_s: float) -> tuple[int, str, str]:
        stdout, stderr = self.process.communicate(timeout=within_s)
        return self.process.returncode, stdout, stderr

    def still_waits(self, for_s: float) -> bool:
        """Tell that the run is there after so long."""
        ends = time.monotonic() + for_s
        while time.monotonic() < ends and self.process.poll() is None:
            time.sleep(0.05)
        return self.process.poll() is None

    def rows(self) -> list[dict[str, Any]]:
        return self.rows_of(self.table)


RUNS = ("hangup", "same-wish", "hurry", "nohup")
SHOTS = 4


class Replies:
    """Holds the replies to each run's second submission back until its event is set."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.let_go = {name: threading.Event() for name in RUNS}
        self.accepted = set[str]()

    def change(self, _: str, body: Any, ask: Callable[[], Answer]) -> Answer:
        answer = ask()
        prompt = str(body.get("prompt", "")) if isinstance(body, dict) else ""
        for name, event in self.let_go.items():
            if f"{name} 1" in prompt:
                self.accepted.add(name)
                event.wait(150)
        return answer


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Any, prefect_server: Any, tools: Any
) -> Iterator[dict[str, Waiting]]:
    folder, replies, found = tmp_path_factory.mktemp("signals"), Replies(sandbox.url), dict[str, Waiting]()
    with ExitStack() as stack:
        liar = stack.enter_context(lying(sandbox.url, replies.change))
        for event in replies.let_go.values():
            stack.callback(event.set)
        started = {name: _started(folder / name, name, liar.url, prefect_server, tools) for name in RUNS}
        for _, process in started.values():
            stack.callback(tools.kill_group, process)
        for name, (shell, process) in started.items():
            tools.wait_until(lambda n=name, p=process: n in replies.accepted or p.poll() is not None, 60)
            assert process.poll() is None, process.communicate()
            found[name] = Waiting(
                shell,
                process,
                name,
                replies.let_go[name],
                tools.read_rows,
                functools.partial(sandbox.submitted, f"<signals {name}>"),
            )
        yield found


def _started(home: Path, name: str, url: str, server: Any, tools: Any) -> tuple[Any, Any]:
    home.mkdir()
    more = {
        "WAVESPEED_API_KEY": tools.KEY,
        "WAVESPEED_BASE_URL": url,
        "ANIMATIC_ACCOUNT_LEVEL": "ultra",
        "ANIMATIC_POLL_FLOOR_S": "0.1",
        "ANIMATIC_MAX_IN_FLIGHT": "1",
        "ANIMATIC_QUEUED_AHEAD": "0",
        "ANIMATIC_SETTLE_S": "0.1",
        "PREFECT_API_URL": server.url,
        "PREFECT_HOME": str(server.home),
    }
    shell = tools.Shell(home, more)
    prompts = ({"prompt": f"{name} {number} <signals {name}>"} for number in range(SHOTS))
    tools.write_manifest(home / f"{name}.csv", list(prompts))
    handler = signal.SIG_IGN if name == "nohup" else signal.SIG_DFL  # whatever these tests were started with
    hangup = functools.partial(signal.signal, signal.SIGHUP, handler)
    process = shell.start("run", f"{name}.csv", "--results", "out.parquet", "--json", preexec_fn=hangup)
    return shell, process


def require_stopped(run: Waiting, code: int, stderr: str, said: str) -> None:
    """The first take is there, the second one is known by its id, and nothing more was bought."""
    assert code == 130, stderr
    assert f"Stopped: interrupted by {said}" in stderr
    assert "Traceback" not in stderr
    assert len(run.submitted()) == 2
    rows = run.rows()
    assert [row["prediction_id"] is not None for row in rows] == [True, True, False, False]
    assert [row["attempts"] for row in rows] == [1, 1, 0, 0]
    assert not [status for status in (row["status"] for row in rows) if status == "unknown"]


def test_a_hangup_is_a_wish_to_end_and_further_ones_change_nothing(runs: dict[str, Waiting]) -> None:
    run = runs["hangup"]
    run.send(*[signal.SIGHUP] * 3, apart_s=SAME_WISH_S + 0.3)
    assert run.still_waits(STILL_WAITS_S), "it waits for the reply to what it submitted"
    run.let_go.set()
    code, stdout, stderr = run.ends(30)
    require_stopped(run, code, stderr, "SIGHUP")
    assert '"completed": 1,' in stdout


def test_two_wishes_within_a_second_are_one(runs: dict[str, Waiting]) -> None:
    run = runs["same-wish"]
    run.send(signal.SIGTERM, signal.SIGTERM, apart_s=0.3)
    assert run.still_waits(STILL_WAITS_S), "it waits for the reply to what it submitted"
    run.let_go.set()
    code, _, stderr = run.ends(30)
    require_stopped(run, code, stderr, "SIGTERM")


def test_a_second_wish_later_skips_the_wait_for_replies_and_loses_nothing(runs: dict[str, Waiting]) -> None:
    run = runs["hurry"]
    run.send(signal.SIGINT, signal.SIGINT, apart_s=SAME_WISH_S + 0.3)
    code, stdout, stderr = run.ends(60)
    assert code == 130, stderr
    assert "Stopped: interrupted by SIGINT" in stderr
    assert "Traceback" not in stderr
    rows = run.rows()
    assert rows[0]["status"] == "completed"
    assert rows[1]["status"] == "unknown"
    assert rows[1]["error"].endswith("while it was submitting this take"), "it neither has its reply nor gave it up"
    assert [row["error"] == "not submitted when the run stopped" for row in rows] == [False, False, True, True]
    assert '"completed": 1,' in stdout
    assert len(run.submitted()) == 2

    run.let_go.set()
    again = run.shell.run("run", f"{run.name}.csv", "--results", "out.parquet", "--json")
    assert again.json["submitted"] == SHOTS - 2, again.stderr
    assert run.submitted() == dict.fromkeys(run.submitted(), 1)
    assert len(run.submitted()) == SHOTS
    assert (again.code, again.json["completed"]) == (0, SHOTS), again.stderr


def test_a_hangup_that_was_ignored_at_the_start_stays_ignored(runs: dict[str, Waiting]) -> None:
    run = runs["nohup"]
    run.send(*[signal.SIGHUP] * 2, apart_s=SAME_WISH_S + 0.3)
    run.let_go.set()
    code, stdout, stderr = run.ends(60)
    assert code == 0, stderr
    assert f'"completed": {SHOTS},' in stdout
    assert "Stopped" not in stderr
    assert run.submitted() == dict.fromkeys(run.submitted(), 1)
    assert len(run.submitted()) == SHOTS


@pytest.mark.parametrize("gone", ["pipe", "terminal"])
def test_a_run_goes_on_to_its_end_when_its_reader_is_gone(
    *, shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any, gone: str
) -> None:
    shell = shell_with_server
    shell.more |= {"ANIMATIC_MAX_IN_FLIGHT": "1", "ANIMATIC_QUEUED_AHEAD": "0", "TERM": "xterm", "COLUMNS": "160"}
    prompts = [f"{tag} {number} [sandbox:slow=3]" for number in range(SHOTS)]
    path = manifest(*({"prompt": prompt} for prompt in prompts))
    ours, theirs = os.openpty() if gone == "terminal" else os.pipe()
    process = shell.start("run", str(path), "--results", "out.parquet", "--json", stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        assert os.read(ours, 1)
        tools.wait_until(lambda: sandbox.submitted(tag) or process.poll() is not None, 60)
        os.close(ours)
        assert sandbox.submitted(tag).total() < SHOTS
        code = process.wait(60)
    finally:
        tools.kill_group(process)
    assert code == 0
    assert [row["status"] for row in tools.read_rows(shell.home / "out.parquet")] == ["completed"] * SHOTS
    assert sandbox.submitted(tag) == dict.fromkeys(prompts, 1)
    tools.wait_until(lambda: not tools.processes_with(f"HOME={shell.home}"), 10)
