"""A process that fails asks Prefect if its run was given to another one, and leaves the run's state to that."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
SCRIPT = """
import asyncio, json
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import AwaitingRetry, Crashed, Running
from flows.stop_request import find_stop

@flow(persist_result=False)
async def carried_out(states):
    async with get_client() as client:
        for state in states:
            await client.set_flow_run_state(flow_run.id, state(), force=True)
    stop = await find_stop(flow_run.id)
    return None if stop is None else [stop.reason, stop.is_suspension]

async def main():
    given = {"nobody": [], "another process": [AwaitingRetry, Running], "taken for dead": [Crashed]}
    found = {}
    for name, states in given.items():
        found[name] = await carried_out(states)
    found["a server that is away"] = await find_stop("no id")
    print(json.dumps(found))

asyncio.run(main())
"""


def test_a_run_is_left_to_the_process_that_took_it_over(prefect_server: Any, tmp_path: Path) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_API_URL": prefect_server.url,
        "PYTHONPATH": str(ROOT),
        "DO_NOT_TRACK": "1",
    }
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=env, capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    assert json.loads(ended.stdout.splitlines()[-1]) == {
        "nobody": None,
        "another process": ["taken over by another process", True],
        "taken for dead": ["taken for dead by Prefect", True],
        "a server that is away": None,
    }
