"""The `timeline` command: storyboards and files, and the extra that it needs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import opentimelineio
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from animatic.results.columns import RESULTS_SCHEMA


def write_table(path: Path, *shots: tuple[str, str]) -> Path:
    """A results table of shots that failed, each of a storyboard."""
    rows = [
        {
            "row": number,
            "storyboard": storyboard,
            "shot_id": shot_id,
            "take": 1,
            "status": "failed",
            "model": "m",
            "image": "https://stills.example/a.png",
            "prompt": "p",
            "fingerprint": f"{number:064x}",
        }
        for number, (storyboard, shot_id) in enumerate(shots, 1)
    ]
    metadata = {"animatic.schema_version": "6"}
    pq.write_table(pa.Table.from_pylist(rows, RESULTS_SCHEMA.with_metadata(metadata)), path)
    return path


@pytest.fixture
def home(shell: Any) -> Path:
    return shell.home


def test_several_storyboards_need_a_name_with_a_place_for_theirs(shell: Any, home: Path) -> None:
    write_table(home / "out.parquet", ("a/b", "s1"), ("A\\B", "s2"), ("é", "s3"))
    refused = shell.here("timeline", "out.parquet", "-o", "cut.edl")
    assert refused.code == 2
    assert "found 3 storyboards" in refused.stderr
    assert "-o '{storyboard}.edl'" in refused.stderr
    ended = shell.here("timeline", "out.parquet", "-o", "cuts/{storyboard}.edl", "--json")
    assert ended.code == 0, ended.stderr
    assert sorted(path.name for path in (home / "cuts").iterdir()) == ["A-B_2.edl", "a-b.edl", "é.edl"]
    assert [each["shots"] for each in ended.json["timelines"]] == [1, 1, 1]


def test_only_picks_storyboards_and_shots(shell: Any, home: Path) -> None:
    write_table(home / "out.parquet", ("one", "s1"), ("one", "s2"), ("two", "s3"))
    ended = shell.here("timeline", "out.parquet", "-o", "cut.otio", "--only", "storyboard=one", "--only", "shot_id=s2")
    assert ended.code == 0, ended.stderr
    timeline: Any = opentimelineio.adapters.read_from_file(str(home / "cut.otio"))
    assert [clip.name for clip in timeline.find_clips()] == ["s2 (failed)"]
    for only, says in (("prompt=p", "allowed: storyboard, shot_id"), ("storyboard=three", "no shot is left")):
        refused = shell.here("timeline", "out.parquet", "-o", "cut.otio", "--only", only)
        assert (refused.code, says in refused.stderr) == (2, True), refused.stderr


def test_without_the_extra_the_message_names_it() -> None:
    code = """if True:
        import sys
        sys.modules["opentimelineio"] = None  # as where it is not installed
        from animatic.errors import SettingsError
        from animatic.review.timeline.library import opentimelineio
        try:
            opentimelineio()
        except SettingsError as error:
            print(error)
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "install the extra: pip install 'animatic[timeline]'" in said
