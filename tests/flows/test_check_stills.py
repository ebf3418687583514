"""`--check-stills` looks at stills on the web before money is spent. Here they are files of the sandbox."""

import hashlib
import io
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from others_models import ENTRIES
from PIL import Image

# Prefect leaves sockets to the garbage collector, which may run in any test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PAGE = b"<!doctype html><title>Sign in</title>"


def drawn(shade: int, width: int = 1280, height: int = 720) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 90, 90)).save(data, "PNG")
    return data.getvalue()


class Shelf:
    """Stills on the web that a test can change: files of the sandbox, by a name of this test."""

    def __init__(self, sandbox: Any, tag: str) -> None:
        self._sandbox, self._tag = sandbox, tag

    def put(self, name: str, body: bytes) -> str:
        """Put a still there; return its URL."""
        file = f"{hashlib.sha256(f'{name} {self._tag}'.encode()).hexdigest()[:32]}.png"
        (self._sandbox.folder / "uploads" / file).write_bytes(body)
        return f"{self._sandbox.url}/uploads/{file}"

    def url(self, name: str) -> str:
        return f"{self._sandbox.url}/uploads/{name}"


@pytest.fixture
def shelf(sandbox: Any, tag: str) -> Shelf:
    (sandbox.folder / "uploads").mkdir(exist_ok=True)
    return Shelf(sandbox, tag)


@pytest.fixture
def shots(manifest: Any, shelf: Shelf, tag: str) -> Path:
    """A good still, a page, nothing, and one whose signature has ended."""
    images = (
        shelf.put("good", drawn(1)),
        shelf.put("page", PAGE),
        shelf.url("0" * 32),
        f"{shelf.put('signed', drawn(2))}?AWSAccessKeyId=a&Signature=b&Expires=1735693200",
    )
    return manifest(*({"image": image, "prompt": f"{n} {tag}"} for n, image in enumerate(images)))


def test_plan_and_run_refuse_stills_that_cannot_be_used_and_buy_nothing(
    shell_with_server: Any, shots: Path, sandbox: Any, tag: str
) -> None:
    for command in (("plan",), ("run", "--results", "out.jsonl")):
        ended = shell_with_server.run(command[0], str(shots), "--check-stills", *command[1:])
        assert ended.code == 2
        page, nothing, signed = (line for line in ended.stderr.splitlines() if ": image: " in line)
        assert page.startswith('shots.csv:3: image: found "http://127.0.0.1')
        assert "is text such as HTML or SVG" in page
        assert "though its host calls it image/png; allowed: a link that anyone can fetch" in page
        assert nothing.startswith("shots.csv:4: image: ")
        assert "HTTP 404 instead of an image" in nothing
        assert "its signature ended on 2025-01-01 01:00 UTC; sign it again" in signed
    assert sandbox.submitted(tag).total() == 0


def test_without_the_option_no_still_is_looked_at(shell: Any, shots: Path) -> None:
    ended = shell.run("plan", str(shots))
    assert ended.code == 0, ended.stderr
    assert "4 to buy" in ended.stdout


def test_rows_of_such_stills_are_invalid_where_faults_are_skipped(
    shell_with_server: Any, shots: Path, sandbox: Any, tag: str
) -> None:
    ended = shell_with_server.run(
        "run", str(shots), "--results", "out.jsonl", "--check-stills", "--skip-invalid", "--json"
    )
    assert (ended.code, ended.json["completed"], ended.json["invalid"]) == (3, 1, 3), ended.stderr
    assert set(sandbox.submitted(tag)) == {f"0 {tag}"}


def test_a_small_still_and_a_signature_that_ends_soon_are_notes(
    shell: Any, manifest: Any, shelf: Shelf, tag: str
) -> None:
    small = shelf.put("small", drawn(3, 640, 360))
    ending = f"{shelf.put('ending', drawn(4))}?AWSAccessKeyId=a&Signature=b&Expires={time.time() + 20:.0f}"
    shots = manifest(*({"image": image, "prompt": f"{image} {tag}"} for image in (small, ending)))
    ended = shell.run("plan", str(shots), "--check-stills")
    assert ended.code == 0, ended.stderr
    assert "is 640 x 360 pixels; 720 or more on the shorter side give better clips" in ended.stdout
    assert (
        "note: image: a still has a signature that ends before the run can be expected to have sent it" in ended.stdout
    )


