"""Commands without a flow: in this process, as most tests type them, they do what they do in one of their own."""

from pathlib import Path
from typing import Any

import pytest

COMMANDS = {
    "plan": ("plan", "shots.csv", "--json"),
    "results": ("results", "shots.csv", "--results", "again.csv"),
    "reconcile": ("reconcile", "--json"),
    "show": ("ledger", "show", "one"),
    "import": ("ledger", "import", "out.csv"),
    "accept": ("ledger", "accept"),
    "a fault": ("plan", "nowhere.csv"),
    "nonsense": ("ledger", "show", "--nonsense"),
}


@pytest.fixture(scope="module")
def bought(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Any, prefect_server: Any, tools: Any
) -> tuple[Any, dict[str, Any]]:
    """A shell where a take was bought, and each command in a process of its own."""
    home = tmp_path_factory.mktemp("here")
    shots = tools.write_manifest(home / "shots.csv", [{"prompt": f"push in <{home.name}>", "shot_id": "one"}])
    known = {"WAVESPEED_API_KEY": tools.KEY, "WAVESPEED_BASE_URL": sandbox.url, "PREFECT_API_URL": prefect_server.url}
    shell = tools.Shell(home, known | {"PREFECT_HOME": str(prefect_server.home)})
    assert shell.run("run", str(shots), "--results", "out.csv").code == 0
    return shell, {name: shell.apart(*command) for name, command in COMMANDS.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_in_this_process_does_what_it_does_in_its_own(bought: tuple[Any, dict[str, Any]], name: str) -> None:
    shell, apart = bought
    written = shell.home / "again.csv"
    before = written.read_bytes()
    assert shell.here(*COMMANDS[name]) == apart[name]
    assert written.read_bytes() == before
    assert Path.cwd() != shell.home
