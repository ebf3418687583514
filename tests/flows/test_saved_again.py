"""A results table that a spreadsheet saved again still stands for what was bought."""

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbooks import add_column, save_again

from animatic import read_results

WORDS = {"true": "WAHR", "false": "FALSCH", "16:9": "16:09:00"}


def save_in_german(path: Path) -> None:
    """Open a table in a spreadsheet and save it: semicolons, a byte order mark, WAHR, commas, times; and a comment."""
    header, *rows = csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))
    price = header.index("quoted_usd")
    for row in rows:
        row[:] = [WORDS.get(cell, cell) for cell in row]
        row[price] = row[price].replace(".", ",").rstrip("0")
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=";", lineterminator="\r\n").writerows(
        [[*header, "comment"], *([*row, "good"] for row in rows)]
    )
    path.write_bytes(file.getvalue().encode("utf-8-sig"))


def test_another_ledger_is_noticed_and_takes_the_table_over(
    shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    shots = str(manifest({"prompt": f"one {tag}", "shot_id": "a"}, {"prompt": f"two {tag}", "shot_id": "b"}))
    run = ("run", shots, "--results", "out.csv", "--json")
    assert shell.run(*run).code == 0
    save_in_german(shell.home / "out.csv")
    shell.ledger.unlink()
    shutil.rmtree(f"{shell.ledger}.runs")
    refused = shell.run(*run)
    assert refused.code == 2
    assert "out.csv shows 2 takes as bought that the ledger" in refused.stderr
    taken = shell.run("ledger", "import", "out.csv")
    assert (taken.code, "2 taken over" in taken.stderr) == (0, True), taken.stderr
    again = shell.run(*run)
    assert (again.code, again.json["submitted"], again.json["cached"]) == (0, 0, 2), again.stderr
    assert again.json["manifest_cost_usd"] == 5.0
    rows = list(csv.DictReader((shell.home / "out.csv").read_text().splitlines()))
    assert [(row["shot_id"], row["aspect_ratio"], row["comment"]) for row in rows] == [
        ("a", "16:9", "good"),
        ("b", "16:9", "good"),
    ]
    assert sandbox.submitted(tag).total() == 2


def test_clips_are_archived_by_such_a_table(shell_with_server: Any, manifest: Callable[..., Path], tag: str) -> None:
    shell = shell_with_server
    shell.run("run", str(manifest({"prompt": f"one {tag}"})), "--results", "out.csv")
    save_in_german(shell.home / "out.csv")
    ended = shell.run("archive", "out.csv", "--to", "clips", "--json")
    assert ended.json["clips"] == 1, ended.stderr


def test_a_mapped_manifest_is_written_again(shell_with_server: Any, tmp_path: Path, tag: str) -> None:
    shell = shell_with_server
    (tmp_path / "shots.csv").write_text(f"Picture,Action,by\nhttps://stills.example/a.png,one {tag},me\n")
    mapped = ("--map", "image=Picture", "--map", "prompt=Action")
    ran = shell.run("run", str(tmp_path / "shots.csv"), "--results", "out.csv", *mapped)
    assert ran.code == 0, ran.stderr
    again = shell.run(
        "results", str(tmp_path / "shots.csv"), "--results", "again.csv", *mapped, "--only", "by=me", "--json"
    )
    assert (again.code, again.json["completed"]) == (0, 1), again.stderr
    assert shell.run("results", str(tmp_path / "shots.csv"), "--results", "again.csv").code == 2


def test_a_workbook_goes_through_run_archive_and_import(
    shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    out = shell.home / "out.xlsx"
    run = ("run", str(manifest({"prompt": f"one {tag}"}, {"prompt": f"two {tag}"})), "--results", "out.xlsx", "--json")
    first = shell.run(*run)
    assert first.code == 0, first.stderr
    save_again(out, lambda sheets: add_column(sheets["results"], "rating", [4.5, None]))
    archived = shell.run("archive", "out.xlsx", "--to", "clips", "--json")
    assert archived.json["clips"] == 2, archived.stderr
    shell.ledger.unlink()
    shutil.rmtree(f"{shell.ledger}.runs")
    assert "out.xlsx shows 2 takes as bought that the ledger" in shell.run(*run).stderr
    assert "2 taken over" in shell.run("ledger", "import", "out.xlsx").stderr
    again = shell.run(*run)
    assert (again.code, again.json["submitted"], again.json["cached"]) == (0, 0, 2), again.stderr
    frame = read_results(str(out))
    assert frame["rating"].tolist()[:1] == [4.5]
    assert frame.attrs["animatic.run_id"] == again.json["run_id"]
    assert frame["completed_at"].notna().all()
    assert sandbox.submitted(tag).total() == 2
