"""A local still that cannot be decoded is a fault before anything is bought; the run after it decodes nothing again."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

# Prefect leaves sockets to the garbage collector, which may run in any test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def drawn(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (1280, 720), (shade, 90, 90)).save(data, "JPEG")
    return data.getvalue()


@pytest.fixture
def shots(manifest: Any, tag: str, tmp_path: Path) -> Path:
    """Three shots, the second with a still that is cut off."""
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(drawn(number))
    (tmp_path / "1.jpg").write_bytes(drawn(1)[:5_000])
    return manifest(*({"image": f"{n}.jpg", "prompt": f"{n} {tag}", "shot_id": f"s{n}"} for n in range(3)))


def test_plan_and_run_refuse_a_damaged_still_and_buy_nothing(
    shell_with_server: Any, shots: Path, sandbox: Any, tag: str
) -> None:
    for command in (("plan",), ("run", "--results", "out.jsonl")):
        ended = shell_with_server.run(command[0], str(shots), *command[1:])
        assert ended.code == 2
        (line,) = (line for line in ended.stderr.splitlines() if "image" in line)
        assert line.startswith('shots.csv:3: image: found "1.jpg": begins like a JPEG image and is cut off')
    assert sandbox.submitted(tag).total() == 0


def test_it_is_told_beside_the_faults_of_other_rows(shell: Any, manifest: Any, shots: Path, tag: str) -> None:
    del shots
    both = manifest({"image": "1.jpg", "prompt": tag}, {"image": "nowhere.jpg", "prompt": tag}, name="both.csv")
    ended = shell.run("plan", str(both))
    assert ended.code == 2
    assert 'both.csv:2: image: found "1.jpg": begins like a JPEG' in ended.stderr
    assert 'both.csv:3: image: found no file "nowhere.jpg"' in ended.stderr


def test_the_row_of_a_damaged_still_is_invalid_where_faults_are_skipped(
    shell_with_server: Any, shots: Path, sandbox: Any, tag: str
) -> None:
    ended = shell_with_server.run("run", str(shots), "--results", "out.jsonl", "--skip-invalid", "--json")
    assert (ended.code, ended.json["completed"], ended.json["invalid"]) == (3, 2, 1), ended.stderr
    assert set(sandbox.submitted(tag)) == {f"0 {tag}", f"2 {tag}"}
    again = shell_with_server.run("plan", str(shots), "--skip-invalid")
    assert "0 to buy, 2 done" in again.stdout


def test_a_schedule_decodes_in_tasks_and_is_refused(run_flow: Any, shots: Path, sandbox: Any, tag: str) -> None:
    ran = run_flow(shots)
    assert ran.state.name == "Refused"
    assert "cut off" in str(ran.end.problem)
    assert sandbox.submitted(tag).total() == 0
    ran = run_flow(shots, skip_invalid=True)
    assert ran.statuses == ["completed", "invalid", "completed"]
    assert "cut off" in ran.rows[1]["error"]
    decoded = {run.name: run.state.name for run in ran.task_runs() if run.name.startswith("decode ")}
    assert decoded == {f"decode {number}.jpg": "Cached" for number in range(3)}, "remembered by content"
