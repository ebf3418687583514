"""Clips beside the results: the command as users type it, and what it says where a clip cannot be had."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from animatic.media.dataset import FILE


@pytest.fixture
def shell(shell_with_server: Any) -> Any:
    shell_with_server.archives = True
    return shell_with_server


@pytest.fixture
def shots(manifest: Any, tag: str) -> Path:
    return manifest(*({"prompt": f"{name} {tag}", "shot_id": name} for name in ("one", "two", "CON", "a/b")))


def rows_of(shell: Any, name: str = "out.parquet") -> dict[str, Any]:
    return {row["shot_id"]: row for row in pyarrow.parquet.read_table(shell.home / name).to_pylist()}


def test_a_run_keeps_its_clips_beside_the_results_and_buys_none_twice(shell: Any, shots: Path) -> None:
    first = shell.run("run", str(shots), "--results", "out.parquet", "--json")
    assert first.code == 0, first.stderr
    folder = shell.home / "out.clips"
    names = {"shots_one_t01.mp4", "shots_two_t01.mp4", "shots_CON_t01.mp4", "shots_a-b_t01.mp4", FILE}
    assert {path.name for path in folder.iterdir()} == names
    described = {row["file_name"]: row for row in pyarrow.parquet.read_table(folder / FILE).to_pylist()}
    assert described.keys() == names - {FILE}
    one = rows_of(shell)["one"]
    assert [described["shots_one_t01.mp4"][name] for name in SAME] == [one[name] for name in SAME]
    assert not any(str(shell.home) in str(value) for row in described.values() for value in row.values())
    for row in rows_of(shell).values():
        path = Path(row["clip_uri"].removeprefix("file://"))
        assert (path.parent, path.stat().st_size) == (folder, row["size_bytes"])
        assert (row["clip_width"], row["clip_height"], row["clip_duration_s"]) == (1280, 720, 5.0)
        assert (row["archive_error"], len(row["sha256"])) == (None, 64)
        assert json.loads(row["clips"]) == [{name: row[key] for name, key in KEYS.items()}]
    (folder / "shots_one_t01.mp4").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    second = shell.run("run", str(shots), "--results", "out.parquet", "--json")
    assert (second.code, second.json["submitted"]) == (0, 0), second.stderr
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert set(after) == names
    assert before.items() <= after.items()


SAME = (
    *("shot_id", "storyboard", "take", "prompt", "model", "nsfw", "sha256", "size_bytes", "prediction_id"),
    *("fingerprint", "run_id", "inference_ms"),
)
KEYS = {"uri": "clip_uri", "sha256": "sha256", "size_bytes": "size_bytes"}


def test_earlier_runs_are_archived_by_their_tables(shell: Any, shots: Path, tmp_path: Path) -> None:
    ran = shell.run("run", str(shots), "--results", "out.csv", "--no-archive")
    assert ran.code == 0, ran.stderr
    assert not (shell.home / "out.clips").exists()
    ended = shell.run(
        "archive", "out.csv", "--to", str(tmp_path / "kept"), "--clip-name", "{shot_id}_v{version}", "--json"
    )
    assert ended.code == 0, ended.stderr
    assert (ended.json["archived"], ended.json["failed"]) == (4, 0)
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        "one_v1.mp4",
        "two_v1.mp4",
        "CON_v1.mp4",
        "a-b_v1.mp4",
        FILE,
    }
    shown = shell.run("results", str(shots), "--results", "out.parquet")
    assert shown.code == 0, shown.stderr
    assert {Path(row["clip_uri"]).parent.name for row in rows_of(shell).values()} == {"kept"}


def test_what_cannot_be_had_is_told_and_is_no_failed_take(shell: Any, manifest: Any, tag: str, sandbox: Any) -> None:
    shots = manifest(
        {"prompt": f"odd {tag} [sandbox:foreign-output]", "shot_id": "odd"},
        {"prompt": f"good {tag}", "shot_id": "good"},
    )
    ended = shell.run("run", str(shots), "--results", "out.parquet", "--json")
    assert ended.code == 3, ended.stderr
    assert "1 not archived (column archive_error)" in ended.stderr
    assert (ended.json["completed"], ended.json["submitted"]) == (2, 2)
    rows = rows_of(shell)
    assert rows["good"]["archive_error"] is None
    assert "its URL is not fetched" in rows["odd"]["archive_error"]
    assert rows["odd"]["clip_uri"] is None
    assert sandbox.submitted(tag).total() == 2


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--clip-name", "../{shot_id}"), "--clip-name: found"),
        (("--archive", "https://example.com/x"), "cannot write to a web page"),
        (("--archive", "nowhere://x"), "found the scheme nowhere"),
        (("--archive", "here", "--no-archive"), "--no-archive: found --archive beside it"),
    ],
)
def test_an_archive_that_cannot_be_is_refused_before_buying(
    shell: Any, shots: Path, option: tuple[str, ...], said: str, sandbox: Any
) -> None:
    ended = shell.run("run", str(shots), "--results", "out.parquet", *option)
    assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
    assert not any(prompt in shots.read_text() for prompt in sandbox.submitted(""))


def test_a_folder_that_is_no_folder_is_refused_before_buying(shell: Any, shots: Path, sandbox: Any, tag: str) -> None:
    (shell.home / "out.clips").write_text("not a folder")
    ended = shell.run("run", str(shots), "--results", "out.parquet")
    assert (ended.code, "out.clips" in ended.stderr) == (2, True), ended.stderr
    assert sandbox.submitted(tag).total() == 0
    shutil.rmtree(shell.home / "out.clips", ignore_errors=True)


def test_faulty_downloads_are_retried_or_named(shell: Any, manifest: Any, tag: str) -> None:
    faults = ("cut-clip=1", "short-clip=1", "expired-clip", "html-clip", "moved-clip")
    shots = manifest(
        *({"prompt": f"{fault} {tag} [sandbox:{fault}]", "shot_id": fault.partition("=")[0]} for fault in faults)
    )
    ended = shell.run("run", str(shots), "--results", "out.parquet", "--json")
    assert (ended.code, ended.json["completed"], ended.json["submitted"]) == (3, 5, 5), ended.stderr
    errors = {name: row["archive_error"] for name, row in rows_of(shell).items()}
    assert (errors.pop("cut-clip"), errors.pop("short-clip")) == (None, None)
    assert "HTTP 410" in errors["expired-clip"]
    assert "no video, picture or sound" in errors["html-clip"]
    assert "a redirect, which is not followed" in errors["moved-clip"]
    kept = {path.name for path in (shell.home / "out.clips").iterdir()}
    assert kept == {"shots_cut-clip_t01.mp4", "shots_short-clip_t01.mp4", FILE}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk with room for the bytes of two or three blank clips."""
    disk = tmp_path / "disk"
    disk.mkdir()
    asked = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(disk)]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_is_full_stops_archiving_and_no_buying(
    shell: Any, manifest: Any, tag: str, small_disk: Path
) -> None:
    shots = manifest(*({"prompt": f"{name} {tag}", "shot_id": name} for name in "abcdefghijkl"))
    ended = shell.run("run", str(shots), "--results", "out.parquet", "--archive", str(small_disk / "clips"), "--json")
    assert (ended.code, ended.json["completed"]) == (3, 12), ended.stderr
    assert "are free for clips, and 12 clips need about" in ended.stderr
    assert "No space left on device" in ended.stderr
    kept = sorted(path.name for path in (small_disk / "clips").iterdir())
    rows = rows_of(shell).values()
    assert sorted(Path(row["clip_uri"]).name for row in rows if row["clip_uri"]) == kept
    assert all("No space left on device" in row["archive_error"] for row in rows if row["clip_uri"] is None)
    assert len(kept) < 12
    ended = shell.run("run", str(shots), "--results", "out.parquet", "--archive", str(shell.home / "roomy"), "--json")
    assert (ended.code, ended.json["submitted"]) == (0, 0), ended.stderr
    assert len(list((shell.home / "roomy").glob("*.mp4"))) == 12
