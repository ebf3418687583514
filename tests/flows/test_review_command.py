"""`animatic review`: the page of results tables, written and served."""

import asyncio
import json
import os
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
from page_files import data_in, live_in, media_of, takes_in
from shown import clip_in, row, table_in

from animatic.review.page import live_js
from animatic.review.writing import MOST_PAGE_TAKES
from flows.session import SESSION, Session
from flows.settings import Settings
from tasks.review import MOST_PICTURE_BYTES

PREFECTS_SOCKETS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Prefect leaves sockets to the garbage collector, which a board of many rows wakes while the test runs."""


@pytest.fixture(scope="module")
def bought(tools: Any, tmp_path_factory: pytest.TempPathFactory, sandbox: Any, prefect_server: Any) -> Path:
    """A folder with a results table of two shots and their clips."""
    folder = tmp_path_factory.mktemp("bought")
    shell = tools.new_shell(folder / "home", sandbox, prefect_server)
    shell.archives = True
    rows = [{"shot_id": f"s{number}", "prompt": f"<{folder.name}> {number}", "storyboard": "dawn"} for number in (1, 2)]
    shots = tools.write_manifest(folder / "shots.csv", rows)
    ended = shell.run("run", str(shots), "--results", str(folder / "out.parquet"))
    assert ended.code == 0, ended.stderr
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two seconds."""
    return clip_in(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def table(bought: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(bought / "out.parquet", tmp_path / "out.parquet"))


def test_the_page_lies_beside_its_table(shell: Any, table: Path) -> None:
    ended = shell.here("review", str(table), "--json")
    assert ended.code == 0, ended.stderr
    page = table.with_name("out.review")
    assert ended.json["page"] == str(page / "index.html")
    assert (ended.json["shots"], ended.json["takes"]) == (2, 2)
    takes = takes_in(data_in(page))
    assert [take["status"] for take in takes] == ["completed"] * 2
    assert [(page / name).is_file() for take in takes for name in media_of(take)] == [True] * 6
    made = {path.name: path.stat().st_mtime_ns for path in (page / "media").iterdir()}
    assert shell.here("review", str(table)).code == 0
    assert {path.name: path.stat().st_mtime_ns for path in (page / "media").iterdir()} == made, "nothing is made twice"


def test_only_the_shots_that_were_asked_for_are_shown(shell: Any, table: Path) -> None:
    ended = shell.here("review", str(table), "--only", "shot_id=s2", "--out", str(table.with_name("page")))
    assert ended.code == 0, ended.stderr
    (storyboard,) = data_in(table.with_name("page"))["storyboards"]
    assert [shot["id"] for shot in storyboard["shots"]] == ["s2"]


def test_a_page_of_another_table_is_named_and_a_live_one_refused(shell: Any, table: Path) -> None:
    page, other = table.with_name("page"), Path(shutil.copy(table, table.with_name("other.parquet")))
    assert "was the page" not in shell.here("review", str(table), "--out", str(page)).stderr
    both = shell.here("review", str(other), str(table), "--out", str(page))
    assert "was the page" not in both.stderr
    third = Path(shutil.copy(table, table.with_name("third.parquet")))
    ended = shell.here("review", str(third), "--out", str(page))
    assert ended.code == 0, ended.stderr
    assert f"note: {page} was the page of {other.as_uri()} and 1 more, and is that of {third.as_uri()}" in ended.stderr
    state = {"ended": False, "every_s": 2.0, "at": datetime.now(UTC).isoformat()}
    (page / "live.js").write_bytes(live_js(state))
    for arguments in (("review", str(table), "--out"), ("run", "shots.csv", "--results", "new.csv", "--review")):
        ended = shell.here(*arguments, str(page))
        assert ended.code == 2, ended.stderr
        assert "which a run keeps fresh now" in ended.stderr


def test_a_page_follows_the_users_umask(shell: Any, table: Path) -> None:
    before = os.umask(0o022)
    try:
        ended = shell.run("review", str(table))
    finally:
        os.umask(before)
    assert ended.code == 0, ended.stderr
    page = table.with_name("out.review")
    modes = {path.stat().st_mode & 0o777 for path in page.rglob("*") if path.is_file() and path.suffix != ".mp4"}
    assert modes == {0o644}
    assert {path.stat().st_mode & 0o777 for path in (page, page / "media")} == {0o755}


def lose(clip: Path) -> str:
    clip.unlink()
    return "the clip is not in the archive any more"


def exchange(clip: Path) -> str:
    clip.write_bytes(b"another")
    return "the clip is not the clip that was archived"


@pytest.mark.parametrize("spoil", [lose, exchange])
def test_a_clip_that_a_page_lacks_is_named_and_ends_with_3(
    shell: Any, tmp_path: Path, clip: Path, spoil: Callable[[Path], str]
) -> None:
    archived = Path(shutil.copy(clip, tmp_path / "own.mp4"))
    rows = [
        row(1, shot_id="two\nlines", clip=archived, still=tmp_path / "none.jpg"),
        row(2, clip=clip_in(tmp_path, 2, darkest=48)),
    ]
    table, why = table_in(tmp_path, rows), spoil(archived)
    ended = shell.here("review", str(table))
    assert ended.code == 3, ended.stderr
    assert f"shot two\\nlines, take 1: {why}\n" in ended.stderr
    assert "note: shot two\\nlines: the still cannot be read any more\n" in ended.stderr
    assert ended.stderr.count("take 1: the clip") == 1
    archived.write_bytes(clip.read_bytes())
    assert shell.here("review", str(table), "--only", "shot_id=shot-02").code == 0


def test_more_takes_than_a_page_holds_are_refused(shell: Any, tmp_path: Path) -> None:
    rows = [row(number, storyboard="a" if number else "b") for number in range(MOST_PAGE_TAKES + 1)]
    table = table_in(tmp_path, rows)
    ended = shell.here("review", str(table))
    assert ended.code == 2
    assert "found 20,001 takes; allowed: up to 20,000 on one page" in ended.stderr
    assert "--only storyboard=NAME" in ended.stderr
    assert not table.with_name("results.review").exists()
    assert shell.here("review", str(table), "--only", "storyboard=b").code == 0


def test_a_folder_of_something_else_is_left_alone(shell: Any, table: Path) -> None:
    folder = table.with_name("out.review")
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    ended = shell.here("review", str(table))
    assert ended.code == 2
    assert "thesis.txt" in ended.stderr
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_served_page_saves_decisions_and_shows_new_results(shell: Any, tools: Any, bought: Path, table: Path) -> None:
    page = table.with_name("out.review")
    process = shell.start("review", str(table), "--serve")
    try:
        address = process.stdout.readline().strip()
        base = address.partition("/?")[0]
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        assert b"application/json" in browser.open(address).read()
        state = json.load(browser.open(f"{base}/decisions.json"))
        assert state["rows"] == []
        take = takes_in(data_in(page))[0]
        change = [{"shot_id": "s1", "take": 1, "fingerprint": take["fp"], "decision": "approved"}]
        headers = {"Content-Type": "application/json", "Origin": base, "If-Match": f'"{state["etag"]}"'}
        asked = urllib.request.Request(f"{base}/decisions", json.dumps(change).encode(), headers, method="PUT")
        assert take["fp"] in json.dumps(json.load(browser.open(asked))["rows"])
        assert "approved" in table.with_name("decisions.csv").read_text()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{base}/")

        before = live_in(page)
        assert before["served"]
        rewritten = table.with_name("new.parquet")
        shutil.copy(bought / "out.parquet", rewritten)
        rewritten.replace(table)
        tools.wait_until(lambda: live_in(page)["revision"] > before["revision"])
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    finally:
        tools.kill_group(process)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stdout + stderr
    assert live_in(page)["ended"]
    assert "approved" in json.dumps(data_in(page)["decisions"]), "what was decided is in the page that is left"


@PREFECTS_SOCKETS
def test_a_review_as_a_flow_links_its_page_and_shows_its_takes(
    prefect: Any, table: Path, settings: Settings, collected: None
) -> None:
    from prefect.client.schemas.filters import FlowRunFilter  # noqa: PLC0415 - imports Prefect

    from flows.review import review  # noqa: PLC0415 - the same

    page, token = table.with_name("page"), SESSION.set(Session(settings))
    try:
        ending: Any = review([str(table)], str(page), return_state=True)
        state = asyncio.run(ending)
    finally:
        SESSION.reset(token)
    assert state.message == "2 shots, 2 takes, 2 completed"
    mine = FlowRunFilter.model_validate({"id": {"any_": [state.state_details.flow_run_id]}})
    found = {each.type: str(each.data) for each in prefect.read_artifacts(flow_run_filter=mine)}
    assert f"{page}/index.html" in found["markdown"]
    assert found["image"].startswith("data:image/jpeg;base64,")
    assert len(found["image"]) <= MOST_PICTURE_BYTES + 30
