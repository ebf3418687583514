"""`animatic ledger prune`: the ledger gives up details, and buys nothing again."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from laptops import BOUGHT, rows_of, rows_of_every_end

MOMENTS = ("intent_at", "window_from", "window_to", "submitted_at", "completed_at")
OF_A_RUN = {"run_id", "written_at", "flow_run_id"}


def grow_old(ledger: Path) -> None:
    """Let every attempt have happened 40 days earlier."""
    with closing(sqlite3.connect(ledger)) as db, db:
        for name in MOMENTS:
            db.execute(f"UPDATE attempt SET {name} = datetime({name}, '-40 days') || '.000000' WHERE {name} NOT NULL")


def without_run(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in OF_A_RUN} for row in rows]


def test_a_pruned_ledger_buys_nothing_again_and_says_the_same(
    shell_with_server: Any, sandbox: Any, tag: str, tools: Any, tmp_path: Path
) -> None:
    shell = shell_with_server
    shots = str(tools.write_manifest(tmp_path / "shots.csv", rows_of_every_end(tmp_path, tag)))
    for more in ((), ("--retry-failed",)):
        assert shell.run("run", shots, "--results", "first.csv", *more).code == 3
    bought = sandbox.submitted(tag).total()
    assert bought == BOUGHT + 1
    grow_old(shell.ledger)
    assert shell.run("results", shots, "--results", "before.csv").code == 3
    shown = shell.run("ledger", "show", "bridge").stdout

    pruned = shell.run("ledger", "prune", "--older-than", "30", "--json")
    assert pruned.code == 0, pruned.stderr
    assert (pruned.json["attempts"], pruned.json["is_compacted"]) == (2, True)
    moved = {Path(file).name.split("-")[0]: pq.read_table(file).to_pylist() for file in pruned.json["files"]}
    assert [each["state"] for each in moved["attempts"]] == ["rejected"]
    assert [each["state"] for each in moved["failed_attempts"]] == ["failed"]
    assert (shell.ledger.parent / "ledger.sqlite.pruned").stat().st_mode & 0o077 == 0

    again = shell.run("run", shots, "--results", "again.csv", "--json")
    assert (again.code, again.json["submitted"]) == (3, 0), again.stderr
    assert sandbox.submitted(tag).total() == bought
    assert shell.run("results", shots, "--results", "after.csv").code == 3
    before, after = (without_run(rows_of(shell.home / name)) for name in ("before.csv", "after.csv"))
    assert after == before
    assert again.json["manifest_cost_usd"] == sum(row["quoted_usd"] or 0 for row in before)
    still = shell.run("ledger", "show", "bridge").stdout
    assert (shown.count("  failed, $2.50, "), still.count("  failed, $2.50, ")) == (2, 2)
    assert shell.run("ledger", "verify").code == 0

    told = shell.run("ledger", "prune", "--older-than", "30")
    assert told.code == 0
    assert told.stdout.startswith("nothing in ")
    assert told.stdout.endswith(" that may go is older than 30 days\n")


def test_the_days_that_the_list_shows_are_refused(shell_with_server: Any) -> None:
    refused = shell_with_server.run("ledger", "prune", "--older-than", "7")
    assert refused.code == 2
    assert "--older-than: found 7; allowed: 8 to 36,500 days, since WaveSpeed's list" in refused.stderr


def test_a_place_that_cannot_be_written_to_keeps_the_details(shell_with_server: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for to, said in (
        ("nothing-known://film/pruned", "nothing-known"),
        (str(tmp_path / "file/below"), "is not a folder"),
        ("https://films.example/pruned", "cannot write to a web page"),
    ):
        refused = shell_with_server.run("ledger", "prune", "--older-than", "30", "--to", to)
        assert (refused.code, refused.stdout) == (2, ""), to
        assert said in refused.stderr
        assert list(shell_with_server.home.glob("*:")) == []


def test_details_go_to_a_uri(shell_with_server: Any, manifest: Any, tag: str, tmp_path: Path) -> None:
    shell = shell_with_server
    assert shell.run("run", str(manifest({"prompt": tag})), "--results", "out.csv").code == 0
    grow_old(shell.ledger)
    pruned = shell.run("ledger", "prune", "--older-than", "30", "--json", "--to", (tmp_path / "moved").as_uri())
    assert pruned.code == 0, pruned.stderr
    assert [Path(file).parent for file in pruned.json["files"]] == [tmp_path / "moved"]
    assert all(Path(file).exists() for file in pruned.json["files"])


def test_a_backup_is_a_file_of_this_machine(shell_with_server: Any, tmp_path: Path) -> None:
    shell = shell_with_server
    refused = shell.run("ledger", "backup", "s3://film/ledger.sqlite")
    assert refused.code == 2
    assert "FILE: found s3://film/ledger.sqlite; allowed: a path on this machine's disk" in refused.stderr
    assert list(shell.home.glob("s3:*")) == []
