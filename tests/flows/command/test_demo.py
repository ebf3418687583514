"""`animatic demo`, twice: the main job on the bundled manifest, with real clips; and what the README does with it."""

import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.csv
import pyarrow.parquet
import pytest
from reader import share_drawn_clips

from animatic.media.clips import probe_clip
from animatic.results.board import ShotShown
from animatic.results.boards import find_board_files, read_board
from animatic.sandbox.witness import read_witness
from animatic.takes.inputs import Inputs
from animatic.takes.veo2 import ASPECT_RATIO, size_of

REPOSITORY = Path(__file__).parents[3]
SIZES = {"16:9": (1280, 720), "9:16": (720, 1280)}


def test_a_demo_that_is_interrupted_ends_and_buys_nothing_more(
    shell_with_server: Any, tmp_path: Path, tools: Any
) -> None:
    shell, out = shell_with_server, tmp_path / "animatic-demo"
    for name in ("WAVESPEED_API_KEY", "WAVESPEED_BASE_URL", "ANIMATIC_ACCOUNT_LEVEL"):
        del shell.more[name]
    process = shell.start("demo", "--out", str(out), "--no-open")
    try:
        tools.wait_until(lambda: read_witness(out / "sandbox") or process.poll() is not None, 90)
        process.terminate()
        stdout, stderr = process.communicate(timeout=90)
    finally:
        tools.kill_group(process)
    assert process.returncode == 130, stderr
    assert "interrupted by SIGTERM; the same command goes on from here" in stderr
    assert "Traceback" not in stderr + stdout
    assert (out / "results.parquet").exists()
    assert not (out / "decisions.csv").exists()
    assert not (out / "retakes.parquet").exists()


@pytest.mark.timeout(600)
def test_the_demo_makes_real_clips_and_buys_nothing_the_second_time(
    shell_with_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell, out = shell_with_server, tmp_path / "animatic-demo"
    share_drawn_clips(shell.home)
    for name in ("WAVESPEED_API_KEY", "WAVESPEED_BASE_URL", "ANIMATIC_ACCOUNT_LEVEL"):
        del shell.more[name]
    first = shell.run("demo", "--out", str(out), timeout_s=400)
    assert first.code == 0, first.stderr
    assert "meant to fail: " in first.stderr
    assert "not as meant" not in first.stderr
    assert "checks: last-train-02 take 1: frozen" in first.stderr
    for unwanted in ("Traceback", "prefect", "\x1b"):
        assert unwanted not in first.stderr
    for name in ("results.parquet", "results.csv", "clips", "contact-sheet.jpg", "results.review/index.html"):
        assert str(out / name) in first.stdout
        assert (out / name).exists()

    rows = pyarrow.parquet.read_table(out / "results.parquet").to_pylist()
    assert len({row["row"] for row in rows}) >= 10
    assert len({row["storyboard"] for row in rows}) == 2
    assert {row["aspect_ratio"] for row in rows} == set(ASPECT_RATIO.allowed)
    assert max(row["take"] for row in rows) == 2
    assert [row["status"] for row in rows].count("failed") == 1
    assert sum(row["nsfw"] is True for row in rows) == 1
    completed = [row for row in rows if row["status"] == "completed"]
    assert len(completed) == len(rows) - 1
    clips = {(row["row"], row["take"]): list((out / "clips").glob(name_of(row))) for row in completed}
    assert [len(found) for found in clips.values()] == [1] * len(completed)
    for row in {row["aspect_ratio"]: row for row in completed}.values():  # the demo itself has looked at each
        stats = probe_clip(clips[row["row"], row["take"]][0])
        assert (stats.codec, (stats.width, stats.height)) == ("h264", size_of(Inputs(row)))
        assert stats.duration_s == pytest.approx(float(row["duration"].removesuffix("s")), abs=0.1)
    assert pyarrow.csv.read_csv(out / "results.csv")["row"].to_pylist() == [row["row"] for row in rows]
    again = pyarrow.parquet.read_table(out / "retakes.parquet").to_pylist()
    assert [(row["shot_id"], row["take"], row["status"]) for row in again] == [("lighthouse-02", 1, "completed")]
    assert len(read_witness(out / "sandbox")) == len(rows) + 1
    assert [len(shot.versions) for shot in board_of(out) if shot.shot_id == "lighthouse-02"] == [2]
    assert {path.name for path in (out / "reels").iterdir()} == {"lighthouse.mp4", "last-train.mp4"}

    made = {path.name: path.stat().st_mtime_ns for path in (out / "clips").iterdir()}
    second = shell.run("demo", "--out", str(out), "--json", timeout_s=200)
    assert second.code == 0, second.stderr
    reported = json.loads(second.stdout.splitlines()[-1])
    assert (reported["submitted"], reported["cached"]) == (0, len(rows))
    assert len(read_witness(out / "sandbox")) == len(rows) + 1
    assert {path.name: path.stat().st_mtime_ns for path in (out / "clips").iterdir()} == made

    monkeypatch.chdir(tmp_path)
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (python,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(python, "README.md", "exec"), {})  # the words of the README, as they stand
    assert "lighthouse" in capsys.readouterr().out
    (sql,) = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)
    answers = [duckdb.sql(query).fetchall() for query in sql.split(";") if query.strip()]
    assert [[row[0] for row in answer] for answer in answers] == [["lighthouse-03"], ["last-train-04"]]


def board_of(out: Path) -> tuple[ShotShown, ...]:
    """The shots of the demo's two tables."""
    return read_board(find_board_files([str(out / "results.parquet"), str(out / "retakes.parquet")])).shots


def name_of(row: dict[str, Any]) -> str:
    return f"{row['storyboard']}_{row['shot_id']}_t{row['take']:02}.mp4"
