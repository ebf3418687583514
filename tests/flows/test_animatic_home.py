"""`ANIMATIC_HOME` in commands: every part lies in it, explicit places win, and no second ledger is begun beside it."""

from pathlib import Path
from typing import Any

import pytest

COMMANDS = {
    "run": ("run", "shots.csv", "--results", "out.parquet", "--yes"),
    "plan": ("plan", "shots.csv"),
    "results": ("results", "shots.csv", "--results", "out.parquet"),
    "reconcile": ("reconcile",),
    "show": ("ledger", "show", "opening"),
}


@pytest.fixture
def homed(shell_with_server: Any, tmp_path: Path, tools: Any, tag: str) -> Any:
    """A shell with an `ANIMATIC_HOME` beside its HOME, a manifest of one shot, and no other part named."""
    shell = shell_with_server
    shell.more["ANIMATIC_HOME"] = str(tmp_path / "animatic-home")
    tools.write_manifest(shell.home / "shots.csv", [{"prompt": f"push in {tag}", "shot_id": "opening"}])
    return shell


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_part_of_a_run_lies_in_animatic_home(homed: Any, tmp_path: Path) -> None:
    del homed.more["PREFECT_HOME"]
    ended = homed.run(*COMMANDS["run"])
    assert ended.code == 0, ended.stderr
    here = tmp_path / "animatic-home"
    assert {"ledger.sqlite", "ledger.sqlite.runs", "logs", "tmp", "empty"} <= _names(here)
    assert list((here / "logs").glob("*.log"))
    assert _names(here / "empty") == set()
    assert _names(homed.home) - {".prefect"} == {"shots.csv", "out.parquet"}
    assert here.stat().st_mode & 0o777 == 0o700


def test_prefects_home_of_a_run_lies_in_animatic_home(homed: Any) -> None:
    del homed.more["PREFECT_HOME"]
    assert homed.run(*COMMANDS["run"]).code == 0
    assert not (homed.home / ".prefect").exists()


def test_an_explicit_ledger_and_prefect_home_win(homed: Any, tmp_path: Path) -> None:
    ledger, prefect = tmp_path / "elsewhere/ledger.sqlite", tmp_path / "elsewhere/prefect"
    ledger.parent.mkdir()
    homed.more |= {"ANIMATIC_LEDGER": f"sqlite:///{ledger}", "PREFECT_HOME": str(prefect)}
    ended = homed.run(*COMMANDS["run"])
    assert ended.code == 0, ended.stderr
    assert ledger.exists()
    assert not {"ledger.sqlite", "prefect"} & _names(tmp_path / "animatic-home")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_relative_animatic_home_is_refused_by_each_command(homed: Any, sandbox: Any, tag: str, command: str) -> None:
    homed.more["ANIMATIC_HOME"] = "here"
    ended = homed.run(*COMMANDS[command])
    assert ended.code == 2, ended.stderr
    assert ended.stderr.startswith('animatic: ANIMATIC_HOME: found "here"')
    assert str(homed.home / "here") in ended.stderr
    assert _names(homed.home) == {"shots.csv"}
    assert sandbox.submitted(tag).total() == 0


def test_a_run_is_refused_where_the_users_ledger_is_left_behind(
    homed: Any, sandbox: Any, tmp_path: Path, tag: str
) -> None:
    home = homed.more.pop("ANIMATIC_HOME")
    assert homed.run(*COMMANDS["run"]).code == 0
    homed.more["ANIMATIC_HOME"] = home
    ended = homed.run(*COMMANDS["run"])
    assert sandbox.submitted(tag).total() == 1, "bought twice"
    assert ended.code == 2, ended.stderr
    assert str(homed.ledger) in ended.stderr
    assert str(tmp_path / "animatic-home/ledger.sqlite") in ended.stderr
    assert f"ANIMATIC_LEDGER=sqlite:///{homed.ledger}" in ended.stderr
    assert not (tmp_path / "animatic-home/ledger.sqlite").exists()
