"""The database of a real run's results: each view beside the same question asked of pandas."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from animatic import read_results, summarise
from animatic.errors import LocationError
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.database import VIEWS, fill, require_database_place

HOSTILE = 'x"; DROP TABLE results; --'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sandbox: Any, prefect_server: Any, tools: Any) -> Path:
    """A run of three storyboards with failures, flags and an invalid row, and its database."""
    folder = tmp_path_factory.mktemp("run")
    shell = tools.new_shell(folder / "home", sandbox)
    shell.more["PREFECT_API_URL"] = prefect_server.url
    rows = [
        {"storyboard": "a", "shot_id": "a1", "prompt": "pan 1 [sandbox:slow=0.1]", "takes": 2},
        {"storyboard": "a", "shot_id": "a2", "prompt": "pan 2 [sandbox:slow=0.2]", "takes": 2},
        {"storyboard": "a", "shot_id": "burned", "prompt": f"tilt {folder.name} [sandbox:fails]"},
        {"storyboard": "b", "shot_id": "flag", "prompt": "push in [sandbox:nsfw]", "note": HOSTILE, "Note": "='1'"},
        {"storyboard": HOSTILE, "shot_id": HOSTILE, "prompt": HOSTILE, "duration": "8s"},
        {"storyboard": "b", "shot_id": "bad", "prompt": "zoom", "duration": "9s"},
    ]
    path = str(tools.write_manifest(shell.home / "shots.csv", rows))
    ran = shell.run("run", path, "--results", "out.parquet", "--skip-invalid")
    assert ran.code == 3, ran.stderr
    ended = shell.run("results", path, "--results", "out.parquet", "--skip-invalid", "--duckdb", "out.duckdb")
    assert ended.code == 3, ended.stderr
    assert "duckdb: out.duckdb: 8 rows" in ended.stderr
    return shell.home


@pytest.fixture
def frame(folder: Path) -> pd.DataFrame:
    return read_results(str(folder / "out.parquet"))


@pytest.fixture
def database(folder: Path) -> Iterator[Any]:
    with duckdb.connect(str(folder / "out.duckdb"), read_only=True) as connection:
        yield connection


def asked(database: Any, view: str, *columns: str) -> list[tuple[Any, ...]]:
    shown = ", ".join(f'"{column}"' for column in columns) or "*"
    return database.execute(f"SELECT {shown} FROM {view}").fetchall()


def of(frame: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    rows = frame[list(columns)].itertuples(index=False)
    return [tuple(None if pd.isna(value) else value for value in row) for row in rows]


IDENTITY = ("row", "storyboard", "shot_id", "take")


def test_views_of_rows_are_those_that_pandas_picks(database: Any, frame: pd.DataFrame) -> None:
    completed = frame[frame.status == "completed"]
    newest = completed.sort_values("take").groupby(["storyboard", "shot_id"]).tail(1).sort_values("row")
    assert asked(database, "not_done", *IDENTITY, "status", "error") == of(
        frame[frame.status != "completed"], *IDENTITY, "status", "error"
    )
    assert asked(database, "flagged", *IDENTITY) == of(completed[completed.nsfw.fillna(value=True)], *IDENTITY)
    assert asked(database, "newest_takes", *IDENTITY) == of(newest, *IDENTITY)
    assert asked(database, "archive_gaps", *IDENTITY) == of(completed[completed.clip_uri.isna()], *IDENTITY)
    assert len(asked(database, "not_done")) == 2
    assert [row[2] for row in asked(database, "flagged", *IDENTITY)] == ["flag"]


def test_views_of_groups_are_what_pandas_and_the_summary_say(database: Any, frame: pd.DataFrame) -> None:
    summary = summarise(frame).iloc[:-1]
    names = ("storyboard", "takes", "completed", "failed", "rejected")
    assert sorted(asked(database, "failure_rates", *names)) == sorted(of(summary, *names))
    rates = dict(asked(database, "failure_rates", "storyboard", "failure_rate"))
    assert rates["a"] == pytest.approx(1 / 5)
    costs = [(storyboard, cost or None) for storyboard, cost in of(summary, "storyboard", "cost_usd")]
    assert sorted(asked(database, "costs", "storyboard", "quoted_usd"), key=repr) == sorted(costs, key=repr)
    times = frame[frame.status == "completed"].groupby(["storyboard", "model", "duration"], sort=False).inference_ms
    wanted = {key: (len(group), *(group / 1_000).astype(float).quantile([0.5, 0.95])) for key, group in times}
    found = {row[:3]: row[3:] for row in asked(database, "inference_times")}
    assert found.keys() == wanted.keys()
    assert all(found[key] == pytest.approx(wanted[key]) for key in wanted)


def test_no_cell_and_no_name_of_a_column_is_run(database: Any, frame: pd.DataFrame) -> None:
    rows = database.execute('SELECT shot_id, prompt, note, Note_2 FROM results ORDER BY "row"').fetchall()
    assert len(rows) == len(frame) == 8
    assert (HOSTILE, HOSTILE) in [row[:2] for row in rows]
    assert (HOSTILE, "='1'") in [row[2:] for row in rows]
    types = {name: of_type for name, of_type, *_ in database.execute("DESCRIBE results").fetchall()}
    assert [types[name] for name in ("outputs", "quoted_usd", "nsfw", "submitted_at")] == [
        *("VARCHAR[]", "DECIMAL(12,6)", "BOOLEAN", "TIMESTAMP WITH TIME ZONE")
    ]


def test_checks_that_a_clip_fails_have_a_row_each() -> None:
    of_checks = [] if "qa" in RESULTS_SCHEMA.names else [pa.field("qa", pa.list_(pa.string()))]
    checks = (["black", "cuts"], [], None)
    rows = [{"row": number, "shot_id": f"s{number}", "take": 1, "qa": qa} for number, qa in enumerate(checks, 1)]
    with duckdb.connect() as connection:
        assert fill(connection, iter([pa.Table.from_pylist(rows, pa.schema([*RESULTS_SCHEMA, *of_checks]))])) == 3
        assert asked(connection, "qa_failures", "row", "check_failed") == [(1, "black"), (1, "cuts")]
        views = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        assert {view for (view,) in views} == set(VIEWS)


def test_an_empty_table_has_all_views_too() -> None:
    with duckdb.connect() as connection:
        assert fill(connection, iter([])) == 0
        assert asked(connection, "not_done") == asked(connection, "costs") == []


def test_only_a_database_of_ours_is_replaced(folder: Path, tmp_path: Path, tools: Any) -> None:
    require_database_place(str(folder / "out.duckdb"))
    require_database_place(str(tmp_path / "new.duckdb"))
    (tmp_path / "notes.duckdb").write_text("my notes")
    with duckdb.connect(str(tmp_path / "mine.duckdb")) as connection:
        connection.execute("CREATE TABLE results AS SELECT 1")
    (tmp_path / "torn.duckdb").write_bytes((tmp_path / "mine.duckdb").read_bytes()[:100])
    for name in ("notes.duckdb", "mine.duckdb", "torn.duckdb", "."):
        before = (tmp_path / name).read_bytes() if name != "." else b""
        with pytest.raises(LocationError, match=r"--duckdb|not a file"):
            require_database_place(str(tmp_path / name))
        assert name == "." or (tmp_path / name).read_bytes() == before


def test_without_the_extra_the_message_says_which_to_install() -> None:
    code = """if True:
        import sys
        sys.modules["duckdb"] = None  # as where it is not installed
        from animatic.errors import SettingsError
        from animatic.results.database import require_database_place
        try:
            require_database_place("out.duckdb")
        except SettingsError as error:
            print(error)
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "install the extra: pip install 'animatic[duckdb]'" in said