def test_every_image_of_a_model_with_several_is_looked_at(
    shell: Any, manifest: Any, shelf: Shelf, tag: str, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "all.json").write_text(json.dumps(ENTRIES))
    row = {"model": "google/veo3.1-fast/image-to-video", "prompt": tag, "image": shelf.put("first", drawn(5))}
    shots = manifest(row | {"last_image": shelf.url("1" * 32)})
    ended = shell.run("plan", str(shots), "--check-stills", "--models", str(folder))
    assert ended.code == 2
    (line,) = (line for line in ended.stderr.splitlines() if "_image" in line)
    assert line.startswith("shots.csv:2: last_image: found")
    assert "HTTP 404 instead of an image" in line


def test_a_schedule_looks_in_a_task_and_is_refused(run_flow: Any, shots: Path, sandbox: Any, tag: str) -> None:
    ran = run_flow(shots, check_stills=True)
    assert ran.state.name == "Refused"
    assert "HTTP 404 instead of an image" in str(ran.end.problem)
    assert sandbox.submitted(tag).total() == 0
    assert any(run.name.startswith("look at ") for run in ran.task_runs())


@pytest.fixture
def one(manifest: Any, shelf: Shelf, tag: str) -> Path:
    """A shot whose still is on the web."""
    return manifest({"image": shelf.put("changing", drawn(9)), "prompt": tag, "shot_id": "quay"})


def test_what_was_seen_is_remembered_and_not_asked_for_again(shell: Any, one: Path, shelf: Shelf) -> None:
    assert shell.run("plan", str(one), "--check-stills").code == 0
    shelf.put("changing", PAGE)
    ended = shell.run("plan", str(one), "--check-stills")
    assert ended.code == 0, "it was seen less than an hour ago"


