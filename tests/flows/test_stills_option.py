"""`--stills`: the folder that relative paths of stills start from, on disk or in an object store."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from s3_server import Store, environment

# Prefect leaves sockets to the garbage collector, which may run in any test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def drawn(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (1280, 720), (shade, 90, 90)).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    """A folder away from the manifest's."""
    folder = tmp_path / "nas" / "stills A"
    (folder / "day").mkdir(parents=True)
    (folder / "day" / "one.png").write_bytes(drawn(1))
    (folder / "two.png").write_bytes(drawn(2))
    return folder


def test_the_same_bytes_are_the_same_take_wherever_they_lie(
    *, shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any, stills: Path, s3_url: str, bucket: Any
) -> None:
    shell = shell_with_server
    shots = str(manifest({"image": "day/one.png", "prompt": f"a {tag}"}, {"image": "two.png", "prompt": f"b {tag}"}))
    ended = shell.run("run", shots, "--results", "out.parquet", "--stills", str(stills), "--json")
    assert (ended.code, ended.json["submitted"]) == (0, 2), ended.stderr
    rows = tools.read_rows(shell.home / "out.parquet")
    assert [row["still_uri"] for row in rows] == [
        f"file://{stills}/day/one.png".replace(" ", "%20"),
        f"file://{stills}/two.png".replace(" ", "%20"),
    ]
    bucket.put(str(stills), "bucket/films/", recursive=True)
    shell.more |= environment(s3_url)
    again = shell.run("run", shots, "--results", "s3.parquet", "--stills", "s3://bucket/films/stills A/", "--json")
    assert (again.code, again.json["submitted"], again.json["cached"]) == (0, 0, 2), again.stderr
    rows = tools.read_rows(shell.home / "s3.parquet")
    assert [row["still_uri"] for row in rows] == [
        "s3://bucket/films/stills A/day/one.png",
        "s3://bucket/films/stills A/two.png",
    ]
    assert sandbox.submitted(tag).total() == 2


def test_stills_of_a_bucket_are_uploaded_and_read_once(
    *, shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, s3_url: str, bucket: Any
) -> None:
    shell = shell_with_server
    for number in range(3):
        bucket.pipe(f"bucket/films/{number}.png", drawn(100 + number))
    shell.more |= environment(s3_url)
    shots = str(manifest(*({"image": f"{number}.png", "prompt": f"{number} {tag}"} for number in range(3))))
    ended = shell.run("run", shots, "--results", "out.parquet", "--stills", "s3://bucket/films", "--json")
    assert (ended.code, ended.json["completed"]) == (0, 3), ended.stderr
    assert sandbox.submitted(tag).total() == 3
    assert sorted(Store.reads) == [f"films/{number}.png" for number in range(3)]


def test_full_paths_inside_the_folder_are_accepted_and_no_others(
    shell: Any, manifest: Any, tag: str, stills: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere.png").write_bytes(drawn(3))
    inside = manifest(
        {"image": f"{stills}/day/one.png", "prompt": tag},
        {"image": f"file://{stills}/two.png".replace(" ", "%20"), "prompt": tag},
        name="in.csv",
    )
    ended = shell.run("plan", str(inside), "--stills", str(stills), "--json")
    assert ended.code == 0, ended.stderr
    for outside in (f"{tmp_path}/elsewhere.png", f"{stills}/../../elsewhere.png", f"{stills}B/two.png"):
        refused = shell.run(
            "plan", str(manifest({"image": outside, "prompt": tag}, name="out.csv")), "--stills", str(stills)
        )
        assert (refused.code, "out.csv:2: image: found" in refused.stderr) == (2, True), refused.stderr
    assert shell.run("plan", str(inside)).code == 0  # they lie in the manifest's own folder
    (tmp_path / "apart").mkdir()
    apart = tmp_path / "apart/in.csv"
    apart.write_bytes(inside.read_bytes())
    refused = shell.run("plan", str(apart))
    assert "name the folder that the stills are in: --stills FOLDER" in refused.stderr


def test_a_folder_of_stills_that_is_not_there_is_refused(shell: Any, manifest: Any, tag: str, stills: Path) -> None:
    shots = str(manifest({"image": "two.png", "prompt": tag}))
    for wrong in (f"{stills}/nowhere", f"{stills}/two.png", " "):
        ended = shell.run("plan", shots, "--stills", wrong)
        assert (ended.code, "--stills: found" in ended.stderr) == (2, True), ended.stderr


def test_a_schedule_takes_the_folder_too(*, run_flow: Any, manifest: Any, sandbox: Any, tag: str, stills: Path) -> None:
    ran = run_flow(manifest({"image": "two.png", "prompt": tag}), stills=str(stills))
    assert (ran.statuses, sandbox.submitted(tag).total()) == (["completed"], 1)


def test_the_table_from_the_ledger_needs_the_same_folder(
    *, shell_with_server: Any, manifest: Any, tag: str, stills: Path, tools: Any
) -> None:
    shots = str(manifest({"image": "two.png", "prompt": tag}))
    assert shell_with_server.run("run", shots, "--results", "a.parquet", "--stills", str(stills)).code == 0
    again = shell_with_server.run("results", shots, "--results", "b.parquet", "--stills", str(stills))
    assert again.code == 0, again.stderr
    (row,) = tools.read_rows(shell_with_server.home / "b.parquet")
    assert row["status"] == "completed"
