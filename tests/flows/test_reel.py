"""`animatic reel`: results table and decisions in, one film of each storyboard out."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filmed import circle, film, frames_in
from recent import newest_artifacts, newest_runs

from animatic.results.columns import RESULTS_SCHEMA

SIZE = (320, 180)
RED, GREEN, BLUE = (220, 40, 40), (40, 200, 60), (40, 60, 220)


def row(number: int, shot_id: str, take: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "row": number,
        "storyboard": "storm",
        "shot_id": shot_id,
        "take": take,
        "status": "completed",
        "model": "m",
        "image": "https://stills.example/a.png",
        "prompt": "p",
        "duration": "1s",
        "fingerprint": hashlib.sha256(f"{shot_id} {take}".encode()).hexdigest(),
    } | more


def archived(path: Path, colour: tuple[int, int, int]) -> dict[str, Any]:
    film(path, [circle(colour, SIZE)] * 6)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "clip_uri": path.as_uri(), "sha256": digest, "clip_width": 320, "clip_height": 180, "clip_fps": 24.0,
    }  # fmt: skip


def write_table(path: Path, *rows: Mapping[str, Any]) -> Path:
    metadata = {"animatic.schema_version": "6"}
    pq.write_table(pa.Table.from_pylist([*map(dict, rows)], RESULTS_SCHEMA.with_metadata(metadata)), path)
    return path


def colours_of(path: Path) -> list[str]:
    """Return which of three colours the middle of each frame has; other frames are `-`."""
    names = {"red": RED, "green": GREEN, "blue": BLUE}
    found = []
    for frame in frames_in(path):
        middle = frame[86:94, 156:164].mean(axis=(0, 1))
        near = [name for name, colour in names.items() if np.abs(middle - colour).max() < 25]
        found.append(near[0] if near else "-")
    return found


@pytest.fixture
def table(shell: Any) -> Path:
    """Two storyboards: a shot with two takes, one that failed, and one of another board."""
    home = shell.home
    return write_table(
        home / "out.parquet",
        row(1, "S01", 1, **archived(home / "a.mp4", RED)),
        row(1, "S01", 2, **archived(home / "b.mp4", GREEN)),
        row(2, "S02", status="failed", error_code=1003, error="refused"),
        row(3, "T01", storyboard="train", **archived(home / "c.mp4", BLUE)),
    )


def test_each_storyboard_is_a_film_of_its_newest_takes(shell: Any, table: Path) -> None:
    ended = shell.run("reel", "out.parquet", "-o", "reels", "--json")
    assert ended.code == 0, ended.stderr
    storm, train = ended.json["reels"]
    assert (storm["storyboard"], storm["shots"], storm["slates"], storm["frames"]) == ("storm", 2, 1, 6 + 24)
    assert (train["uri"], train["frames"], train["problems"]) == ("reels/train.mp4", 6, [])
    assert colours_of(shell.home / "reels" / "storm.mp4") == ["green"] * 6 + ["-"] * 24
    assert colours_of(shell.home / "reels" / "train.mp4") == ["blue"] * 6


def test_decisions_pick_the_take_and_only_it_is_encoded(shell: Any, table: Path) -> None:
    shell.run("reel", "out.parquet", "-o", "storm.mp4", "--only", "storyboard=storm")
    (shell.home / "decisions.csv").write_text("shot_id,take,fingerprint,decision\nS01,1,,approved\n")
    ended = shell.run("reel", "out.parquet", "-o", "storm.mp4", "--only", "storyboard=storm", "--json")
    assert ended.code == 0, ended.stderr
    assert (ended.json["reels"][0]["encoded"], ended.json["reels"][0]["reused"]) == (1, 1)
    assert colours_of(shell.home / "storm.mp4")[:6] == ["red"] * 6
    (shell.home / "other.csv").write_text("shot_id,take,fingerprint,decision\nS01,1,,discarded\nS01,2,,discarded\n")
    ended = shell.run(
        "reel", "out.parquet", "-o", "storm.mp4", "--only", "shot_id=S01", "--decisions", "other.csv", "--json"
    )
    assert (ended.code, ended.json["reels"][0]["slates"]) == (0, 1)


def test_a_missing_clip_is_named_and_ends_with_3(shell: Any, table: Path) -> None:
    (shell.home / "c.mp4").unlink()
    ended = shell.run("reel", "out.parquet", "-o", "train.mp4", "--only", "storyboard=train")
    assert ended.code == 3
    assert "shot T01, take 1: c.mp4 is not in the archive any more" in ended.stderr
    assert len(frames_in(shell.home / "train.mp4")) == 24


def test_a_clip_that_was_never_archived_is_named(shell: Any) -> None:
    write_table(shell.home / "out.parquet", row(1, "S\n01"))
    ended = shell.run("reel", "out.parquet", "-o", "storm.mp4")
    assert ended.code == 3
    assert "shot S\\n01, take 1: it is in no archive; fetch it with animatic archive" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "one.mp4"), 'found 2 storyboards ("storm", "train"); allowed: one in a file; give a folder'),
        (("-o", "reels", "--size", "1281x720"), '--size: found "1281x720"; allowed: WIDTHxHEIGHT'),
        (("-o", "reels", "--fps", "fast"), '--fps: found "fast"; allowed: 1 to 60'),
        (("-o", "reels", "--only", "take=1"), '--only: found the column "take"; allowed: storyboard, shot_id'),
        (("-o", "reels", "--decisions", "none.csv"), "--decisions none.csv: there is no such file"),
    ],
)
def test_a_wrong_option_ends_with_2_and_writes_nothing(
    shell: Any, table: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = shell.here("reel", "out.parquet", *arguments)
    assert ended.code == 2
    assert said in " ".join(ended.stderr.split())
    assert not list(shell.home.glob("reels*"))


def test_prefect_links_each_reel(tmp_path: Path, tools: Any, sandbox: Any, prefect_server: Any, prefect: Any) -> None:
    shell = tools.new_shell(tmp_path / "home", sandbox, prefect_server)
    write_table(shell.home / "out.parquet", row(1, "S01", storyboard="linked", **archived(shell.home / "a.mp4", RED)))
    ended = shell.run("reel", "out.parquet", "-o", "linked.mp4")
    assert ended.code == 0, ended.stderr
    assert "note: Prefect" not in ended.stderr
    place = (shell.home / "linked.mp4").as_uri()
    assert any(place in json.dumps(each.data) for each in newest_artifacts(prefect))
    assert "1 reel of 1 shot, 0 of them slates" in {each.state.message for each in newest_runs(prefect) if each.state}
