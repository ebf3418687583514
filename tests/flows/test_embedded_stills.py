"""A Parquet file that holds its stills: each is uploaded once by its content, and is the same take as a local one."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

# Prefect leaves sockets to the garbage collector, which may run in any test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def drawn(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (1280, 720), (shade, 90, 40)).save(data, "PNG")
    return data.getvalue()


def written(path: Path, *rows: dict[str, Any]) -> str:
    pd.DataFrame(rows).to_parquet(path)
    return str(path)


def test_stills_in_the_file_are_bought_with_and_are_those_on_disk(
    *, shell_with_server: Any, sandbox: Any, tag: str, tools: Any, tmp_path: Path
) -> None:
    shell = shell_with_server
    (tmp_path / "two.png").write_bytes(drawn(2))
    shots = written(
        tmp_path / "shots.parquet",
        {"shot_id": "one", "image": {"bytes": drawn(1), "path": "cat.png"}, "prompt": f"a {tag}"},
        {"shot_id": "same", "image": {"bytes": drawn(1), "path": None}, "prompt": f"b {tag}"},
        {"shot_id": "two", "image": {"bytes": None, "path": "two.png"}, "prompt": f"c {tag}"},
        {"shot_id": "web", "image": {"bytes": None, "path": "https://stills.example/a.png"}, "prompt": f"d {tag}"},
    )
    ended = shell.run("run", shots, "--results", "out.parquet", "--json")
    assert (ended.code, ended.json["submitted"]) == (0, 4), ended.stderr
    rows = tools.read_rows(shell.home / "out.parquet")
    assert [row["image"].rpartition("-")[0] for row in rows[:2]] == ["cat", "still"]
    assert [row["still_uri"] for row in rows] == [
        None,
        None,
        f"file://{tmp_path}/two.png",
        "https://stills.example/a.png",
    ]
    (tmp_path / "cat.png").write_bytes(drawn(1))
    local = tmp_path / "local.csv"
    local.write_text(f"shot_id,image,prompt\none,cat.png,a {tag}\nsame,cat.png,b {tag}\n")
    again = shell.run("run", str(local), "--results", "local.parquet", "--json")
    assert (again.code, again.json["submitted"], again.json["cached"]) == (0, 0, 2), again.stderr
    assert sandbox.submitted(tag).total() == 4
    table = shell.run("results", shots, "--results", "again.parquet", "--json")
    assert (table.code, table.json["completed"]) == (0, 4), table.stderr


def test_faults_of_stills_in_the_file_are_those_of_local_ones(shell: Any, tag: str, tmp_path: Path) -> None:
    shots = written(
        tmp_path / "shots.parquet",
        {"image": {"bytes": b"GIF89a...", "path": "cat.gif"}, "prompt": tag},
        {"image": {"bytes": drawn(1)[:900], "path": "cut.png"}, "prompt": tag},
        {"image": {"bytes": None, "path": "/etc/a.png"}, "prompt": tag},
        {"image": {"bytes": None, "path": None}, "prompt": tag},
        {"image": {"bytes": drawn(1) + b"\0" * (20 << 20), "path": "large.png"}, "prompt": tag},
    )
    ended = shell.run("plan", shots)
    assert ended.code == 2
    said = ended.stderr
    assert "row 1: image: found" in said
    assert "is a GIF, not a JPEG" in said
    assert "row 2: image: found" in said
    assert "cut off" in said
    assert 'row 3: image: found "/etc/a.png"' in said
    assert "row 4: image: found nothing" in said
    assert "row 5: image: found" in said
    assert "is larger than 20 MiB" in said


def test_a_schedule_buys_with_stills_in_the_file(*, run_flow: Any, sandbox: Any, tag: str, tmp_path: Path) -> None:
    shots = written(tmp_path / "shots.parquet", {"image": {"bytes": drawn(7), "path": None}, "prompt": tag})
    ran = run_flow(shots)
    assert (ran.statuses, sandbox.submitted(tag).total()) == (["completed"], 1)
