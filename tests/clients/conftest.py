"""Clients that others wrote, run against `animatic sandbox` as they come.

Each Python client has a script in `calls/`, run by the interpreter of `.venv-clients`, which knows nothing of ours: it
makes every call that the client's documentation shows, and its last line is a JSON object of what came back.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from clients.serving import HERE, MOST_S, PYTHON, STILL, Served, environment


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`animatic sandbox` as its users start it, predictions of 0.3 s."""
    folder = tmp_path_factory.mktemp("sandbox")
    command = [str(Path(sys.executable).parent / "animatic"), "sandbox", "--folder", str(folder / "state")]
    command += ["--port", "0", "--inference-s", "0.3"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(folder), cwd=folder
    ) as process:
        assert process.stdout is not None
        try:
            yield Served(json.loads(process.stdout.readline())["url"], folder / "state")
        finally:
            process.terminate()
            process.wait(10)


Calls = Callable[..., Mapping[str, Any]]


@pytest.fixture(scope="module")
def calls(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Calls:
    """Run a script of `calls/` against the sandbox; the object in its last line."""
    if not PYTHON.exists():
        pytest.skip("the clients' environment is not there: make clients-python")

    def run(script: str) -> Mapping[str, Any]:
        home = tmp_path_factory.mktemp("home")
        ended = subprocess.run(
            [str(PYTHON), str(HERE / "calls" / script)],
            env=environment(home, SANDBOX_URL=served.url, STILL=str(STILL)),
            cwd=home,
            capture_output=True,
            text=True,
            timeout=MOST_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    return run
