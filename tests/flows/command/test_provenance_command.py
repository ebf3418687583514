"""`archive --provenance`: copies in another folder, and archives that stay as they are."""

import hashlib
import json
from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filmed import film, grey

from animatic.results.columns import RESULTS_SCHEMA
from animatic.storage import absolute_uri


def write_table(home: Path, *clips: Path, changes: dict[str, Any] | None = None) -> None:
    """A results table of takes that are completed, each with one of these clips."""
    rows = []
    for number, clip in enumerate(clips, 1):
        data = clip.read_bytes()
        known = {"uri": absolute_uri(str(clip)), "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        rows.append(
            {
                "row": number,
                "storyboard": "b",
                "shot_id": f"s{number}",
                "take": 1,
                "status": "completed",
                "model": "m",
                "image": "https://stills.example/a.png",
                "prompt": f"Größe {number}",
                "run_id": "r1",
                "fingerprint": f"{number:064x}",
                "prediction_id": f"p{number}",
                "clips": json.dumps([{**known, **(changes or {})}]),
            }
        )
    metadata = {"animatic.schema_version": "6"}
    pq.write_table(pa.Table.from_pylist(rows, RESULTS_SCHEMA.with_metadata(metadata)), home / "out.parquet")


@pytest.fixture
def clips(shell: Any) -> list[Path]:
    """Two clips of one name in two archives."""
    found = [shell.home / folder / "é s1_t01.mp4" for folder in ("monday", "tuesday")]
    for number, path in enumerate(found, 1):
        path.parent.mkdir()
        film(path, [grey(60 * number, (320, 180))] * 5)
    return found


def test_copies_have_names_of_their_own_and_are_made_once(shell: Any, clips: list[Path]) -> None:
    write_table(shell.home, *clips)
    before = [clip.read_bytes() for clip in clips]
    ended = shell.here("archive", "out.parquet", "--to", "tagged", "--provenance", "--json")
    assert ended.code == 0, ended.stderr
    assert (ended.json["copies"], ended.json["failed"]) == (2, 0)
    copies = sorted((shell.home / "tagged").iterdir())
    assert [path.name for path in copies] == ["é s1_t01.mp4", "é s1_t01_00000000.mp4"]
    with av.open(str(copies[0])) as copy:
        said = dict(copy.metadata)
    assert said["animatic.prompt"] == "Größe 1"
    assert said["animatic.sha256"] == hashlib.sha256(before[0]).hexdigest()
    made = [path.stat().st_ino for path in copies]
    again = shell.here("archive", "out.parquet", "--to", "tagged", "--provenance")
    assert again.code == 0, again.stderr
    assert [path.stat().st_ino for path in sorted((shell.home / "tagged").iterdir())] == made
    assert [clip.read_bytes() for clip in clips] == before


def test_copies_never_go_into_the_archive(shell: Any, clips: list[Path]) -> None:
    write_table(shell.home, *clips[:1])
    refused = shell.here("archive", "out.parquet", "--to", "monday", "--provenance")
    assert (refused.code, "allowed: another folder" in refused.stderr) == (2, True), refused.stderr
    assert [path.name for path in (shell.home / "monday").iterdir()] == [clips[0].name]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sha256": "0" * 64}, "is not the clip that the results name"),
        ({"uri": "file:///etc/passwd"}, "has no place for it"),
        ({"uri": "file:///nowhere/a.mp4"}, "there is no such file"),
    ],
)
def test_a_clip_that_cannot_be_copied_is_named(shell: Any, clips: list[Path], changes: Any, says: str) -> None:
    write_table(shell.home, clips[0], changes=changes)
    ended = shell.here("archive", "out.parquet", "--to", "tagged", "--provenance", "--json")
    assert (ended.code, ended.json["failed"]) == (3, 1)
    assert says in ended.stderr
    assert not [path for path in (shell.home / "tagged").glob("*") if not path.name.startswith(".")]


def test_takes_without_a_clip_say_what_to_do_first(shell: Any, clips: list[Path]) -> None:
    write_table(shell.home, *clips)
    table = pq.read_table(shell.home / "out.parquet")
    index = table.column_names.index("clips")
    pq.write_table(table.set_column(index, table.field(index), pa.nulls(2, pa.string())), shell.home / "out.parquet")
    ended = shell.here("archive", "out.parquet", "--to", "tagged", "--provenance")
    assert ended.code == 3
    assert "2 completed takes without a clip in an archive; fetch them first" in ended.stderr
