"""A deployed run that is suspended, resumed at once, or loses its worker: it stops on request, and only then.

One server, one worker and one sandbox for all of the module, each a process of its own on loopback; three runs.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployed import kill_all_of, login_of, reply_of, running
from lying import Answer, lying
from ports import free_port

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
STOPS_WITHIN_S = 5.0
RUNS = {"suspended": (40, "[sandbox:slow=4]"), "resumed": (12, ""), "orphaned": (12, "")}
"""Runs: their number of shots, and a scenario that makes the first last until it is stopped."""


@dataclass
class Throttle:
    """Between the runs and the sandbox: predictions of a closed run appear as still processed."""

    closed: set[str] = field(default_factory=set[str])
    _runs: dict[str, str] = field(default_factory=dict[str, str])

    def change(self, path: str, body: Any, ask: Callable[[], Answer]) -> Answer:
        answer = ask()
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            data = json.loads(answer[1])["data"]
            for name in RUNS:
                if name in str(body.get("prompt", "")):
                    self._runs[data["id"]] = name
            if self._runs.get(data["id"]) in self.closed:
                data = data | {"status": "processing", "outputs": [], "has_nsfw_contents": []}
                return answer[0], json.dumps({"code": 200, "message": "success", "data": data}).encode()
        return answer


@dataclass
class Installation:
    """The server, the worker and the three runs' deployments."""

    folder: Path
    api: str
    throttle: Throttle
    sandbox: Any
    tools: Any
    worker: "subprocess.Popen[bytes]"
    reader: "Reader"
    deployments: Mapping[str, str]
    servers: Sequence[int]

    def ask(self, path: str, body: Any = None) -> Any:
        return self.tools.wait_until(lambda: reply_of(f"{self.api}/{path}", body), 30)

    def start(self, name: str) -> str:
        """Start a run; its id."""
        shots, slow = RUNS[name]
        prompts = ({"prompt": f"{name} {number} <worker> {slow}"} for number in range(shots))
        self.tools.write_manifest(self.folder / f"{name}.csv", list(prompts))
        parameters = {
            "manifest": str(self.folder / f"{name}.csv"),
            "results": str(self.table(name)),
            "archive": "",
            "max_usd": 1_000,
        }
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return self.ask(f"deployments/{self.deployments[name]}/create_flow_run", body)["id"]

    def suspend(self, run: str) -> None:
        """Set the state that Prefect's own `suspend_flow_run` sets."""
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        details = {"pause_reschedule": True, "pause_timeout": until}
        state = {"type": "PAUSED", "name": "Suspended", "state_details": details}
        answer = self.ask(f"flow_runs/{run}/set_state", {"state": state, "force": False})
        assert answer["status"] == "ACCEPT", answer

    def state(self, run: str) -> tuple[str, str]:
        state = self.ask(f"flow_runs/{run}")["state"]
        return state["type"], state["name"]

    def table(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def statuses(self, name: str) -> list[str]:
        return [row["status"] for row in self.tools.read_rows(self.table(name))]

    def submitted(self, name: str) -> dict[str, int]:
        found: dict[str, int] = self.sandbox.submitted(f"{name} ")
        return {prompt: count for prompt, count in found.items() if "<worker>" in prompt}

    def processes(self) -> dict[int, str]:
        """All that live of what was started here, but for the server."""
        found: dict[int, str] = {}
        for pid in self.tools.processes_with(f"HOME={self.folder}"):
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        return {pid: command for pid, command in found.items() if pid not in self.servers}

    def flows(self, run: str) -> list[int]:
        """The processes of a flow run."""
        return self.tools.processes_with(f"PREFECT__FLOW_RUN_ID={run}")


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Any, tools: Any, prefect_server: Any, migrated_database: Path
) -> Iterator[Installation]:
    folder, throttle = tmp_path_factory.mktemp("worker"), Throttle()
    tools.copy_database(migrated_database, folder / "prefect/prefect.db")
    api = f"http://127.0.0.1:{(port := free_port())}/api"
    bare = login_of(folder) | {
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    }
    with ExitStack() as stack:
        stack.callback(kill_all_of, folder, tools)
        liar = stack.enter_context(lying(sandbox.url, throttle.change))
        log = stack.enter_context((folder / "server.log").open("ab"))
        server = [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", port]
        stack.enter_context(running(server, bare, log))
        tools.wait_until(lambda: reply_of(f"{api}/health"), 120)
        servers = tools.processes_with(f"HOME={folder}")
        more = {
            "PREFECT_API_URL": api,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "WAVESPEED_BASE_URL": liar.url,
            "WAVESPEED_API_KEY": tools.KEY,
            "ANIMATIC_ACCOUNT_LEVEL": "ultra",
            "ANIMATIC_POLL_FLOOR_S": "0.2",
            "ANIMATIC_MAX_IN_FLIGHT": "2",
            "ANIMATIC_QUEUED_AHEAD": "0",
            "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),
        }
        console = [PREFECT, "worker", "start", "--pool", "animatic", "--type", "process"]
        worker = stack.enter_context(running(console, bare | more, subprocess.PIPE))
        assert worker.stdout is not None
        reader = Reader(worker.stdout)
        stack.callback(reader.leave)
        tools.wait_until(lambda: reply_of(f"{api}/work_pools/animatic"), 60)
        deployments = _deploy(folder, bare | more, api, tools)
        yield Installation(folder, api, throttle, sandbox, tools, worker, reader, deployments, servers)


class Reader:
    """Reads a console along, until it leaves and closes it."""

    def __init__(self, console: Any) -> None:
        self._console, self._is_gone = console, threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        self._is_gone.set()
        self._thread.join()
        self._console.close()

    def _read(self) -> None:
        while not self._is_gone.is_set():
            if select.select([self._console], [], [], 0.1)[0] and not os.read(self._console.fileno(), 1 << 16):
                return


def _deploy(folder: Path, env: Mapping[str, str], api: str, tools: Any) -> dict[str, str]:
    """Deploy our own entry once for each run, each with a ledger of its own, so that they may overlap."""
    content = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())
    entry, *_ = content["deployments"]
    content["deployments"] = []
    for name in RUNS:
        variables = {"env": {"ANIMATIC_LEDGER": f"sqlite:///{folder / name}.sqlite"}}
        pool = {"name": "animatic", "job_variables": variables}
        content["deployments"].append(entry | {"name": name, "schedules": [], "work_pool": pool})
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump(content))
    command = [PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    subprocess.run(command, cwd=ROOT, env=dict(env), check=True, capture_output=True, timeout=90)
    return {
        name: tools.wait_until(lambda n=name: reply_of(f"{api}/deployments/name/animate/{n}"), 30)["id"]
        for name in RUNS
    }


@dataclass(frozen=True)
class Suspended:
    """Two suspended runs, of which one was resumed at once."""

    suspended: str
    resumed: str
    at: float
    bought: int
    """By the run that stays suspended, when it was suspended."""


@pytest.fixture(scope="module")
def suspended(installation: Installation) -> Suspended:
    tools, throttle = installation.tools, installation.throttle
    throttle.closed |= {"suspended", "resumed"}
    runs = {name: installation.start(name) for name in ("suspended", "resumed")}
    for name in runs:
        tools.wait_until(lambda n=name: len(installation.submitted(n)) == 2, 90)
    installation.suspend(runs["resumed"])
    time.sleep(0.3)  # faster than our own watch asks
    assert installation.ask(f"flow_runs/{runs['resumed']}/resume", {})["status"] == "ACCEPT"
    installation.suspend(runs["suspended"])
    at, bought = time.monotonic(), len(installation.submitted("suspended"))
    throttle.closed.clear()
    return Suspended(runs["suspended"], runs["resumed"], at, bought)


def test_a_suspended_run_stops_buying_within_five_seconds_and_stays_suspended(
    installation: Installation, suspended: Suspended
) -> None:
    time.sleep(max(suspended.at + STOPS_WITHIN_S - time.monotonic(), 0))  # the time that it has
    bought = len(installation.submitted("suspended"))
    installation.tools.wait_until(lambda: not installation.flows(suspended.suspended), 60)
    assert len(installation.submitted("suspended")) == bought
    assert installation.state(suspended.suspended) == ("PAUSED", "Suspended")
    statuses = installation.statuses("suspended")
    assert len(statuses) == RUNS["suspended"][0]
    assert set(statuses) <= {"completed", "pending"}
    rows = installation.tools.read_rows(installation.table("suspended"))
    assert sum(row["prediction_id"] is not None for row in rows) == bought


def test_a_run_resumed_at_once_buys_nothing_twice(installation: Installation, suspended: Suspended) -> None:
    tools = installation.tools
    state = tools.wait_until(lambda: _final(installation, suspended.resumed), 120)
    assert state == ("COMPLETED", "Completed")
    assert installation.worker.poll() is None, "it is needed for other runs"
    assert installation.statuses("resumed") == ["completed"] * RUNS["resumed"][0]
    assert list(installation.submitted("resumed").values()) == [1] * RUNS["resumed"][0]


def _final(installation: Installation, run: str) -> tuple[str, str] | None:
    state = installation.state(run)
    return state if state[0] in FINAL else None


def test_a_run_outlives_its_worker_and_its_console(installation: Installation, suspended: Suspended) -> None:
    tools = installation.tools
    tools.wait_until(lambda: _final(installation, suspended.resumed), 120)
    installation.throttle.closed.add("orphaned")
    run = installation.start("orphaned")
    tools.wait_until(lambda: len(installation.submitted("orphaned")) == 2, 60)
    assert installation.flows(run)
    installation.worker.kill()
    installation.worker.wait()
    installation.reader.leave()
    installation.throttle.closed.clear()

    assert tools.wait_until(lambda: _final(installation, run), 90) == ("COMPLETED", "Completed")
    assert installation.statuses("orphaned") == ["completed"] * RUNS["orphaned"][0]
    assert list(installation.submitted("orphaned").values()) == [1] * RUNS["orphaned"][0]
    tools.wait_until(lambda: not installation.processes(), 70)