def test_a_changed_still_is_named_and_bought_again_once(
    shell_with_server: Any, one: Path, shelf: Shelf, sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    ended = shell.run("run", str(one), "--results", "out.jsonl", "--check-stills")
    assert ended.code == 0, ended.stderr
    shelf.put("changing", drawn(10))
    age_looks(shell)
    planned = shell.run("plan", str(one), "--check-stills")
    assert "0 to buy, 1 done" in planned.stdout
    assert "note: the stills of 1 take that are done have changed since; --changed-stills buys them" in planned.stdout
    assert "quay take 1: its still has changed: other bytes; bought with the one seen on" in planned.stdout
    kept = shell.run("run", str(one), "--results", "out.jsonl", "--check-stills", "--json")
    assert (kept.code, sandbox.submitted(tag).total()) == (0, 1)
    planned = shell.run("plan", str(one), "--changed-stills")
    assert "1 to buy" in planned.stdout
    assert "quay take 1: its still has changed: other bytes" in planned.stdout
    bought = shell.run("run", str(one), "--results", "out.jsonl", "--changed-stills", "--json")
    assert (bought.code, bought.json["submitted"], bought.json["completed"]) == (0, 1, 1), bought.stderr
    again = shell.run("run", str(one), "--results", "out.jsonl", "--changed-stills", "--json")
    assert (again.code, again.json["submitted"], again.json["cached"]) == (0, 0, 1), again.stderr
    assert sandbox.submitted(tag).total() == 2


@pytest.fixture
def changed(shell_with_server: Any, manifest: Any, shelf: Shelf, tag: str) -> Path:
    """A shot that was bought, and whose still has changed since; the replies to its submissions are slow."""
    image, prompt = shelf.put("changing", drawn(9)), f"[sandbox:slow=1.5] {tag}"
    shots = manifest({"image": image, "prompt": prompt, "shot_id": "quay"})
    ended = shell_with_server.run("run", str(shots), "--results", "out.jsonl", "--check-stills")
    assert ended.code == 0, ended.stderr
    shelf.put("changing", drawn(10))
    age_looks(shell_with_server)
    return shots


def test_a_kill_while_a_changed_take_is_submitted_buys_it_once(
    shell_with_server: Any, changed: Path, sandbox: Any, tag: str, tools: Any
) -> None:
    shell, again = shell_with_server, ("run", str(changed), "--results", "out.jsonl", "--changed-stills", "--json")
    process = shell.start(*again)
    try:
        tools.wait_until(lambda: sandbox.submitted(tag).total() == 2)
    finally:
        tools.kill_group(process)
    (state,) = rows_of(shell, "SELECT state FROM newest_attempt")
    assert state in {("submitting",), ("submitted",)}, "it was killed too late to show anything"
    for _ in range(2):
        ended = shell.run(*again)
        assert ended.json["submitted"] == 0, ended.stderr
    assert (ended.code, ended.json["completed"], sandbox.submitted(tag).total()) == (0, 1, 2), ended.stderr
    states = rows_of(shell, "SELECT state, renewal FROM attempt ORDER BY attempt_id")
    assert states == [("completed", 0), ("completed", 1)]


def test_a_stop_before_anything_was_sent_leaves_the_clip_and_the_permission(
    shell_with_server: Any, changed: Path, serve_sandbox: Any, sandbox: Any, tag: str
) -> None:
    shell, again = shell_with_server, ("run", str(changed), "--results", "out.jsonl", "--json")
    limited = shell.run(*again, "--changed-stills", "--max-usd", "0.01")
    assert (limited.code, sandbox.submitted(tag).total()) == (2, 1), limited.stderr
    kept = shell.run(*again)
    assert (kept.code, kept.json["submitted"], kept.json["cached"]) == (0, 0, 1)


def test_a_schedule_buys_again_what_has_changed(
    *, run_flow: Any, manifest: Any, shelf: Shelf, sandbox: Any, tag: str, settings: Any
) -> None:
    shots = manifest({"image": shelf.put("flow", drawn(11)), "prompt": tag, "shot_id": "quay"})
    assert run_flow(shots, check_stills=True).statuses == ["completed"]
    shelf.put("flow", drawn(12))
    with closing(sqlite3.connect(settings.ledger.removeprefix("sqlite:///"))) as db:
        db.execute(AGED)
        db.commit()
    ran = run_flow(shots, changed_stills=True)
    assert (ran.statuses, ran.rows[0]["attempts"], ran.rows[0]["cached"]) == (["completed"], 2, False)
    again = run_flow(shots, changed_stills=True)
    assert (again.rows[0]["attempts"], again.rows[0]["cached"]) == (2, True)
    assert sandbox.submitted(tag).total() == 2


AGED = "UPDATE look SET looked_at = datetime(looked_at, '-2 hours') || '.000000'"


def age_looks(shell: Any) -> None:
    """Make all looks two hours old."""
    with closing(sqlite3.connect(shell.ledger)) as db:
        db.execute(AGED)
        db.commit()


def rows_of(shell: Any, sql: str) -> list[Any]:
    with closing(sqlite3.connect(shell.ledger)) as db:
        return db.execute(sql).fetchall()


def test_a_plan_in_a_file_buys_a_changed_take_again_once(
    shell_with_server: Any, changed: Path, shelf: Shelf, sandbox: Any, tag: str
) -> None:
    shell, carried = shell_with_server, ("run", "--plan", "plan.json", "--results", "out.jsonl", "--json")
    assert shell.run("plan", str(changed), "--changed-stills", "-o", "plan.json").code == 0
    bought = shell.run(*carried)
    assert (bought.code, bought.json["submitted"]) == (0, 1), bought.stderr
    again = shell.run(*carried)
    assert (again.code, again.json["submitted"]) == (0, 0), again.stderr
    shelf.put("changing", drawn(20))
    age_looks(shell)
    later = shell.run(*carried)
    assert (later.code, later.json["submitted"]) == (0, 0), "another change than the plan's"
    assert sandbox.submitted(tag).total() == 2


def test_only_new_shots_start_from_the_new_frame_of_a_changed_take(
    *, shell_with_server: Any, manifest: Any, shelf: Shelf, sandbox: Any, tag: str
) -> None:
    shell, image = shell_with_server, shelf.put("source", drawn(30))
    first = {"shot_id": "a", "image": image, "prompt": f"a {tag}", "start_from": ""}
    rows = [first, *({"shot_id": s, "image": "", "prompt": f"{s} {tag}", "start_from": "a"} for s in ("b", "c"))]
    again = ("--results", "out.jsonl", "--archive", "clips", "--changed-stills", "--json")
    ended = shell.run("run", str(manifest(*rows[:2])), *again)
    assert (ended.code, ended.json["completed"]) == (0, 2), ended.stderr
    shelf.put("source", drawn(31))
    age_looks(shell)
    shots = manifest(*rows)
    planned = shell.run("plan", str(shots), "--changed-stills")
    assert "2 to buy" in planned.stdout
    assert "keep the last frame that they began with: b" in planned.stdout
    ended = shell.run("run", str(shots), *again)
    assert (ended.code, ended.json["submitted"], ended.json["completed"]) == (0, 2, 3), ended.stderr
    assert sandbox.submitted(tag) == {f"a {tag}": 2, f"b {tag}": 1, f"c {tag}": 1}
    accepted = [each.inputs["prompt"][0] for each in sandbox.witness if tag in each.inputs["prompt"]]
    assert accepted[2:] == ["a", "c"], "the new shot waits for the new clip"
