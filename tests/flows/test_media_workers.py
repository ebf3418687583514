"""Media workers as processes of their own, killed in the middle of a batch: another one goes on with it."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from deployed import reply_of, running

from tests.animatic.ledger.conftest import BACKENDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

PREFECT = Path(sys.executable).with_name("prefect")
TAKES = 40
WITHIN_S = 60.0
"""A dead worker's batch is another's after no more than this."""


@dataclass
class Fleet:
    """Media workers, a deployment of their own pool, and the ledger that they share with a run."""

    shell: Any
    tools: Any
    api: str
    deployment: str
    rows: Callable[[str], list[Any]]

    def start_run(self, manifest: Path) -> "subprocess.Popen[str]":
        return self.shell.start(
            "run", str(manifest), "--results", "out.parquet", "--yes", "--json", "--archive", "clips"
        )

    def holders(self) -> dict[str, tuple[str, int, str]]:
        """Return the run that holds each batch, the pid of that, and the batch's state."""
        found = self.rows("SELECT batch_id, holder, pid, state FROM media JOIN run ON run.run_id = media.holder")
        return {batch: (holder, pid, state) for batch, holder, pid, state in found}

    def start_again(self, batch: str) -> dict[str, Any]:
        """Start another run of a batch, as a scheduler that doubles one does; return its final state."""
        body = {"parameters": {"batch": batch}, "state": {"type": "SCHEDULED"}, "idempotency_key": str(uuid4())}
        path = f"{self.api}/deployments/{self.deployment}/create_flow_run"
        run = httpx.post(path, json=body).raise_for_status().json()
        return self.tools.wait_until(lambda: self._final(run["id"]), 120)

    def _final(self, run_id: str) -> dict[str, Any] | None:
        run = reply_of(f"{self.api}/flow_runs/{run_id}")
        return run["state"] if run and run["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED"} else None


@pytest.fixture(params=["sqlite", "postgresql"])
def fleet(request: Any, shell_with_server: Any, prefect_server: Any, tools: Any, tmp_path: Path) -> Iterator[Fleet]:
    shell, api, pool = shell_with_server, prefect_server.url, f"media-{uuid4().hex[:8]}"
    shell.archives = True
    with ExitStack() as stack:
        url, rows = _ledger(stack, request.param, tmp_path)
        shell.more |= {"ANIMATIC_LEDGER": url, "ANIMATIC_MEDIA_DEPLOYMENT": f"media/{pool}"}
        httpx.post(f"{api}/work_pools/", json={"name": pool, "type": "process"}, timeout=60).raise_for_status()
        environment = shell.environment | {"PREFECT_WORKER_QUERY_SECONDS": "1"}
        deployment = _deploy(api, pool, environment, tmp_path)
        for name in ("one", "two"):
            command = [PREFECT, "worker", "start", "--pool", pool, "--type", "process", "--limit", "1", "--name", name]
            output = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            stack.enter_context(running(command, environment, output))
        tools.wait_until(lambda: reply_of(f"{api}/deployments/{deployment}")["status"] == "READY", 90)
        yield Fleet(shell, tools, api, deployment, rows)


def _ledger(stack: ExitStack, kind: str, folder: Path) -> tuple[str, Callable[[str], list[Any]]]:
    """Return the URL of a new ledger, and what reads its rows from outside; no row before there is a ledger."""
    made = BACKENDS[kind](folder)
    stack.callback(made.end)

    def rows(sql: str) -> list[Any]:
        with contextlib.suppress(sqlite3.OperationalError, psycopg.errors.UndefinedTable):
            return made.rows(sql)
        return []

    return made.url, rows


def _deploy(api: str, pool: str, environment: dict[str, str], folder: Path) -> str:
    """Deploy the project's own entry under the pool's name."""
    entry = {"name": pool, "entrypoint": "flows.media.media", "work_pool": {"name": pool}}
    file = folder / "prefect.yaml"
    file.write_text(json.dumps({"name": "animatic", "deployments": [entry]}))
    command = [PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=90)
    return reply_of(f"{api}/deployments/name/media/{pool}")["id"]


def _kill_session_of(pid: int) -> None:
    """Kill a process and all of its session: the worker that started it, and what it started."""
    session = os.getsid(pid)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(stat.parent.name), signal.SIGKILL)


def test_the_batch_of_a_killed_worker_is_gone_on_with_by_another(fleet: Fleet, manifest: Any, tag: str) -> None:
    shots = manifest(*({"prompt": f"{tag} {number}", "shot_id": f"s{number}"} for number in range(TAKES)))
    process = fleet.start_run(shots)
    try:
        held = fleet.tools.wait_until(lambda: {k: v for k, v in fleet.holders().items() if v[2] == "taken"}, 120)
        batch, (holder, pid, _) = next(iter(held.items()))
        _kill_session_of(pid)
        fleet.tools.wait_until(lambda: fleet.holders().get(batch, (holder,))[0] != holder, WITHIN_S)
        stdout, stderr = process.communicate(timeout=200)
    finally:
        fleet.tools.kill_group(process)
    assert process.returncode == 0, stderr
    assert any("a media worker is gone" in path.read_text() for path in fleet.shell.logs())
    rows = fleet.tools.read_rows(fleet.shell.home / "out.parquet")
    assert json.loads(stdout.splitlines()[-1])["submitted"] == TAKES
    assert [row["archive_error"] for row in rows] == [None] * TAKES
    assert None not in [row["qa"] for row in rows]
    assert len({row["sha256"] for row in rows} | {row["clip_uri"] for row in rows}) >= TAKES
    ended = fleet.rows(f"SELECT state, times_taken FROM media WHERE batch_id = '{batch}'")
    assert ended == [("done", 2)]
    assert fleet.rows("SELECT count(*) FROM media WHERE holder = run_id") == [(0,)], "workers did all of it"
    again = fleet.start_again(batch)
    assert (again["type"], again["message"]) == ("COMPLETED", "the batch is done already")


def test_a_run_whose_workers_are_all_killed_does_it_itself(fleet: Fleet, manifest: Any, tag: str) -> None:
    shots = manifest(*({"prompt": f"{tag} {number}", "shot_id": f"s{number}"} for number in range(TAKES)))
    process = fleet.start_run(shots)
    try:
        for _ in range(2):
            fleet.tools.wait_until(lambda: [v for v in fleet.holders().values() if v[2] == "taken"], 120)
            for _, pid, state in fleet.holders().values():
                if state == "taken":
                    with contextlib.suppress(ProcessLookupError):
                        _kill_session_of(pid)
        _, stderr = process.communicate(timeout=250)
    finally:
        fleet.tools.kill_group(process)
    assert process.returncode == 0, stderr
    rows = fleet.tools.read_rows(fleet.shell.home / "out.parquet")
    assert [row["archive_error"] for row in rows] == [None] * TAKES
    assert None not in [row["qa"] for row in rows]
