"""Several `run --sandbox` at once, of one home and of two; and `animatic sandbox` afterwards.

The first user's runs have Prefect servers of their own too, the second's share one.

Each home has the data of one user. Port 8787 is taken for as long as the runs last, by this test or by a neighbour.
"""

import contextlib
import json
import os
import signal
import socket
import urllib.request
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from animatic.sandbox.witness import read_witness

pytestmark = pytest.mark.timeout(600)

USUAL_PORT = 8787


@dataclass(frozen=True)
class User:
    """A home, and the runs that were begun in it."""

    shell: Any
    tools: Any

    @property
    def state(self) -> Path:
        return self.shell.home / ".local/share/animatic/sandbox"

    def start(self, name: str, *prompts: str) -> Any:
        self.tools.write_manifest(self.shell.home / f"{name}.csv", [{"prompt": each} for each in prompts])
        return self.shell.start("run", f"{name}.csv", "--results", f"{name}.parquet", "--sandbox")

    def rows(self, name: str) -> list[dict[str, Any]]:
        return self.tools.read_rows(self.shell.home / f"{name}.parquet")

    def prompts(self) -> list[str]:
        return sorted(each.inputs["prompt"] for each in read_witness(self.state)) if self.state.exists() else []


@dataclass(frozen=True)
class Together:
    """Runs of two users, as they ended."""

    first: User
    second: User
    codes: dict[str, int]
    reported: dict[str, str]
    outlived: dict[str, bool]
    left: dict[str, list[int]]


PROMPTS = {
    "early": ("early: push in", "early: pan left"),
    "killed": ("killed: push in", "killed: never [sandbox:slow=600]"),
    "late": ("late: push in", "late: tilt up [sandbox:slow=25]"),
    "other": ("other: push in", "other: pan left"),
    "last": ("last: push in", "last: tilt up [sandbox:slow=30]"),
}


@contextlib.contextmanager
def usual_port_taken() -> Generator[None]:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a neighbouring test has it
            stack.enter_context(socket.create_server(("127.0.0.1", USUAL_PORT)))
        yield


@pytest.fixture(scope="module")
def users(
    tmp_path_factory: pytest.TempPathFactory, prefect_server: Any, migrated_database: Path, tools: Any
) -> list[User]:
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    tools.copy_database(migrated_database, first / ".prefect/prefect.db")
    shared = {"PREFECT_API_URL": prefect_server.url, "PREFECT_HOME": str(prefect_server.home)}
    return [User(tools.Shell(first), tools), User(tools.Shell(second, shared), tools)]


@pytest.fixture(scope="module")
def together(users: list[User], tools: Any) -> Iterator[Together]:
    """`killed` starts the first user's sandbox and is killed; `early` ends while `late`, begun last, is under way.

    The second user's is started by `other`, which ends in peace, long before `last`.
    """
    first, second = users
    processes: dict[str, Any] = {}
    reported: dict[str, str] = {}
    outlived: dict[str, bool] = {}

    def end(name: str) -> None:
        reported[name] = processes[name].communicate(timeout=240)[1]

    try:
        with usual_port_taken():
            processes["killed"] = first.start("killed", *PROMPTS["killed"])
            tools.wait_until(lambda: len(first.prompts()) == 2, 120)
            for name, user in (("early", first), ("late", first), ("other", second)):
                processes[name] = user.start(name, *PROMPTS[name])
            tools.wait_until(lambda: len(first.prompts()) >= 4 and second.prompts(), 120)
            processes["last"] = second.start("last", *PROMPTS["last"])
            os.kill(processes["killed"].pid, signal.SIGKILL)
            for name in ("killed", "early", "other"):
                end(name)
            for name in ("late", "last"):
                outlived[name] = processes[name].poll() is None
                end(name)
        homes = {"first": first.shell.home, "second": second.shell.home}
        left = {name: _left(tools, home) for name, home in homes.items()}
        codes = {name: process.returncode for name, process in processes.items()}
        yield Together(first, second, codes, reported, outlived, left)
    finally:
        for process in processes.values():
            if process.poll() is None:
                tools.kill_group(process)


def _left(tools: Any, home: Path) -> list[int]:
    """Processes of this home that are still there after a while."""
    with contextlib.suppress(AssertionError):
        tools.wait_until(lambda: not tools.processes_with(f"HOME={home}"), 20)
    return tools.processes_with(f"HOME={home}")


@pytest.mark.parametrize("name", ["early", "late", "other", "last"])
def test_runs_that_share_a_sandbox_all_end_well(together: Together, name: str) -> None:
    assert together.codes[name] == 0, together.reported[name]
    user = together.second if name in {"other", "last"} else together.first
    assert [row["status"] for row in user.rows(name)] == ["completed"] * len(PROMPTS[name])


def test_a_run_that_outlives_the_one_that_started_its_sandbox_keeps_it(together: Together) -> None:
    assert together.codes["killed"] == -signal.SIGKILL
    assert together.outlived == {"late": True, "last": True}, "they were meant to end last"
    assert (together.codes["late"], together.codes["last"]) == (0, 0), (
        together.reported["late"] + together.reported["last"]
    )


def test_a_shared_sandbox_has_seen_each_take_once(together: Together) -> None:
    assert together.first.prompts() == sorted(
        prompt for name in ("early", "killed", "late") for prompt in PROMPTS[name]
    )
    assert together.second.prompts() == sorted((*PROMPTS["other"], *PROMPTS["last"]))


def test_no_process_is_left_of_runs_that_shared_a_sandbox(together: Together) -> None:
    assert together.left == {"first": [], "second": []}


@pytest.mark.parametrize(("whose", "names"), [("first", ("early", "late")), ("second", ("other", "last"))])
def test_the_sandbox_of_a_run_serves_its_outputs_afterwards(
    together: Together, tools: Any, whose: str, names: tuple[str, ...]
) -> None:
    user: User = getattr(together, whose)
    process = user.shell.start("sandbox")
    try:
        ready = json.loads(process.stdout.readline())
        assert Path(ready["folder"]) == user.state
        for name in names:
            with urllib.request.urlopen(user.rows(name)[0]["output_url"], timeout=120) as reply:
                assert (reply.status, reply.headers["Content-Type"]) == (200, "video/mp4")
                assert reply.read(12)[4:8] == b"ftyp"
    finally:
        tools.kill_group(process)
    assert _left(tools, user.shell.home) == []
