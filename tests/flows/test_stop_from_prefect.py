"""Prefect says stop to a run that was started in a terminal: it ends buying, writes its table, and says so there."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.timeout(240)

PREFECT = Path(sys.executable).with_name("prefect")
SHOTS = 60
SLOW = "[sandbox:slow=4]"
"""With two in flight, one is bought each 0.6 s: the whole would take 36 s."""

STOPS_WITHIN_S = 5.0


@dataclass(frozen=True)
class Stopped:
    """A run that Prefect stopped."""

    code: int
    stdout: str
    stderr: str
    rows: list[dict[str, Any]]
    bought_in_time: int
    """Submissions that were accepted until five seconds after Prefect had the wish."""
    bought: int
    prompts: set[int]
    """Acceptances of each prompt."""
    state: dict[str, Any]


def cancel(url: str, home: Path, run: str) -> None:
    command = [str(PREFECT), "flow-run", "cancel", run]
    env = {"PATH": str(PREFECT.parent), "HOME": str(home), "PREFECT_API_URL": url, "DO_NOT_TRACK": "1"}
    said = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=60, check=True)
    assert "success" in said.stdout


def suspend(url: str, home: Path, run: str) -> None:
    """Do as the button in the UI does."""
    details = {"pause_reschedule": True, "pause_timeout": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    state = {"type": "PAUSED", "name": "Suspended", "state_details": details}
    answer = httpx.post(f"{url}/flow_runs/{run}/set_state", json={"state": state, "force": True}, timeout=20).json()
    assert answer["status"] == "ACCEPT", answer


WISHES = {"cancel": cancel, "suspend": suspend}


@pytest.fixture(scope="module")
def stopped(
    tmp_path_factory: pytest.TempPathFactory, prefect_server: Any, sandbox: Any, tools: Any
) -> Iterator[Callable[[str], Stopped]]:
    """Both runs, at once."""
    folder, starting = tmp_path_factory.mktemp("stops"), threading.Lock()

    def stop(wish: str) -> Stopped:
        home, tag = folder / wish, f"<stop {wish}>"
        home.mkdir()
        more = {
            "WAVESPEED_API_KEY": tools.KEY,
            "WAVESPEED_BASE_URL": sandbox.url,
            "ANIMATIC_ACCOUNT_LEVEL": "ultra",
            "ANIMATIC_POLL_FLOOR_S": "0.1",
            "ANIMATIC_MAX_IN_FLIGHT": "2",
            "ANIMATIC_QUEUED_AHEAD": "0",
            "PREFECT_API_URL": prefect_server.url,
            "PREFECT_HOME": str(prefect_server.home),
        }
        shell = tools.Shell(home, more)
        prompts = ({"prompt": f"{tag} {number} {SLOW}"} for number in range(SHOTS))
        tools.write_manifest(home / f"{wish}.csv", list(prompts))
        with starting:
            process = shell.start("run", f"{wish}.csv", "--results", "out.parquet", "--json", is_warm=True)
            tools.wait_until(lambda: len(sandbox.submitted(tag)) >= 3 or process.poll() is not None, 60)
        try:
            WISHES[wish](prefect_server.url, home, _run(prefect_server.url, wish)["id"])
            at = time.monotonic()
            stdout = stderr = ""
            time.sleep(STOPS_WITHIN_S)  # the time that it has
            bought = sandbox.submitted(tag).total()
            stdout, stderr = process.communicate(timeout=max(at + 60 - time.monotonic(), 0))
        finally:
            tools.kill_group(process)
        found = sandbox.submitted(tag)
        rows, state = tools.read_rows(home / "out.parquet"), _run(prefect_server.url, wish)["state"]
        return Stopped(process.returncode, stdout, stderr, rows, bought, found.total(), set(found.values()), state)

    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(WISHES)))
        stories: dict[str, Future[Stopped]] = {wish: pool.submit(stop, wish) for wish in WISHES}
        yield lambda wish: stories[wish].result(180)


def _run(url: str, stem: str) -> dict[str, Any]:
    body = {"flow_runs": {"name": {"like_": f"{stem} "}}}
    (run,) = httpx.post(f"{url}/flow_runs/filter", json=body, timeout=30).json()
    return run


@pytest.mark.parametrize(("wish", "said"), [("cancel", "cancelled in Prefect"), ("suspend", "suspended in Prefect")])
def test_a_stop_in_prefect_ends_buying_within_five_seconds(
    stopped: Callable[[str], Stopped], wish: str, said: str
) -> None:
    run = stopped(wish)
    assert run.code == 130, run.stderr
    assert f"Stopped: {said}" in run.stderr
    assert "Traceback" not in run.stderr
    assert "Prefect did not receive" not in run.stderr
    assert 3 <= run.bought == run.bought_in_time < SHOTS
    assert run.prompts == {1}
    assert {row["status"] for row in run.rows} == {"completed", "pending"}
    assert sum(row["prediction_id"] is not None for row in run.rows) == run.bought
    assert '"completed": ' in run.stdout
    assert run.state["type"] == "CANCELLED"
