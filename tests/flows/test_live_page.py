"""The review page of a run: fresh while takes are made, whole at the end, and never in the way of buying."""

import os
import signal
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from page_files import board_in, data_in, live_in, media_of, takes_in

from animatic.review.live import MOST_LIVE_TAKES

PREFECTS_SOCKETS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Prefect leaves sockets to the garbage collector, which a board of many rows wakes while the test runs."""

SLOW_S = 4.0
SHOTS = 4


@pytest.fixture(scope="module")
def slow_sandbox(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Generator[Any]:
    """A sandbox whose takes need some seconds, two at a time."""
    flags = ("--inference-s", str(SLOW_S), "--max-in-flight", "2")
    with tools.serving(tmp_path_factory.mktemp("slow"), *flags) as served:
        yield served


@pytest.fixture
def slow_shell(tools: Any, tmp_path: Path, slow_sandbox: Any, prefect_server: Any) -> Any:
    shell = tools.new_shell(tmp_path / "home", slow_sandbox, prefect_server)
    shell.archives = True
    return shell


def typed(shots: Path, page: Path) -> tuple[str, ...]:
    return ("run", str(shots), "--results", str(shots.with_name("out.parquet")), "--review", str(page))


def in_flight(page: Path) -> int:
    return live_in(page)["queued"] + live_in(page)["making"]


def test_a_page_follows_its_run_and_stays_whole_at_the_end(
    slow_shell: Any, tools: Any, manifest: Callable[..., Path], tag: str
) -> None:
    shots = manifest(*({"shot_id": f"s{number}", "prompt": f"{tag} pan {number}"} for number in range(SHOTS)))
    page = shots.with_name("page")
    running = slow_shell.start(
        "run", str(shots), "--results", str(shots.with_name("out.parquet")), "--review", str(page)
    )
    try:
        tools.wait_until(lambda: (page / "live.js").exists() and in_flight(page))
        assert len(takes_in(data_in(page))) == SHOTS, "the page is there before anything has come"
        early = live_in(page)
        assert (early["total"], early["ended"]) == (SHOTS, False)
        assert data_in(page)["live"]
        tools.wait_until(
            lambda: (page / "board.js").exists() and any("state" in take for take in takes_in(board_in(page)[0]))
        )
        board, revision = board_in(page)
        assert {take.get("state", "made") for take in takes_in(board)} <= {"queued", "making", "made"}
        assert revision > 0
        tools.wait_until(lambda: "completed" in {take["status"] for take in takes_in(board_in(page)[0])})
        assert running.poll() is None, "the run still works"
        _, stderr = running.communicate(timeout=60)
    finally:
        tools.kill_group(running)
    assert running.returncode == 0, stderr
    assert f"review page: {page}/index.html" in stderr
    last = live_in(page)
    assert (last["ended"], last["completed"], last["making"], last["eta_s"]) == (True, SHOTS, 0, None)
    assert "live" not in data_in(page), "who opens it now need not ask for news"
    assert last["revision"] == board_in(page)[1]
    for data in (data_in(page), board_in(page)[0]):
        takes = takes_in(data)
        assert [take["status"] for take in takes] == ["completed"] * SHOTS
        for take in takes:
            assert [(page / name).is_file() for name in media_of(take)] == [True] * 3


def test_a_page_outlives_the_death_of_its_run(
    slow_shell: Any, tools: Any, manifest: Callable[..., Path], tag: str
) -> None:
    shots = manifest({"shot_id": "s", "prompt": f"{tag} pan"})
    page = shots.with_name("page")
    running = slow_shell.start(*typed(shots, page))
    tools.wait_until(lambda: (page / "live.js").exists() and in_flight(page))
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    died, now = live_in(page), time.time()
    assert not died["ended"]
    assert 0 < died["every_s"] < 30, "a page that waits longer than this may say that its run died"
    assert abs(time.mktime(time.strptime(died["at"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - now) < 60
    assert takes_in(data_in(page))[0]["status"] == "pending"
    assert not list(page.glob("*.tmp"))
    ended = slow_shell.run(*typed(shots, page))
    assert ended.code == 0, ended.stderr
    assert live_in(page)["ended"]
    assert takes_in(data_in(page))[0]["status"] == "completed"


def test_a_folder_with_another_page_is_refused_before_anything_is_bought(
    shell: Any, sandbox: Any, manifest: Callable[..., Path], tag: str
) -> None:
    shots = manifest({"shot_id": "s", "prompt": f"{tag} pan"})
    site = shots.with_name("site")
    site.mkdir()
    (site / "index.html").write_text("<h1>mine</h1>")
    ended = shell.here(*typed(shots, site))
    assert ended.code == 2
    assert "no review page of animatic" in ended.stderr
    assert (site / "index.html").read_text() == "<h1>mine</h1>"
    assert not sandbox.submitted(tag)


def unwritable(page: Path) -> None:
    page.mkdir()
    (page / "page.js").mkdir()


def in_the_way(page: Path) -> None:
    page.mkdir()
    (page / "media").write_text("no folder")


@pytest.mark.parametrize("spoil", [unwritable, in_the_way])
def test_a_page_that_cannot_be_written_changes_nothing_else(  # noqa: PLR0917 - fixtures
    shell_with_server: Any,
    sandbox: Any,
    tools: Any,
    manifest: Callable[..., Path],
    tag: str,
    spoil: Callable[[Path], None],
) -> None:
    shots = manifest({"shot_id": "s", "prompt": f"{tag} pan"})
    page = shots.with_name("page")
    spoil(page)
    ended = shell_with_server.run(*typed(shots, page))
    assert ended.code == 0, ended.stderr
    assert ended.stderr.count("the review page") == 1, ended.stderr
    assert sandbox.submitted(tag).total() == 1
    assert [row["status"] for row in tools.read_rows(shots.with_name("out.parquet"))] == ["completed"]


def test_a_clip_that_the_page_lacks_is_one_note_of_the_run(
    shell_with_server: Any, manifest: Callable[..., Path], tag: str
) -> None:
    shell = shell_with_server
    shell.archives = True
    shots = manifest({"shot_id": "s", "prompt": f"{tag} pan"})
    clips = shots.with_name("clips")
    assert shell.run(*typed(shots, shots.with_name("old"))[:-2], "--archive", str(clips)).code == 0
    (clip,) = clips.glob("*.mp4")
    clip.write_bytes(bytes(clip.stat().st_size))
    ended = shell.run(*typed(shots, shots.with_name("page")), "--archive", str(clips))
    assert ended.code == 0, ended.stderr
    why = "shot s, take 1: the clip is not the clip that was archived"
    assert ended.stderr.count(f"of its clips and stills cannot be shown: {why}") == 1


@PREFECTS_SOCKETS
def test_prefect_links_the_page_of_a_run(run_flow: Any, manifest: Callable[..., Path], tag: str) -> None:
    shots = manifest({"shot_id": "s", "prompt": f"{tag} pan"})
    page = shots.with_name("page")
    ran = run_flow(shots, review=str(page))
    assert ran.statuses == ["completed"]
    assert any(f"{page}/index.html" in str(each.data) for each in ran.artifacts())
    assert live_in(page)["ended"]


@PREFECTS_SOCKETS
def test_a_huge_manifest_has_live_numbers_and_a_board_at_its_ends(
    run_flow: Any, manifest: Callable[..., Path], tag: str
) -> None:
    shots = manifest(*({"shot_id": f"s{number}", "prompt": f"{tag} one", "takes": 16} for number in range(320)))
    page = shots.with_name("page")
    ran = run_flow(shots, review=str(page), limit=1)
    assert "completed" in ran.statuses
    takes = takes_in(data_in(page))
    assert len(takes) == 16 * 320 > MOST_LIVE_TAKES
    assert live_in(page)["ended"]
