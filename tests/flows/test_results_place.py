"""Allowed places of `--results`, modes of a new table, and what people wrote: as commands, to the end."""

import os
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("command", ["run", "results"])
def test_a_file_that_is_no_results_table_is_refused(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, command: str
) -> None:
    shots, shell = manifest({"prompt": f"one {tag}"}), shell_with_server
    (shell.home / "budget.csv").write_text("month,usd\nMay,12\n")
    (shell.home / "link.csv").symlink_to(shots)
    for results, reported in (
        (str(shots), "is the manifest itself"),
        ("link.csv", "is the manifest itself"),
        ("budget.csv", "is no results table of animatic (its columns: month, usd)"),
    ):
        ended = shell.run(command, str(shots), "--results", results)
        assert (ended.code, reported in ended.stderr) == (2, True), ended.stderr
    assert (shell.home / "budget.csv").read_text() == "month,usd\nMay,12\n"
    assert "one" in shots.read_text()
    assert not sandbox.submitted(tag)


def test_a_person_is_not_asked_where_the_place_is_refused(
    shell_with_server: Any, manifest: Any, tag: str, tools: Any
) -> None:
    shots = manifest({"prompt": f"one {tag}"})
    code, shown = tools.at_a_terminal(shell_with_server, [("[y/N]", "y")], "run", str(shots), "--results", str(shots))
    assert (code, "[y/N]" in shown, "is the manifest itself" in shown) == (2, False, True), shown


def test_the_flow_refuses_it_too(run_flow: Any, manifest: Any, tag: str, sandbox: Any, tmp_path: Path) -> None:
    (tmp_path / "out.parquet").write_bytes(b"not ours")
    ran = run_flow(manifest({"prompt": f"one {tag}"}), results=tmp_path / "out.parquet")
    assert ran.state.name == "Refused"
    assert (tmp_path / "out.parquet").read_bytes() == b"not ours"
    assert not sandbox.submitted(tag)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_a_table_follows_the_umask_the_ledger_is_private(
    shell_with_server: Any, manifest: Any, tag: str, umask: int, mode: int
) -> None:
    shell, shots = shell_with_server, manifest({"prompt": f"one {tag}"})
    before = os.umask(umask)
    try:
        assert shell.run("run", str(shots), "--results", "new/out.parquet").code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((shell.home / "new/out.parquet").stat().st_mode) == mode
    assert stat.S_IMODE(shell.ledger.stat().st_mode) == 0o600
    (shell.home / "new/out.parquet").chmod(0o604)
    assert shell.run("run", str(shots), "--results", "new/out.parquet").code == 0
    assert stat.S_IMODE((shell.home / "new/out.parquet").stat().st_mode) == 0o604


def test_peoples_columns_survive_a_run_and_losses_are_named(shell_with_server: Any, manifest: Any, tag: str) -> None:
    shell, out = shell_with_server, shell_with_server.home / "out.parquet"
    shots = [{"prompt": f"{name} {tag}", "shot_id": name} for name in ("one", "two")]
    assert shell.run("run", str(manifest(*shots)), "--results", "out.parquet").code == 0
    table = pq.read_table(out)
    pq.write_table(table.append_column("approved", pa.array([True, False])), out)
    path = manifest(*shots, {"prompt": f"three {tag}", "shot_id": "three"})
    ended = shell.run("run", str(path), "--results", "out.parquet", "--json")
    assert (ended.code, ended.json["submitted"]) == (0, 1), ended.stderr
    assert pq.read_table(out)["approved"].to_pylist() == [True, False, None]
    ended = shell.run("run", str(manifest(shots[1], name="fewer.csv")), "--results", "out.parquet")
    assert ended.code == 0, ended.stderr
    assert "note: 1 rows in which people wrote something have no take in the table any more" in ended.stderr
    (beside,) = shell.home.glob("out.before-*.parquet")
    assert pq.read_table(beside)["approved"].to_pylist() == [True, False, None]
    assert pq.read_table(out)["approved"].to_pylist() == [False]


def test_a_path_through_a_folder_that_is_not_there_replaces_nothing(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    (shell.home / "budget.csv").write_text("month,usd\nMay,12\n")
    shots = manifest({"prompt": f"one {tag}"})
    for results in ("nope/../budget.csv", str(shots.parent / "nope/.." / shots.name)):
        ended = shell.run("run", str(shots), "--results", results)
        assert (ended.code, "a folder that does not exist" in ended.stderr) == (2, True), ended.stderr
    assert (shell.home / "budget.csv").read_text() == "month,usd\nMay,12\n"
    assert not sandbox.submitted(tag)


def test_a_table_whose_place_is_spoiled_is_written_beside(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    shots, path = manifest({"prompt": f"one {tag} [sandbox:slow=3]"}), shell.home / "out.csv"
    process = shell.start("run", str(shots), "--results", "out.csv", "--json", is_warm=True)
    try:
        tools.wait_until(lambda: sandbox.submitted(tag) and path.exists(), 60)
        path.write_bytes(b"\xff\xfe not a table any more")
        stdout, stderr = process.communicate(timeout=60)
    finally:
        tools.kill_group(process)
    assert (process.returncode, '"completed": 1' in stdout) == (0, True), stderr
    (beside,) = shell.home.glob("out.2*.csv")
    assert "completed" in beside.read_text()
    assert beside.name in stderr
    assert path.read_bytes() == b"\xff\xfe not a table any more"


def test_a_column_without_a_name_is_not_dropped(shell_with_server: Any, manifest: Any, tag: str) -> None:
    shell, shots = shell_with_server, manifest({"prompt": f"one {tag}"})
    assert shell.run("run", str(shots), "--results", "out.csv").code == 0
    path = shell.home / "out.csv"
    head, row = path.read_text().splitlines()
    path.write_text(f"{head},\n{row},my words\n")
    ended = shell.run("results", str(shots), "--results", "out.csv")
    assert (ended.code, "a column without a name" in ended.stderr) == (2, True), ended.stderr
    assert "my words" in path.read_text()
