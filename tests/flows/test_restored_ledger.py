"""A ledger that is restored from a backup stops everything until it is mended in three steps."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from laptops import Bought

STEPS = ("animatic ledger import RESULTS", "animatic reconcile", "animatic ledger accept")


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory, sandbox: Any, prefect_server: Any, tools: Any) -> Bought:
    """A laptop with a backup of its ledger, since which two takes of its manifest were bought."""
    folder = tmp_path_factory.mktemp("restored")
    tag, shell = f"<{folder.name}>", tools.new_shell(folder / "home", sandbox, prefect_server)
    rows = [{"shot_id": f"shot-{number}", "prompt": f"push in {number} {tag}"} for number in range(1, 5)]
    for count in (2, 4):
        shots = tools.write_manifest(folder / "shots.csv", rows[:count])
        assert shell.run("run", str(shots), "--results", "out.csv").code == 0
        if count == 2:
            shutil.copy(shell.ledger, shell.home / "backup.sqlite")
    return Bought(shell, shots, tag)


@pytest.fixture
def restored(bought: Bought, sandbox: Any, tmp_path: Path) -> Iterator[tuple[Any, str]]:
    """A laptop whose ledger is that of the backup, and its manifest; nothing is bought again."""
    shell = bought.shell.copied(tmp_path / "home")
    shutil.copy(shell.home / "backup.sqlite", shell.ledger)
    yield shell, str(bought.shots)
    assert sandbox.submitted(bought.tag) == {f"push in {number} {bought.tag}": 1 for number in range(1, 5)}


def require_refused(shell: Any, shots: str) -> None:
    """Commands that could buy, or would show a wrong plan, name the three steps."""
    run = ("run", shots, "--results")
    elsewhere = ("results", shots, "--results", "elsewhere.csv")
    for command in ((*run, "out.csv"), (*run, "other.csv", "--new-ledger"), ("plan", shots), elsewhere):
        refused = shell.here(*command)
        assert refused.code == 2, f"{command}: {refused.stdout}{refused.stderr}"
        assert "was restored from a backup" in refused.stderr
        assert all(step in refused.stderr for step in STEPS)
    assert not (shell.home / "other.csv").exists()
    assert not (shell.home / "elsewhere.csv").exists()


def mend(shell: Any, shots: str) -> None:
    """The three steps, then a run that has nothing to buy."""
    imported = shell.run("ledger", "import", "out.csv", "--json")
    assert (imported.code, imported.json["counts"]) == (0, {"known already": 2, "taken over": 2}), imported.stderr
    reconciled = shell.run("reconcile")
    assert reconciled.code == 0, reconciled.stderr
    accepted = shell.run("ledger", "accept")
    assert (accepted.code, "declared complete" in accepted.stderr) == (0, True), accepted.stderr
    ended = shell.run("run", shots, "--results", "other.csv", "--json")
    assert (ended.code, ended.json["submitted"], ended.json["cached"]) == (0, 0, 4), ended.stderr


def test_a_restored_ledger_is_refused_until_it_is_mended(restored: Any) -> None:
    shell, shots = restored
    require_refused(shell, shots)
    assert shell.run("ledger", "show", "shot-1").code == 0
    mend(shell, shots)
    assert "it was complete already" in shell.run("ledger", "accept").stderr


def test_taking_over_and_reconciling_alone_do_not_open_a_restored_ledger(restored: Any) -> None:
    shell, shots = restored
    assert shell.run("ledger", "import", "out.csv").code == 0
    assert shell.run("reconcile").code == 0
    require_refused(shell, shots)


def test_files_of_sqlite_beside_a_restored_ledger_hide_nothing(restored: Any) -> None:
    shell, shots = restored
    journal, wal = ("-journal", b"not SQLite's " * 999), ("-wal", bytes(4_096))
    for suffix, content in (("-journal", b""), journal, wal, ("-shm", b"")):
        beside = Path(f"{shell.ledger}{suffix}")
        beside.write_bytes(content)
        refused = shell.here("run", shots, "--results", "other.csv")
        assert (refused.code, "was restored from a backup" in refused.stderr) == (2, True), refused.stderr
        beside.unlink(missing_ok=True)


def test_a_second_restoration_of_a_mended_ledger_is_noticed(restored: Any) -> None:
    shell, shots = restored
    mend(shell, shots)
    (shell.home / "other.csv").unlink()
    shutil.copy(shell.home / "backup.sqlite", shell.ledger)
    require_refused(shell, shots)


def test_a_restored_ledger_without_runs_folder_buys_nothing_twice(restored: Any) -> None:
    shell, shots = restored
    shutil.rmtree(f"{shell.ledger}.runs")
    refused = shell.run("run", shots, "--results", "out.csv")
    assert refused.code == 2, refused.stderr
    assert "out.csv shows 2 takes as bought that the ledger" in refused.stderr


def test_a_ledger_without_runs_folder_notices_the_next_restoration(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    rows = [{"prompt": f"push in {number} {tag}"} for number in range(2)]
    assert shell.run("run", str(manifest(rows[0])), "--results", "out.csv").code == 0
    shutil.copy(shell.ledger, shell.home / "backup.sqlite")
    shots = str(manifest(*rows))
    assert shell.run("run", shots, "--results", "out.csv").code == 0
    shutil.rmtree(f"{shell.ledger}.runs")
    ended = shell.run("run", shots, "--results", "out.csv", "--json")
    assert (ended.code, ended.json["submitted"]) == (0, 0), ended.stderr
    shutil.copy(shell.home / "backup.sqlite", shell.ledger)
    refused = shell.here("run", shots, "--results", "other.csv")
    assert (refused.code, sandbox.submitted(tag).total()) == (2, 2), refused.stderr


def test_a_ledger_that_is_not_there_cannot_be_accepted(shell: Any) -> None:
    refused = shell.run("ledger", "accept")
    assert (refused.code, "there is none, so there is nothing to accept" in refused.stderr) == (2, True)
    assert not shell.ledger.exists()
