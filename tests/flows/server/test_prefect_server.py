"""The embedded Prefect server: a new home, lazy imports, and garbage collection."""

import gc
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from flows.server import child_processes
from flows.server.gc_pause import gc_paused


def test_a_server_on_a_new_home_leaves_blocks_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with child_processes.prefect_server(tmp_path / "log") as server:
        assert urllib.request.urlopen(f"{server.url}/health", timeout=50).read() == b"true"
    assert not (tmp_path / "home/memo_store.toml").exists()  # the next server that lasts registers blocks
    assert (tmp_path / "home/prefect.db").stat().st_mode & 0o777 == 0o600


LAZY = """
import sys
import flows.command.cli, flows.command.commands
early = {"prefect", "pandas", "PIL", "av", "fsspec", "matplotlib"} & sys.modules.keys()
import flows.animate
late = {"pandas", "PIL", "av", "matplotlib"} & sys.modules.keys()
sys.exit(f"{early} {late}" if early or late else 0)
"""


def test_what_is_imported_lazily_stays_lazy() -> None:
    ended = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, timeout=50, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_collection_goes_on_after_a_block_without() -> None:
    assert gc.isenabled()
    with gc_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()
