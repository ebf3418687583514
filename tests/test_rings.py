"""Each test is in one ring, and a pure one cannot be anything else."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

RINGS = {"pure", "sandbox", "services"}


def test_every_test_is_in_exactly_one_ring(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        assert len(RINGS & {mark.name for mark in item.iter_markers()}) == 1, item.nodeid


def with_socket(deed: Callable[[socket.socket], None]) -> None:
    with socket.socket() as one:
        deed(one)


@pytest.mark.parametrize(
    "deed",
    [
        lambda: with_socket(lambda one: one.connect(("127.0.0.1", 9))),
        lambda: with_socket(lambda one: one.bind(("127.0.0.1", 0))),
        lambda: subprocess.run([sys.executable, "--version"], check=True),
        lambda: os.system("true"),
        lambda: time.sleep(0.001),
    ],
    ids=["connect", "bind", "subprocess", "system", "sleep"],
)
def test_a_pure_test_that_touches_the_world_fails(deed: Callable[[], object]) -> None:
    with pytest.raises(pytest.fail.Exception, match="a pure test may not"):
        deed()


def test_a_pure_test_that_opens_a_database_file_fails(tmp_path: Path) -> None:
    sqlite3.connect(":memory:").close()
    with pytest.raises(pytest.fail.Exception, match="a pure test may not open a database file"):
        sqlite3.connect(tmp_path / "ledger.sqlite")


async def test_a_pure_test_runs_in_virtual_time() -> None:
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(86_400)
    assert asyncio.get_running_loop().time() - began == pytest.approx(86_400)
