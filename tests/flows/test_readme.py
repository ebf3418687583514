"""Every command of the README, in its order, in one home; those that buy, again; and the notebook, on what they made.

The commands are read out of the README, so one that is added is run too. Each is typed as it stands at a terminal, in a
folder that holds what a clone holds. A sandbox of our own stands for WaveSpeed.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from notebooks import as_script, code_cells, shown_by_cells, source_of, stored_text
from pages import ROOT, read_page
from reader import Terminal, bare_environment, follow, make_clone

from animatic import read_results
from animatic.takes.states import State


@pytest.fixture
def terminal(tmp_path: Path, serve_sandbox: Any, tools: Any, warm: Any) -> Iterator[Terminal]:
    """A terminal in a clone, its virtual environment made and activated, with a home of its own."""
    clone, home = tmp_path / "animatic", tmp_path / "home"
    home.mkdir()
    make_clone(clone)
    served = serve_sandbox("--inference-s", "0.3", folder=tmp_path / "wavespeed")
    rows = [{"prompt": f"push in on shot {number}", "shot_id": f"shot-{number}"} for number in range(3)]
    tools.write_manifest(clone / "shots.csv", rows)
    ours = {"WAVESPEED_BASE_URL": served.url, "ANIMATIC_ACCOUNT_LEVEL": "gold"}  # or three takes wait for their starts
    environment = bare_environment(clone, home) | ours
    here = Terminal(clone, environment, warm.programs, {"4200": environment["PREFECT_SERVER_API_PORT"]})
    try:
        yield here
    finally:
        here.stop()


MEASURED = re.compile(r"\b(?:season|done|known|waits)\b")
"""Names in cells about measured times, which differ from one run to the next."""
MAY_BUY = re.compile(r"export |make demo|animatic (?:demo|run|archive|reconcile)\b")
"""Beginnings of commands that are done a second time."""


def follow_notebook(terminal: Terminal) -> None:
    """Run the notebook on what the README's commands made; what it stores of the demo must be seen again."""
    (terminal.folder / "notebook.py").write_text(as_script())
    code, printed = terminal.show("MPLBACKEND=Agg python notebook.py")
    assert code == 0, printed
    shown = shown_by_cells(printed)
    of_demo = [number for number, cell in enumerate(code_cells()) if not MEASURED.search(source_of(cell))]
    compared = [number for number in of_demo if number in shown and "127.0.0.1" not in shown[number]]
    assert len(compared) > 5
    for number in compared:
        assert shown[number] == stored_text(code_cells()[number]), "make notebook stores it"


@pytest.mark.timeout(1_200)  # some forty commands
def test_every_command_works_in_its_order_and_buys_nothing_the_second_time(
    terminal: Terminal, tmp_path: Path, tools: Any
) -> None:
    from animatic.sandbox.witness import read_witness  # noqa: PLC0415 - the helper beside which it is needed

    page = read_page(ROOT / "README.md")
    accounts = {
        "the demo's": terminal.folder / "animatic-demo/sandbox",
        "the embedded": tmp_path / "home/.local/share/animatic/sandbox",
        "WaveSpeed's": tmp_path / "wavespeed",
    }

    def bought() -> dict[str, int]:
        return {name: len(read_witness(folder)) for name, folder in accounts.items()}

    done = follow(terminal, page, tools.KEY)
    assert "make demo" in done
    assert bought() == {"the demo's": 15, "the embedded": 14, "WaveSpeed's": 3}
    takes = read_results(str(terminal.folder / "animatic-demo/results.parquet"))
    assert (takes.status == State.COMPLETED).sum() == 13
    follow_notebook(terminal)
    before = bought()
    buying = replace(page, steps=[step for step in page.steps if MAY_BUY.match(step.text)])
    again = follow(terminal, buying, tools.KEY)
    assert sum(each.startswith(("make demo", "animatic run")) for each in again) == 4
    assert bought() == before


def test_the_map_names_every_room() -> None:
    block = (ROOT / "README.md").read_text().partition("## How it is built")[2].split("```")[1]
    mapped = {line.split()[0] for line in block.splitlines() if line.strip()}
    tops = ("flows", "tasks", "animatic", "manifests", "deployments", "tests", "benchmarks")
    rooms = [
        path for top in ("animatic", "flows") for path in (ROOT / top).iterdir() if (path / "__init__.py").exists()
    ]
    assert {*(f"{top}/" for top in tops), *(f"{room.name}/" for room in rooms)} <= mapped
    assert all(
        (ROOT / name).exists() or name.strip("/") in {room.name for room in rooms} for name in mapped - {"animate.py"}
    )
