"""`animatic history`: every paid attempt of all runs, once, however often it is written."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds

from animatic.results.history import SCHEMA


def table_in(folder: Path) -> list[dict[str, Any]]:
    found = ds.dataset(folder, partitioning="hive").to_table()
    assert found.schema.remove_metadata().names == [*SCHEMA.names, "date"]
    return found.to_pylist()


def test_every_paid_attempt_is_there_once_with_its_shot_and_its_times(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tmp_path: Path
) -> None:
    shell, folder = shell_with_server, tmp_path / "history"
    rows = (
        {"prompt": f"push in {tag}", "shot_id": "one", "takes": 2},
        {"prompt": f"pan {tag} [sandbox:fails]", "shot_id": "two"},
        {"prompt": f"tilt {tag} [sandbox:rejects]", "shot_id": "three"},
    )
    shots = str(manifest(*rows))
    assert shell.run("run", shots, "--results", "out.csv").code == 3
    shell.run("run", shots, "--results", "out.csv", "--retry-failed")
    for _ in range(2):
        ended = shell.run("history", "--to", str(folder), "--json")
        assert (ended.code, ended.json["attempts"], ended.json["days"]) == (0, 4, 1), ended.stderr
        found = table_in(folder)
        assert [(row["shot_id"], row["take"], row["attempt"], row["status"]) for row in found] == [
            ("one", 1, 1, "completed"),
            ("one", 2, 1, "completed"),
            ("two", 1, 1, "failed"),
            ("two", 1, 2, "failed"),
        ]
    assert sandbox.submitted(tag).total() == 4
    first = found[0]
    assert (str(first["quoted_usd"]), first["charged_usd"], first["manifest"]) == ("2.500000", None, f"file://{shots}")
    assert first["inference_ms"] > 0
    assert first["queue_ms"] >= 0
    assert first["account"] == sandbox.url
    sql = f"SELECT sum(quoted_usd), count(DISTINCT prediction_id) FROM '{folder}/*/*.parquet'"
    assert duckdb.sql(sql).fetchall() == [(10, 4)]


def test_a_day_is_chosen_and_a_wrong_one_named(shell: Any, tmp_path: Path) -> None:
    wrong = shell.run("history", "--to", str(tmp_path / "h"), "--since", "yesterday")
    assert (wrong.code, '--since: found "yesterday"; allowed: a UTC date' in wrong.stderr) == (2, True)
    nothing = shell.run("history", "--to", str(tmp_path / "h"), "--json")
    assert nothing.code == 2
    assert "there is none yet, so there is no history" in nothing.stderr
    assert not (tmp_path / "h").exists()
