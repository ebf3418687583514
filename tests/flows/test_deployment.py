"""The deployment as an installation runs it: a Prefect server, a process worker, a schedule, a Secret block.

One server, one worker and one sandbox for all of the module, each a process of its own on loopback.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
import yaml
from deployed import login_of
from installed import installed
from PIL import Image
from ports import free_port

from animatic import read_results
from animatic.errors import SettingsError
from animatic.sandbox.witness import read_witness
from flows.server.serve import DEPLOYMENTS, read_deployments

ROOT = Path(__file__).parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
KEY = "canary-3f9a71c5-key"
RELATIVE = ("relative.csv", "relative.parquet")
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

T = TypeVar("T")


def _until(what: str, probe: Callable[[], T | None], deadline_s: float = 180.0, log: Path | None = None) -> T:
    ends = time.monotonic() + deadline_s
    while time.monotonic() < ends:
        if (found := probe()) is not None:
            return found
        time.sleep(0.1)
    pytest.fail(f"not within {deadline_s:.0f} s: {what}" + (f"\n{log.read_text()[-2_000:]}" if log else ""))


def _reply(url: str, body: Any = None) -> Any:
    """Return the reply to a GET, or to a POST with a body; None without one, or with an error (locked database)."""
    try:
        reply = httpx.post(url, json=body, timeout=10) if body else httpx.get(url, timeout=5)
    except httpx.TransportError:
        return None
    return reply.json() if reply.is_success else None


def _pids_of_session(session: int) -> list[int]:
    """Processes of a session that live, zombies aside."""
    pids: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(its_session) == session and state != "Z":
            pids.append(int(stat.parent.name))
    return pids


@contextmanager
def _running(
    command: Sequence[Any], log: Path, env: Mapping[str, str], cwd: Path = ROOT
) -> Generator["subprocess.Popen[bytes]"]:
    """A process in a session of its own; the whole session is gone afterwards."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        for pid in _pids_of_session(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def _environment(home: Path) -> dict[str, str]:
    """Nothing of ours but the paths of programs and temporary files: no key, no settings, an empty home folder."""
    home.mkdir()
    temporary = {"TMPDIR": os.environ["TMPDIR"]} if "TMPDIR" in os.environ else {}
    return temporary | login_of(home) | {"ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat()}


@dataclass(frozen=True)
class Installation:
    folder: Path
    api: str
    sandbox_folder: Path
    deployment: dict[str, Any]

    def manifest(self, name: str, *prompts: str) -> Path:
        path = self.folder / f"{name}.csv"
        rows = (f"https://stills.example/{name}-{row}.png,{prompt}\n" for row, prompt in enumerate(prompts))
        path.write_text("image,prompt\n" + "".join(rows))
        return path

    def trigger(self, manifest: Path, results: Path, max_usd: float = 1_000) -> str:
        body = {
            "parameters": {"manifest": str(manifest), "results": str(results), "max_usd": max_usd},
            "state": {"type": "SCHEDULED"},
            "idempotency_key": str(uuid4()),
        }
        return self.ask(f"deployments/{self.deployment['id']}/create_flow_run", body)["id"]

    def ask(self, path: str, body: Any = None) -> Any:
        return _until(f"an answer to {path}", lambda: _reply(f"{self.api}/{path}", body), deadline_s=20)

    def state(self, flow_run_id: str) -> dict[str, Any]:
        return self.ask(f"flow_runs/{flow_run_id}")["state"]

    def final_state(self, flow_run_id: str) -> dict[str, Any]:
        def probe() -> dict[str, Any] | None:
            state = self.state(flow_run_id)
            return state if state["type"] in FINAL else None

        return _until(f"flow run {flow_run_id} is over", probe)

    def submissions(self) -> int:
        return len(read_witness(self.sandbox_folder))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    api = f"http://127.0.0.1:{(port := free_port())}/api"
    with ExitStack() as stack:

        def start(name: str, command: Sequence[Any], env: Mapping[str, str]) -> None:
            stack.enter_context(_running(command, folder / f"{name}.log", env))

        server = _environment(folder / "server") | {
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        }
        start("server", [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", port], server)
        sandbox_folder = folder / "sandbox"
        command = ["-m", "animatic.sandbox", "--folder", sandbox_folder, "--inference-s", "0.2", "--no-render"]
        start("sandbox", [sys.executable, *command, "--key", KEY], _environment(folder / "sandbox-home"))
        ready = _until("the sandbox is ready", lambda: _ready(folder / "sandbox.log"))
        (folder / "sandbox.log").unlink()  # it names its key, as it must
        _until("the server is ready", lambda: _reply(f"{api}/health"), log=folder / "server.log")

        operator = _environment(folder / "operator") | {"PREFECT_API_URL": api}
        worker = _environment(folder / "worker") | {
            "PREFECT_API_URL": api,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "WAVESPEED_BASE_URL": ready["url"],
            "ANIMATIC_LEDGER": f"sqlite:///{folder / 'ledger.sqlite'}",
            "ANIMATIC_ACCOUNT_LEVEL": "ultra",
            "ANIMATIC_POLL_FLOOR_S": "0.2",
        }
        worker_command = ["worker", "start", "--pool", "animatic", "--type", "process"]
        start("worker", [PREFECT, *worker_command], worker)  # also makes the pool
        _store_key(api)
        _until("the work pool is there", lambda: _reply(f"{api}/work_pools/animatic"))
        pool = {"name": "animatic-media", "type": "process"}
        _until("so is that of media", lambda: _reply(f"{api}/work_pools/", pool))
        deploy = [PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml"]
        subprocess.run(deploy, cwd=ROOT, env=operator, check=True, capture_output=True, timeout=60)
        deployment = _until("it is deployed", lambda: _reply(f"{api}/deployments/name/animate/demo"))
        yield Installation(folder, api, sandbox_folder, deployment)


def _ready(log: Path) -> dict[str, Any] | None:
    line, newline, _ = log.read_text().partition("\n")
    return json.loads(line) if newline else None


def _store_key(api: str) -> None:
    from prefect.blocks.system import Secret  # noqa: PLC0415 - slow, for this module only
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - the same

    with temporary_settings({PREFECT_API_URL: api}):
        Secret(value=KEY).save("wavespeed-api-key")  # pyright: ignore[reportUnusedCoroutine] - saved when called from here


@pytest.fixture(scope="module")
def first_run(installation: Installation) -> tuple[Path, Path]:
    """A manifest that was run, and its results."""
    manifest = installation.manifest("storm", "push in", "pull out", "pan left")
    results = installation.folder / "storm.parquet"
    state = installation.final_state(installation.trigger(manifest, results))
    assert (state["type"], state["name"]) == ("COMPLETED", "Completed"), state
    return manifest, results


def test_a_deployed_run_buys_with_the_key_of_the_block(
    installation: Installation, first_run: tuple[Path, Path]
) -> None:
    frame = read_results(str(first_run[1]))
    assert list(frame["status"]) == ["completed"] * 3
    bought = [each for each in read_witness(installation.sandbox_folder) if "storm" in str(each)]
    assert len(bought) == 3


def test_a_second_run_of_a_manifest_submits_nothing(installation: Installation, first_run: tuple[Path, Path]) -> None:
    before = installation.submissions()
    results = installation.folder / "storm-again.parquet"
    state = installation.final_state(installation.trigger(first_run[0], results, max_usd=0))
    assert (state["name"], installation.submissions()) == ("Completed", before), state
    assert list(read_results(str(results))["cached"]) == [True] * 3


def test_relative_paths_of_a_deployed_run_follow_its_pull_step(
    installation: Installation,
) -> None:
    (installation.folder / "own").mkdir()
    still = installation.folder / "own/still.png"
    Image.new("RGB", (320, 180), "navy").save(still)
    (installation.folder / "own/relative.csv").write_text("image,prompt\nstill.png,relative: push in\n")
    manifest, results = (os.path.relpath(installation.folder / "own" / name, ROOT) for name in RELATIVE)
    state = installation.final_state(installation.trigger(Path(manifest), Path(results)))
    assert (state["type"], state["name"]) == ("COMPLETED", "Completed"), state
    assert {path.name for path in still.parent.iterdir()} == {"still.png", "relative.clips", *RELATIVE}
    (row,) = read_results(str(installation.folder / "own" / RELATIVE[1])).to_dict("records")
    assert (row["status"], row["prompt"]) == ("completed", "relative: push in")


def test_a_run_with_an_invalid_manifest_is_refused_and_buys_nothing(installation: Installation) -> None:
    before = installation.submissions()
    manifest = installation.manifest("faulty", "push in", "")
    state = installation.final_state(installation.trigger(manifest, installation.folder / "faulty.parquet"))
    assert (state["type"], state["name"]) == ("FAILED", "Refused")
    assert "faulty.csv:3" in state["message"]
    assert installation.submissions() == before


def test_a_cancelled_run_writes_its_table_and_overlaps_are_refused(installation: Installation) -> None:
    log = installation.folder / "worker.log"
    before, completed_before = installation.submissions(), log.read_text().count("take 1: completed")
    manifest = installation.manifest("slow", "push in", *["pan left [sandbox:slow=600]"] * 3)
    results = installation.folder / "slow.parquet"
    slow = installation.trigger(manifest, results)
    _until("all is submitted", lambda: True if installation.submissions() == before + 4 else None)

    overlapping = installation.folder / "overlapping.parquet"
    state = installation.final_state(installation.trigger(manifest, overlapping))
    assert (state["type"], state["message"]) == ("CANCELLED", "Deployment concurrency limit reached.")

    _until("one is completed", lambda: log.read_text().count("take 1: completed") > completed_before or None)
    assert installation.state(slow)["type"] == "RUNNING"
    assert installation.ask(f"flow_runs/{slow}/set_state", {"state": {"type": "CANCELLING"}})["status"] == "ACCEPT"
    assert installation.final_state(slow)["type"] == "CANCELLED"
    assert list(read_results(str(results))["status"]) == ["completed", "pending", "pending", "pending"]
    assert not overlapping.exists()
    assert installation.submissions() == before + 4


def test_the_key_of_the_block_is_nowhere_else(installation: Installation, first_run: tuple[Path, Path]) -> None:
    files = [path for path in installation.folder.rglob("*") if path.is_file()]
    contents = {path: path.read_bytes() for path in files}
    of_server = [path for path in files if path.name.startswith("prefect.db")]
    assert any(b"storm.csv" in contents[path] for path in of_server), "what the server stores can be found like this"
    assert b"submitted as" in contents[installation.folder / "worker.log"]
    assert [path for path, content in contents.items() if KEY.encode() in content] == []


def test_each_deployment_on_the_server_is_what_the_file_says(installation: Installation) -> None:
    entry, *_ = read_deployments(DEPLOYMENTS)
    deployment = installation.deployment
    assert deployment["entrypoint"] == entry["entrypoint"] == "flows.animate.animate"
    assert deployment["parameters"] == entry["parameters"]
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert [schedule["schedule"]["cron"] for schedule in deployment["schedules"]] == ["0 2 * * *"]
    assert [step for each in deployment["pull_steps"] for step in each.values()] == [{"directory": str(ROOT)}]


def test_the_server_plans_the_runs_of_the_schedule(installation: Installation) -> None:
    query = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}

    runs = _until("runs are planned", lambda: installation.ask("flow_runs/filter", query) or None, deadline_s=30)
    assert {run["expected_start_time"][10:19] for run in runs} == {"T02:00:00"}


def test_each_entrypoint_loads_the_code_of_this_checkout() -> None:
    from prefect.flows import load_flow_from_entrypoint  # noqa: PLC0415 - slow, for this test only

    for entry in read_deployments(DEPLOYMENTS):
        flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
        assert entry["entrypoint"] == f"flows.{flow.name}.{flow.name}"
        assert flow.fn.__code__.co_filename == str(ROOT / f"flows/{flow.name}.py")
    for package in ("flows", "tasks", "animatic"):
        assert Path(sys.modules[package].__file__ or "").parent == ROOT / package


def test_each_deployment_says_what_it_does_and_what_it_may_cost() -> None:
    for entry in read_deployments(DEPLOYMENTS):
        assert entry["description"]
        assert "animatic" in entry["tags"]
        if "buys" in entry["tags"]:
            assert entry["parameters"]["max_usd"] == 0, "nothing until someone says how much"


def test_each_deployment_with_a_schedule_has_one_run_at_once() -> None:
    entries = [entry for entry in read_deployments(DEPLOYMENTS) if entry.get("schedules")]
    assert all(entry["concurrency_limit"]["limit"] == 1 for entry in entries)
    active = {entry["name"] for entry in entries if any(each.get("active", True) for each in entry["schedules"])}
    assert active == {"demo"}, "the others wait to be switched on"


def test_each_parameter_is_described_in_the_form() -> None:
    from prefect.flows import load_flow_from_entrypoint  # noqa: PLC0415 - slow, for these tests only
    from prefect.utilities.callables import parameter_schema  # noqa: PLC0415 - the same

    for entry in read_deployments(DEPLOYMENTS):
        schema = parameter_schema(load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False))
        assert all(each.get("description") for each in schema.properties.values()), entry["name"]
        assert set(entry.get("parameters", {})) <= set(schema.properties)
        for name, each in schema.properties.items():
            said = each["description"]
            assert said[0].isupper(), f"{entry['name']}: {name}: {said}"
            assert said.endswith("."), f"{entry['name']}: {name}: {said}"
            assert "*" not in re.sub("`[^`]*`", "", said), f"the form reads Markdown: {name}: {said}"


def test_a_parameter_with_fixed_values_is_a_choice_in_the_form() -> None:
    from flows.inbox import inbox  # noqa: PLC0415 - imports Prefect

    suffix = inbox.parameters.properties["suffix"]
    assert (suffix["enum"], suffix["default"]) == ([".parquet", ".csv", ".jsonl", ".xlsx"], ".parquet")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("deployments: [{name: a, entrypoint: b, triggers: []}]", "deployment a: found triggers"),
        ("deployments: [{name: a}]", "deployment a: has no entrypoint"),
        ("deployments: []", "has no deployments"),
        ("name: x", "cannot be read"),
        ("a: [", "cannot be read"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_reason(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=said):
        read_deployments(path)


def test_an_installed_serve_has_its_own_server_and_leaves_nothing_behind(tmp_path: Path) -> None:
    animatic, folder, out = installed(tmp_path / "installed").animatic, tmp_path / "empty", tmp_path / "out"
    folder.mkdir()
    env = _environment(tmp_path / "home")
    subprocess.run([animatic, "init"], cwd=folder, env=env, check=True, capture_output=True)
    file = folder / "prefect.yaml"
    content = yaml.safe_load(file.read_text())
    content["deployments"][0]["schedules"] = [{"interval": 3_600}]
    file.write_text(yaml.safe_dump(content))
    with _running([animatic, "serve", "--only", "shots"], out, env, folder) as process:
        said = _until("it serves", lambda: text if (text := out.read_text()).count("\n") > 3 else None)
        where, _, sign_in, serving = said.splitlines()
        assert serving == "serving until Ctrl-C: animate/shots (every 3600 s)"
        ui = where.removeprefix("Prefect's UI: ")
        api = f"{ui}/api"
        assert httpx.get(f"{api}/deployments/name/animate/shots").status_code == 401
        typed = f'{sign_in}; printf %s "$PREFECT_API_AUTH_STRING"'
        user, _, password = subprocess.check_output(["sh", "-c", typed], text=True).partition(":")
        found = httpx.get(f"{api}/deployments/name/animate/shots", auth=(user, password))
        deployment = found.json()
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["parameters"] == read_deployments(file)[0]["parameters"]
        assert httpx.get(ui, follow_redirects=True, timeout=10).text.startswith("<!DOCTYPE html>")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children
        process.terminate()
        assert process.wait(30) == 0
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert _reply(f"{api}/health") is None
    assert "Traceback" not in out.read_text()
