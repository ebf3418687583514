"""Prefect's services in a process of ours: they begin anew where Prefect would not notice that one has ended."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import copy_database, kill_group

ENDED = "Prefect's services: ReactiveTriggers ended (OperationalError); all of them begin anew in 5 s"
BEGUN = "Reactive triggers started"


@pytest.mark.timeout(170)
def test_services_whose_database_is_away_begin_anew_until_it_is_there(tmp_path: Path, prefect_server: Any) -> None:
    log, database = tmp_path / "log", tmp_path / "away/prefect.db"
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(tmp_path / "home"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_LOGGING_SERVER_LEVEL": "DEBUG",
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "flows.server.services"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=env, stdout=file, stderr=file, start_new_session=True)
    try:
        _wait_for(log, ENDED)
        assert BEGUN not in log.read_text()
        copy_database(prefect_server.home / "prefect.db", database)
        _wait_for(log, BEGUN)
        assert process.poll() is None
    finally:
        kill_group(process)


def _wait_for(log: Path, line: str) -> None:
    """Wait for a line; the test's own time limit ends that."""
    while line not in log.read_text():
        time.sleep(0.1)
