"""Deployed runs that nobody watches: they ask for approval, die and are taken over, and tell people.

One server, one sandbox and one worker after another for all of the module, each a process of its own on loopback.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployed import kill_all_of, login_of, reply_of, running
from ports import free_port

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

ROOT = Path(__file__).parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
DEPLOYMENTS = ("approved", "unanswered")
OPTIONS = ("--lost-after", "15", "--most-starts", "20", "--notify", "custom-webhook/film")
SECRET = "canary-8d1f-path"


class Receiver(ThreadingHTTPServer):
    """A webhook on loopback: keeps what it is sent; `/broken/…` answers 500."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.received: list[dict[str, Any]] = []
        self.refused = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_broken = self.path.startswith("/broken")
        if is_broken:
            self.server.refused += 1
        else:
            self.server.received.append(json.loads(body))
        self.send_response(500 if is_broken else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        del format, args


@dataclass
class Installation:
    """The server, its deployments, the sandbox, and the worker of the moment."""

    folder: Path
    api: str
    sandbox: Any
    tools: Any
    receiver: Receiver
    environment: Mapping[str, str]
    stack: ExitStack
    deployments: dict[str, str] = field(default_factory=dict[str, str])
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list["subprocess.Popen[bytes]"])

    def ask(self, path: str, body: Any = None) -> Any:
        return self.tools.wait_until(lambda: reply_of(f"{self.api}/{path}", body), 60)

    def work(self) -> None:
        """Start a worker, which stays until the module is over, or it is killed."""
        command = [PREFECT, "worker", "start", "--pool", "animatic", "--type", "process"]
        log = self.stack.enter_context((self.folder / f"worker-{len(self.workers)}.log").open("ab"))
        self.workers.append(self.stack.enter_context(running(command, self.environment, log)))

    def manifest(self, name: str, shots: int, scenario: str = "") -> Path:
        path = self.folder / f"{name}.csv"
        prompts = [{"prompt": f"{name} {number} <unattended> {scenario}"} for number in range(shots)]
        self.tools.write_manifest(path, prompts)
        return path

    def start(self, name: str, **parameters: Any) -> str:
        given = {"manifest": str(self.folder / f"{name}.csv"), "results": str(self.table(name)), "archive": ""}
        body = {"parameters": given | parameters, "state": {"type": "SCHEDULED"}}
        return self.ask(f"deployments/{self.deployments[name]}/create_flow_run", body)["id"]

    def table(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def statuses(self, name: str) -> list[str]:
        return [row["status"] for row in self.tools.read_rows(self.table(name))]

    def state(self, run: str) -> dict[str, Any]:
        return self.ask(f"flow_runs/{run}")["state"]

    def suspended(self, run: str, key: str) -> dict[str, Any]:
        """The state in which a run waits for the answer to this question."""

        def probe() -> dict[str, Any] | None:
            state = self.state(run)
            assert state["type"] not in FINAL, state
            return state if state["state_details"].get("pause_key") == key else None

        return self.tools.wait_until(probe, 120)

    def ended(self, run: str, name: str) -> dict[str, Any]:
        """The state of a run that has ended under this name."""
        return self.tools.wait_until(lambda: state if (state := self.state(run))["name"] == name else None, 150)

    def input(self, run: str, key: str) -> Any:
        return self.ask(f"flow_runs/{run}/input/{key}")

    def suggested(self, state: Mapping[str, Any], run: str) -> float:
        """The sum that the form suggests."""
        form = self.input(run, state["state_details"]["run_input_keyset"]["schema"])
        return form["properties"]["max_usd"]["default"]

    def answer(self, run: str, **values: Any) -> str:
        return self.ask(f"flow_runs/{run}/resume", {"run_input": values})["status"]

    def submitted(self, name: str) -> dict[str, int]:
        found: dict[str, int] = self.sandbox.submitted(f"{name} ")
        return {prompt: count for prompt, count in found.items() if "<unattended>" in prompt}

    def processes(self, run: str) -> list[int]:
        return self.tools.processes_with(f"PREFECT__FLOW_RUN_ID={run}")

    def told(self, subject: str, words: str) -> bool:
        return any(each["title"] == f"animatic: {subject}" and words in each["text"] for each in self.receiver.received)


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Any, tools: Any, prefect_server: Any, migrated_database: Path
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("unattended")
    tools.copy_database(migrated_database, folder / "prefect/prefect.db")
    api = f"http://127.0.0.1:{(port := free_port())}/api"
    bare = login_of(folder) | {
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "1",
    }
    more = {
        "PREFECT_API_URL": api,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "WAVESPEED_BASE_URL": sandbox.url,
        "WAVESPEED_API_KEY": tools.KEY,
        "ANIMATIC_ACCOUNT_LEVEL": "ultra",
        "ANIMATIC_POLL_FLOOR_S": "0.2",
        "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),
    }
    with ExitStack() as stack:
        stack.callback(kill_all_of, folder, tools)
        receiver = Receiver()
        stack.callback(receiver.server_close)
        stack.callback(receiver.shutdown)
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        log = stack.enter_context((folder / "server.log").open("ab"))
        server = [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", port]
        stack.enter_context(running(server, bare, log))
        tools.wait_until(lambda: reply_of(f"{api}/health"), 120)
        found = Installation(folder, api, sandbox, tools, receiver, bare | more, stack)
        found.work()
        _save_blocks(found)
        tools.wait_until(lambda: reply_of(f"{api}/work_pools/animatic"), 120)
        assert _set_up(found, *OPTIONS) == 0
        _deploy(found)
        yield found


def _set_up(found: Installation, *arguments: str) -> int:
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - slow, for this module only

    from flows.server.automations import main  # noqa: PLC0415 - the same

    with temporary_settings({PREFECT_API_URL: found.api}):
        return main(arguments)


def _save_blocks(found: Installation) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock  # noqa: PLC0415 - slow
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - the same

    data = {"title": "{{subject}}", "text": "{{body}}"}
    with temporary_settings({PREFECT_API_URL: found.api}):
        for name in ("film", "broken"):
            url = f"{found.receiver.url}/{name}/{SECRET}"
            block = CustomWebhookNotificationBlock(name=name, url=url, json_data=data, headers=None, cookies=None)
            block.save(name)  # pyright: ignore[reportUnusedCoroutine] - saved when called from here


def _deploy(found: Installation) -> None:
    """Deploy our own entry once for each run, each with a ledger of its own, so that they may overlap."""
    content = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())
    entry = next(each for each in content["deployments"] if each["entrypoint"] == "flows.animate.animate")
    content["deployments"] = []
    for name in DEPLOYMENTS:
        variables = {"env": {"ANIMATIC_LEDGER": f"sqlite:///{found.folder / name}.sqlite"}}
        pool = {"name": "animatic", "job_variables": variables}
        content["deployments"].append(entry | {"name": name, "schedules": [], "work_pool": pool, "parameters": {}})
    file = found.folder / "prefect.yaml"
    file.write_text(yaml.safe_dump(content))
    command = [PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    subprocess.run(command, cwd=ROOT, env=dict(found.environment), check=True, capture_output=True, timeout=120)
    for name in DEPLOYMENTS:
        deployment = found.tools.wait_until(lambda n=name: reply_of(f"{found.api}/deployments/name/animate/{n}"), 30)
        found.deployments[name] = deployment["id"]


@dataclass(frozen=True)
class Approved:
    """A run that asked twice, was approved, and was killed with its worker while it bought.

    Attributes:
        refusals: answers to a Resume without a form, and with more than the run's own limit.
        bought: takes submitted while it waited, before each approval.
        description: of the second form.
        killed_at: by the clock of this machine, which is the server's too.
    """

    run: str
    refusals: Sequence[str]
    bought: Sequence[int]
    description: str
    killed_at: datetime


@pytest.fixture(scope="module")
def unanswered(installation: Installation) -> str:
    installation.manifest("unanswered", 3)
    return installation.start("unanswered", approve_above_usd=0.01, approve_within_hours=0.001)


@pytest.fixture(scope="module")
def approved(installation: Installation, unanswered: str) -> Approved:
    found, bought = installation, list[int]()
    found.manifest("approved", 3, "[sandbox:slow=3]")
    run = found.start("approved", max_usd=1_000, approve_above_usd=0.01)
    cost = found.suggested(found.suspended(run, "approval-1"), run)
    found.tools.wait_until(lambda: not found.processes(run), 60)
    bought.append(len(found.submitted("approved")))
    refusals = [found.answer(run), found.answer(run, decision="approve", max_usd=1_001)]
    found.manifest("approved", 5, "[sandbox:slow=3]")
    assert found.answer(run, decision="approve", max_usd=cost, note="Ana") == "ACCEPT"

    state = found.suspended(run, "approval-2")
    description = found.input(run, state["state_details"]["run_input_keyset"]["description"])
    bought.append(len(found.submitted("approved")))
    assert found.answer(run, decision="approve") == "ACCEPT", "the sum is the suggested one"
    found.tools.wait_until(lambda: len(found.submitted("approved")) >= 2, 120)
    found.workers[0].kill()
    for pid in found.processes(run):
        os.kill(pid, signal.SIGKILL)
    killed_at = datetime.now(UTC)
    found.workers[0].wait()
    found.work()
    return Approved(run, refusals, bought, description, killed_at)


def test_a_plan_that_needs_approval_waits_without_a_process_and_buys_nothing(
    installation: Installation, approved: Approved
) -> None:
    assert approved.refusals == ["REJECT", "REJECT"], "Resume alone is no approval, nor is more than max_usd"
    assert approved.bought == [0, 0]
    assert installation.told("a run waits for approval", "buy 3 takes")


def test_a_plan_that_grew_while_it_waited_asks_again(installation: Installation, approved: Approved) -> None:
    assert "were approved, less than it costs" in approved.description
    assert "buy 5 takes" in approved.description


def test_an_approval_that_nobody_gives_is_a_refusal(installation: Installation, unanswered: str) -> None:
    state = installation.ended(unanswered, "Refused")
    assert state["type"] == "FAILED"
    assert "neither approved nor resumed" in state["message"]
    assert installation.submitted("unanswered") == {}
    installation.tools.wait_until(lambda: installation.told("did not end well", "neither approved"), 30)


def test_a_run_killed_with_its_worker_is_taken_over_within_its_approval(
    installation: Installation, approved: Approved
) -> None:
    assert installation.ended(approved.run, "Completed")["type"] == "COMPLETED"
    assert installation.statuses("approved") == ["completed"] * 5
    assert list(installation.submitted("approved").values()) == [1] * 5
    states = installation.ask(f"flow_run_states/?flow_run_id={approved.run}")
    names = [each["name"] for each in states]
    began = [datetime.fromisoformat(each["timestamp"]) for each in states if each["type"] == "RUNNING"]
    # Two minutes are what is promised, of Prefect's own record: the tests in between do not count.
    assert 0 < (max(began) - approved.killed_at).total_seconds() < 120
    assert {"Lost", "Crashed", "AwaitingRetry"} <= set(names)
    assert names.count("Suspended") == 2, "the approval outlives the process"
    installation.tools.wait_until(lambda: installation.told("did not end well", "Crashed"), 30)
    installation.tools.wait_until(lambda: installation.told("finished", "5 of 5 completed"), 30)


def test_automations_set_up_again_stay_as_they_were(
    installation: Installation, approved: Approved, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _set_up(installation, *OPTIONS) == 0
    assert {line.partition(":")[0] for line in capsys.readouterr().out.splitlines()} == {"as it was"}
    assert _set_up(installation, *OPTIONS, "--on", "failure,held") == 0
    assert sum(line.startswith("removed: ") for line in capsys.readouterr().out.splitlines()) == 3


def test_a_notifier_that_fails_is_told_without_its_address(
    installation: Installation, approved: Approved, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _set_up(installation, *OPTIONS, "--notify", "custom-webhook/broken", "--test") == 3
    shown = capsys.readouterr()
    assert "custom-webhook/broken: the test message was not taken" in shown.err
    assert SECRET not in shown.out + shown.err
    assert installation.told("a test", "reported")
    assert installation.receiver.refused == 1
    logs = [path.read_text() for path in installation.folder.glob("worker-*.log")]
    assert not any(SECRET in each for each in logs)
    assert _set_up(installation, "--notify", "custom-webhook/none") == 2
