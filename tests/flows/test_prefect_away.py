"""Prefect only shows: a server that dies, hangs or refuses changes neither results nor exit code, and costs a minute.

All runs of this module are under way at once, since each spends most of its time on waiting. Each has a door of its own
in front of the shared server, or an embedded server of its own.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from doors import Door, door

pytestmark = pytest.mark.timeout(600)

TAKES = 6
SLOW = "[sandbox:slow=10]"
"""Three seconds; two at once make nine seconds of six takes."""

HOLDS_UP_S = 60.0
ENDS_WITHIN_S = 300.0
SECRET = "canary-prefect-password"
NOT_RECEIVED = "Prefect did not receive"
STARTS_AT_ONCE = 3


@dataclass(frozen=True)
class Story:
    """A run, and all that a test wants to know of it."""

    shell: Any
    code: int
    stdout: str
    stderr: str
    ended: float
    took_s: float
    bought: int
    """Submissions that the sandbox accepted."""
    bought_before: int
    """Of these, the ones before Prefect was gone."""
    left: list[int]
    """Processes of the run that lived on."""
    state: str | None = None
    """The flow run's state, where the server was asked."""
    tries: int = 0
    """Connections that were made to the server in front of which a door is."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.shell.rows(self.shell.home / "out.parquet")

    @property
    def held_up_s(self) -> float:
        """The time from the moment at which the last take was completed."""
        return self.ended - max(row["completed_at"] for row in self.rows).timestamp()

    @property
    def logged(self) -> str:
        """All that is in its log files."""
        return "".join(path.read_text(errors="replace") for path in self.shell.logs())


class Stage:
    """Makes stories."""

    def __init__(self, folder: Path, tools: Any, sandbox: Any, server: Any, migrated: Path) -> None:
        self._folder, self._tools, self._sandbox, self._server, self._migrated = (
            folder,
            tools,
            sandbox,
            server,
            migrated,
        )
        self._starting = threading.Semaphore(STARTS_AT_ONCE)

    def embedded(self, number: int) -> Story:
        """A run whose own server gets this signal when the first take is bought."""
        shell = self._place(f"embedded-{number}", None)
        shutil.copytree(self._migrated / ".prefect", shell.home / "prefect")
        shell.more["PREFECT_HOME"] = str(shell.home / "prefect")

        def hit(_: Callable[[], int]) -> None:
            servers = [pid for pid in self._processes(shell) if "flows.server.prefect_server" in _command(pid)]
            assert servers, "the embedded server is found by its command"
            for pid in servers:
                os.kill(pid, number)

        return self._run(shell, hit)

    def midway(self, name: str, change: Callable[[Door], None]) -> Story:
        """A run that loses the server for good when the first take is bought."""
        with door(self._server.url) as way:
            shell = self._place(f"midway-{name}", way.url_with(f"someone:{SECRET}"))
            return self._run(shell, lambda _: change(way))

    def back(self, away_s: float) -> Story:
        """A run that loses the server when the first take is bought; it is back some time after the last one."""
        with door(self._server.url) as way:
            shell = self._place("back", way.url)

            def leave(completed: Callable[[], int]) -> None:
                way.close()
                self._tools.wait_until(lambda: completed() == TAKES, 60)
                time.sleep(away_s)  # the absence itself
                way.open()

            return self._run(shell, leave, asks=True)

    def before(self, name: str, change: Callable[[Door], None]) -> Story:
        """A run to which the server is lost before it begins."""
        with door(self._server.url) as way:
            shell = self._place(f"before-{name}", way.url_with(f"someone:{SECRET}"))
            change(way)
            return replace(self._run(shell, None), tries=way.connections)

    def _place(self, name: str, url: str | None) -> Any:
        home = self._folder / name
        home.mkdir()
        more = {
            "WAVESPEED_API_KEY": self._tools.KEY,
            "WAVESPEED_BASE_URL": self._sandbox.url,
            "ANIMATIC_ACCOUNT_LEVEL": "ultra",
            "ANIMATIC_POLL_FLOOR_S": "0.2",
            "ANIMATIC_MAX_IN_FLIGHT": "2",
            "ANIMATIC_QUEUED_AHEAD": "0",
        }
        shell = self._tools.Shell(home, more | ({} if url is None else {"PREFECT_API_URL": url}))
        shell.rows = self._tools.read_rows
        return shell

    def _processes(self, shell: Any) -> list[int]:
        return self._tools.processes_with(f"HOME={shell.home}")

    def _run(self, shell: Any, hit: Callable[[Callable[[], int]], None] | None, *, asks: bool = False) -> Story:
        stem = shell.home.name
        rows = [{"prompt": f"<away {stem}> {number} {SLOW}"} for number in range(TAKES)]
        self._tools.write_manifest(shell.home / f"{stem}.csv", rows)
        table, before = shell.home / "out.parquet", 0

        def bought() -> int:
            return self._sandbox.submitted(f"<away {stem}>").total()

        def completed() -> int:
            return sum(row["status"] == "completed" for row in shell.rows(table)) if table.exists() else 0

        with self._starting:
            began = time.monotonic()
            process = shell.start("run", f"{stem}.csv", "--results", "out.parquet", "--json", is_warm=True)
            try:
                if hit is not None:
                    self._tools.wait_until(lambda: bought() or process.poll() is not None, 90)
                    before = bought()
            except BaseException:
                self._tools.kill_group(process)
                raise
        try:
            if hit is not None:
                hit(completed)
            try:
                stdout, stderr = process.communicate(timeout=ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"{stem}: has not ended after {ENDS_WITHIN_S:.0f} s") from None
            ended, took_s = time.time(), time.monotonic() - began
            left = self._processes(shell)
            deadline = time.monotonic() + 5
            while left and time.monotonic() < deadline:
                time.sleep(0.1)
                left = self._processes(shell)
        finally:
            self._tools.kill_group(process)
            for pid in self._processes(shell):
                os.kill(pid, signal.SIGKILL)
        state = self._state_of(stem) if asks else None
        return Story(shell, process.returncode, stdout, stderr, ended, took_s, bought(), before, left, state)

    def _state_of(self, stem: str) -> str:
        body = {"flow_runs": {"name": {"like_": f"{stem} "}}}
        (run,) = httpx.post(f"{self._server.url}/flow_runs/filter", json=body, timeout=30).json()
        return run["state_name"]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


CHANGES: dict[str, Callable[[Door], None]] = {
    "refuses": lambda way: way.close(),
    "hangs": lambda way: way.block(),
    "401": lambda way: way.answer(401),
    "403": lambda way: way.answer(403),
    "429": lambda way: way.answer(429),
}


SIGNALS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}

Told = Callable[[str], Story]


@pytest.fixture(scope="module")
def reported(
    tmp_path_factory: pytest.TempPathFactory, tools: Any, sandbox: Any, prefect_server: Any, migrated_home: Path
) -> Iterator[Told]:
    """Stories by their names; all of them begin with the first that is asked for."""
    stage = Stage(tmp_path_factory.mktemp("away"), tools, sandbox, prefect_server, migrated_home)
    makers: dict[str, Callable[[], Story]] = {
        "before 401": lambda: stage.before("401", CHANGES["401"]),
        "before 403": lambda: stage.before("403", CHANGES["403"]),
        "before refuses": lambda: stage.before("refuses", CHANGES["refuses"]),
        "before hangs late": lambda: stage.before("hangs-late", lambda way: way.let_pass(1, None)),
        "before 401 late": lambda: stage.before("401-late", lambda way: way.let_pass(1, 401)),
        "before hangs": lambda: stage.before("hangs", CHANGES["hangs"]),
        **{name: lambda n=number: stage.embedded(n) for name, number in SIGNALS.items()},
        **{f"midway {name}": lambda n=name: stage.midway(n, CHANGES[n]) for name in CHANGES},
        "back": lambda: stage.back(5.0),
    }
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(makers)))
        stories: dict[str, Future[Story]] = {name: pool.submit(make) for name, make in makers.items()}
        yield lambda name: stories[name].result(240)


def require_untouched(story: Story) -> None:
    """Everything is as it is with a Prefect that lives, but for one sentence; and the run was not held up for long."""
    assert story.code == 0, story.stderr
    assert [row["status"] for row in story.rows] == ["completed"] * TAKES
    assert story.bought == TAKES
    assert story.bought_before < TAKES, "there was nothing left to buy without Prefect"
    assert (line := json.loads(story.stdout))["completed"] == TAKES, line
    assert line["submitted"] == TAKES
    assert story.stderr.count(f"{TAKES} of {TAKES} completed\n") == 1
    assert story.stderr.count("results: out.parquet\n") == 1
    assert "Traceback" not in story.stderr
    assert story.held_up_s <= HOLDS_UP_S  # a minute is what is promised
    assert story.left == []


@pytest.mark.parametrize("how", SIGNALS)
def test_an_embedded_server_that_is_lost_midway_changes_one_sentence(reported: Told, how: str) -> None:
    story = reported(how)
    require_untouched(story)
    assert story.stderr.count(NOT_RECEIVED) == 1, story.stderr


@pytest.mark.parametrize("how", CHANGES)
def test_an_external_server_that_is_lost_midway_changes_one_sentence(reported: Told, how: str) -> None:
    story = reported(f"midway {how}")
    require_untouched(story)
    assert story.stderr.count(NOT_RECEIVED) == 1, story.stderr


def test_a_server_back_in_time_learns_how_the_run_ended(reported: Told) -> None:
    story = reported("back")
    require_untouched(story)
    assert NOT_RECEIVED not in story.stderr
    assert story.state == "Completed"


def require_refused(story: Story) -> None:
    assert story.code == 2, story.stderr
    assert "PREFECT_API_URL" in story.stderr.splitlines()[-1]
    assert "Traceback" not in story.stderr
    assert story.bought == 0
    assert not (story.shell.home / "out.parquet").exists()
    assert story.left == []


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_server_that_refuses_us_before_a_run_is_named_at_once(reported: Told, status: str) -> None:
    story = reported(f"before {status}")
    require_refused(story)
    assert f"answered HTTP {status}" in story.stderr
    assert story.tries <= 2, "one that is asked for a minute is asked dozens of times"


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_an_unreachable_server_is_named_after_a_minute(reported: Told, how: str) -> None:
    story = reported(f"before {how}")
    require_refused(story)
    assert "cannot be reached within 60 s" in story.stderr
    assert "waiting for Prefect at" in story.stderr
    assert story.tries >= (2 if how == "hangs" else 0), "it may come up yet"  # refused connections are not seen here


def test_a_server_that_refuses_us_after_the_check_is_named_at_once(reported: Told) -> None:
    story = reported("before 401 late")
    require_refused(story)
    assert "took no run" in story.stderr
    assert "did not begin" not in story.stderr, "its answer is named, not the end of a wait for it"


# Red on 50bd471: the check passes, Prefect's engine then waits for its flow run for minutes, and so does the command.
def test_a_server_that_hangs_after_the_check_is_named_in_time(reported: Told) -> None:
    story = reported("before hangs late")
    require_refused(story)
    assert story.took_s <= 2 * HOLDS_UP_S  # the seconds are the rule: Prefect would end the run too, minutes later


# Red on 50bd471 for "before 401 late": the last line on stderr quotes Prefect's error, which holds the URL as it is.
WITH_PASSWORD = ("before 401", "before 401 late", "before refuses", "before hangs", "midway 401", "midway refuses")


@pytest.mark.parametrize("when", WITH_PASSWORD)
def test_a_password_in_the_url_of_the_server_is_printed_nowhere(reported: Told, when: str) -> None:
    story = reported(when)
    assert SECRET not in story.stdout + story.stderr


# Red on c0f06b9: Prefect logs "View at http://someone:canary-prefect-password@…" when a flow run begins. The line
# is in the log file of a run in a terminal, and on the console of a deployed one, from where it gets into journals.
@pytest.mark.parametrize("when", [when for when in WITH_PASSWORD if when.startswith("midway")])
def test_a_password_in_the_url_of_the_server_is_logged_nowhere(reported: Told, when: str) -> None:
    story = reported(when)
    assert story.logged
    assert SECRET not in story.logged
