"""The page in a real browser: what it shows, what it never does, and what people do with it."""

import asyncio
import csv
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsing import Browsed, browsing, needs_axe, needs_chromium
from shown import FRAMES, LIGHTER, page_of, row, table_in

from animatic.results.board import Board
from animatic.results.boards import find_board_files, read_board
from animatic.results.decision_files import read_decisions
from animatic.review.page import board_js, live_js
from animatic.review.page_data import Media, page_data
from animatic.review.server import Site, serving
from animatic.review.shared_decisions import SharedDecisions
from animatic.review.writing import info_of

pytestmark = [pytest.mark.services, needs_chromium, pytest.mark.timeout(120)]
SHOTS = ".shot:not([hidden])"


@contextmanager
def served(folder: Path, decisions: Path) -> Iterator[str]:
    """Serve a page from another thread; the address lets one browser in."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    address: list[str] = []

    async def run() -> None:
        async with serving(Site(folder, SharedDecisions(str(decisions)))) as found:
            address.append(found)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


def open_take(browsed: Browsed, number: int = 0) -> None:
    browsed.page.locator(".take .open").nth(number).click()
    browsed.page.wait_for_selector("dialog.viewer[open]")


def frame_of(browsed: Browsed) -> int:
    return int(browsed.page.locator("[data-frame]").get_attribute("data-frame"))


SEEN = """(selector) => new Promise((resolve) => {
  const video = document.querySelector(selector), canvas = document.createElement("canvas");
  const read = () => { canvas.width = canvas.height = 1; const draw = canvas.getContext("2d");
    draw.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 1, 1, 0, 0, 1, 1);
    resolve(draw.getImageData(0, 0, 1, 1).data[1]); };
  video.seeking ? video.addEventListener("seeked", () => setTimeout(read, 60), { once: true }) : setTimeout(read, 60);
})"""


def seen_frame(browsed: Browsed, selector: str, darkest: int) -> float:
    """Return which frame of a clip is on the screen, by its lightness; the page must come from a server."""
    return (browsed.page.evaluate(SEEN, selector) - darkest) / LIGHTER


@pytest.fixture
def page(tmp_path: Path, clip: Path, other_clip: Path, still: Path) -> Path:
    """A page of three shots: one with two takes, one flagged and with a failed check, one failed."""
    rows = [
        row(1, 1, clip=clip, still=still),
        row(1, 2, clip=other_clip, still=still),
        row(2, clip=clip, still=still, nsfw=True, has_nsfw_contents=[True], fingerprint="f" * 64),
        row(3, still=still, storyboard="train"),
    ]
    return page_of(table_in(tmp_path, rows))


def test_from_disk_nothing_leaves_the_folder_or_breaks_the_policy(chromium: Any, page: Path) -> None:
    with browsing(chromium, page.as_uri()) as browsed:
        browsed.page.locator(".frame").first.hover()
        open_take(browsed)
        browsed.page.keyboard.press("c")
        browsed.page.wait_for_selector(".stage.pair")
        browsed.page.keyboard.press("Escape")
        browsed.page.get_by_text("Charts").click()
        browsed.page.wait_for_selector(".plot svg")
        inside = page.parent.as_uri()
        assert [url for url in browsed.requests if not url.startswith(inside)] == []
        assert (browsed.violations(), browsed.errors) == ([], [])


def test_from_a_server_nothing_leaves_the_origin_or_breaks_the_policy(
    chromium: Any, page: Path, tmp_path: Path
) -> None:
    with served(page.parent, tmp_path / "decisions.csv") as address, browsing(chromium, address) as browsed:
        open_take(browsed)
        browsed.page.keyboard.press("Escape")
        browsed.page.get_by_text("Charts").click()
        browsed.page.wait_for_selector(".plot svg")
        origin = address.partition("?")[0]
        assert [url for url in browsed.requests if not url.startswith((origin, "data:"))] == []
        assert browsed.violations() == []
        assert [error for error in browsed.errors if "404" not in error] == []  # a browser looks for /favicon.ico


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_sixty_shots_break_no_rule_of_accessibility(
    chromium: Any, tmp_path: Path, clip: Path, still: Path, theme: str
) -> None:
    kinds: list[dict[str, Any]] = [
        {}, {"nsfw": True}, {"qa": ["frozen", "cuts"]}, {"status": "pending", "error": "not submitted"},
        {"status": "unknown"}, {"status": "held"}, {"status": "rejected"}, {"status": "failed", "clip": None},
        {"status": "invalid", "take": None, "fingerprint": None}, {"clips": None, "archive_error": "404"},
    ]  # fmt: skip
    rows = [row(n, **{"clip": clip if "status" not in kinds[n % 10] else None, "still": still} | kinds[n % 10])
            for n in range(60)]  # fmt: skip
    page = page_of(table_in(tmp_path, rows))
    with browsing(chromium, page.as_uri(), theme=theme) as browsed:
        assert browsed.axe() == []
        open_take(browsed)
        browsed.page.keyboard.press("r")
        browsed.page.keyboard.press("c")
        assert browsed.axe() == []
        browsed.page.keyboard.press("Escape")
        browsed.page.keyboard.press("?")
        browsed.page.wait_for_selector("dialog.help[open]")
        assert browsed.axe() == []
        browsed.page.keyboard.press("Escape")
        browsed.page.get_by_text("Charts").click()
        browsed.page.wait_for_selector(".plot svg")
        assert browsed.axe() == []


def test_the_keyboard_alone_reaches_plays_and_decides(chromium: Any, page: Path) -> None:
    with browsing(chromium, page.as_uri()) as browsed:
        keys = browsed.page.keyboard
        keys.press("ArrowRight")
        keys.press("ArrowRight")
        assert browsed.page.evaluate("document.activeElement.dataset.take") is not None
        keys.press("a")
        assert browsed.page.locator(".take.is-approved").count() == 1
        keys.press("Enter")
        browsed.page.wait_for_selector("dialog.viewer[open]")
        browsed.wait_until("document.querySelector('video').readyState > 1")
        keys.press("Home")
        for _ in range(5):
            keys.press("ArrowRight")
        keys.press("ArrowLeft")
        assert frame_of(browsed) == 4
        keys.press("End")
        assert frame_of(browsed) == FRAMES - 1
        keys.press("r")
        assert browsed.page.locator(".big.retake[aria-pressed=true]").count() == 1
        keys.press("n")
        keys.type("too fast here")
        keys.press("Control+Enter")
        assert browsed.page.locator(".notes li").inner_text().startswith("00:00:01:23")
        keys.press("Escape")
        browsed.page.wait_for_selector("dialog.viewer", state="detached")
        assert browsed.page.locator(".take.is-retake").count() == 1
        assert browsed.page.evaluate("document.activeElement.className") == "open"


def test_every_control_is_reached_by_tab(chromium: Any, page: Path) -> None:
    with browsing(chromium, page.as_uri()) as browsed:
        reached = set()
        for _ in range(40):
            browsed.page.keyboard.press("Tab")
            reached.add(browsed.page.evaluate("document.activeElement.closest('[data-id]')?.dataset.id ?? ''"))
        takes = browsed.page.evaluate("[...document.querySelectorAll('[data-id]')].map((each) => each.dataset.id)")
        assert set(takes) <= reached


def test_letters_that_are_switched_off_decide_nothing(chromium: Any, page: Path) -> None:
    with browsing(chromium, page.as_uri()) as browsed:
        browsed.page.keyboard.press("?")
        browsed.page.get_by_role("checkbox").uncheck()
        browsed.page.keyboard.press("Escape")
        browsed.page.keyboard.press("ArrowRight")
        browsed.page.keyboard.press("a")
        assert browsed.page.locator(".is-approved").count() == 0
        browsed.page.keyboard.press("?")
        assert browsed.page.locator("dialog.help").count() == 0


def test_frames_are_exact_and_two_takes_stay_together(chromium: Any, page: Path, tmp_path: Path) -> None:
    with served(page.parent, tmp_path / "decisions.csv") as address, browsing(chromium, address) as browsed:
        open_take(browsed)
        browsed.page.keyboard.press("c")
        browsed.wait_until("[...document.querySelectorAll('video')].filter((v) => v.readyState > 1).length == 2")
        browsed.page.keyboard.press("Home")
        for _ in range(10):
            browsed.page.keyboard.press("ArrowRight")
        assert seen_frame(browsed, ".screen:first-child video", 32) == pytest.approx(10, abs=0.6)
        assert seen_frame(browsed, ".other video", 48) == pytest.approx(10, abs=0.6)
        browsed.page.keyboard.press("l")
        browsed.page.wait_for_timeout(500)
        browsed.page.keyboard.press("k")
        frame = frame_of(browsed)
        assert frame > 10
        assert seen_frame(browsed, ".other video", 48) == pytest.approx(
            seen_frame(browsed, ".screen:first-child video", 32), abs=1.1
        )


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "\u202egnp.exe\u202c right to left \u05e9\u05dc\u05d5\u05dd",
    "\x1b[31mred\x1b[0m \x07",
    "{{data}} ${alert(3)} `x`",
    "long " * 1_000,
    "a" * 5_000,
    "]]><!--",
    "\u2028\u2029\ufffd \U0001f3ac",
]


@pytest.mark.parametrize("width", [390, 1_440])
def test_hostile_prompts_are_text_and_nothing_more(chromium: Any, tmp_path: Path, clip: Path, width: int) -> None:
    rows = [
        row(n, clip=clip, prompt=text, error=text, shot_id=f"{n}{text[:400]}", storyboard=text[:400], model=text[:400])
        for n, text in enumerate(HOSTILE)
    ]
    page = page_of(table_in(tmp_path, rows))
    with browsing(chromium, page.as_uri(), size=(width, 900)) as browsed:
        shown = browsed.page.locator(".prompt").all_text_contents()
        assert [text.strip() for text in shown] == [text.strip() for text in HOSTILE]
        open_take(browsed)
        browsed.page.keyboard.press("Escape")
        browsed.page.get_by_text("Charts").click()
        browsed.page.wait_for_timeout(200)
        assert browsed.page.evaluate("alerts") == []
        assert browsed.page.locator("img[onerror]").count() == 0
        assert browsed.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert (browsed.violations(), browsed.errors) == ([], [])


def test_a_hostile_table_gets_no_link_and_no_picture(chromium: Any, tmp_path: Path, clip: Path) -> None:
    svg = tmp_path / "evil.svg"
    svg.write_text('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>')
    secret = tmp_path / "secret.mp4"
    secret.write_text("not for the page")
    lying = f'[{{"uri": "{secret.as_uri()}", "sha256": "{"a" * 64}", "size_bytes": 1}}]'
    rows = [
        row(1, clip=clip, output_url="javascript:alert(1)", outputs=["javascript:alert(1)"]),
        row(2, clip=svg, output_url="data:text/html,<script>alert(1)</script>"),
        row(3, clip=clip, clips=lying, still_uri="file:///etc/passwd"),
        row(4, clip=clip, clips='[{"sha256": "../../x", "uri": 7}]', still_uri="http://169.254.169.254/x.png"),
        row(5, clip=clip, clips="[]]", output_url="https://cdn.example/fine.mp4"),
    ]
    page = page_of(table_in(tmp_path, rows))
    names = {path.name for path in (page.parent / "media").iterdir()}
    assert not [name for name in names if name.endswith(".svg") or name.startswith("a" * 64)]
    with browsing(chromium, page.as_uri()) as browsed:
        for number in range(5):
            open_take(browsed, number)
            links = browsed.page.locator("dialog a").evaluate_all("all => all.map((each) => each.href)")
            assert all(link.startswith("https://cdn.example/") for link in links)
            browsed.page.keyboard.press("Escape")
        assert browsed.page.evaluate("alerts") == []
        assert browsed.violations() == []


def test_flagged_takes_are_blurred_until_asked_for(chromium: Any, page: Path) -> None:
    with browsing(chromium, page.as_uri()) as browsed:
        hidden = browsed.page.locator(".frame.is-hidden")
        assert hidden.count() == 1
        assert "blur" in hidden.locator("img").evaluate("each => getComputedStyle(each).filter")
        hidden.hover()
        assert browsed.page.locator(".is-hidden .strip").count() == 0
        hidden.locator(".open").click()
        assert browsed.page.locator("dialog.viewer").count() == 0
        assert browsed.page.locator(".frame.is-hidden").count() == 0


def test_filters_search_and_the_open_take_are_in_the_address(chromium: Any, page: Path) -> None:
    with browsing(chromium, page.as_uri()) as browsed:
        browsed.page.get_by_label("status").select_option("failed")
        assert browsed.page.locator(SHOTS).count() == 1
        browsed.page.locator(f"{SHOTS} .open").click()
        address = browsed.page.url
    with browsing(chromium, address) as again:
        assert again.page.locator("dialog.viewer").count() == 1
        again.page.keyboard.press("Escape")
        again.page.wait_for_selector("dialog.viewer", state="detached")
        assert again.page.locator(SHOTS).count() == 1
        again.page.fill("#search", "number 2.")
        again.page.get_by_label("status").select_option("")
        assert again.page.locator(SHOTS).get_attribute("aria-label") == "shot-02"
        assert "q=number" in again.page.url


def test_hovering_moves_through_the_clip(chromium: Any, page: Path) -> None:
    with browsing(chromium, page.as_uri()) as browsed:
        frame = browsed.page.locator(".take .frame").first
        box = frame.bounding_box()
        places = []
        for share in (0.02, 0.5, 0.98):
            browsed.page.mouse.move(box["x"] + share * box["width"], box["y"] + 20)
            places.append(frame.locator(".strip i").evaluate("each => each.style.backgroundPosition"))
        assert len(set(places)) == 3


def decide_and_save(browsed: Browsed, into: Path) -> Path:
    with browsed.page.expect_download() as download:
        browsed.page.get_by_text("Save decisions").click()
    download.value.save_as(into)
    return into


def test_decisions_are_kept_by_the_browser_and_saved_beside_other_columns(
    chromium: Any, tmp_path: Path, clip: Path
) -> None:
    table = table_in(tmp_path, [row(1, clip=clip), row(2, clip=clip)])
    decisions = tmp_path / "decisions.csv"
    decisions.write_text(
        'shot_id,take,decision,note,who\nshot-01,1,approved,"good, ""really""",Zoë\ngone,7,retake,,Max\n'
    )
    page = page_of(table)
    with browsing(chromium, page.as_uri()) as browsed:
        assert browsed.page.locator(".is-approved").count() == 1
        assert "1 decision on takes that are in none of the tables" in browsed.page.locator(".notice").inner_text()
        open_take(browsed, 1)
        browsed.page.keyboard.press("r")
        browsed.page.get_by_label("New prompt").fill("=SUM(1) slower, \nplease")
        browsed.page.keyboard.press("Escape")
        browsed.page.wait_for_selector("dialog.viewer", state="detached")
        browsed.page.reload()
        browsed.page.wait_for_selector("[data-ready]", state="attached")
        assert browsed.page.locator(".is-retake").count() == 1
        saved = decide_and_save(browsed, tmp_path / "saved.csv")
    with saved.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [each["who"] for each in rows] == ["Zoë", "Max", ""]
    found = {(each.shot_id, each.take): each for each in read_decisions(str(saved)).rows}
    assert found["shot-01", 1].note == 'good, "really"'
    assert (found["shot-02", 1].decision, found["shot-02", 1].prompt) == ("retake", "=SUM(1) slower, \nplease")
    assert found["gone", 7].decision == "retake"


def test_approving_a_retake_keeps_the_row_that_asked_for_it(chromium: Any, tmp_path: Path, clip: Path) -> None:
    rows = [row(1, clip=clip)]
    slower = [row(1, clip=clip, prompt="Slower.")]
    tables = [table_in(tmp_path, rows), table_in(tmp_path, slower, "retakes.parquet")]
    (tmp_path / "decisions.csv").write_text(
        "shot_id,take,decision,prompt,note,frame\nshot-01,1,retake,Slower.,too fast,\nshot-01,1,,,the curtain,12\n"
    )
    with browsing(chromium, page_of(*tables).as_uri()) as browsed:
        browsed.page.locator(".take .approve").last.click()
        saved = decide_and_save(browsed, tmp_path / "saved.csv")
    asked, note, approved = read_decisions(str(saved)).rows
    assert (asked.decision, asked.prompt, asked.note, asked.fingerprint) == ("retake", "Slower.", "too fast", "")
    assert (note.note, note.frame) == ("the curtain", 12)
    assert (approved.decision, approved.fingerprint) == ("approved", slower[0]["fingerprint"])


def test_a_served_page_writes_the_file_beside_others_edits(chromium: Any, page: Path, tmp_path: Path) -> None:
    decisions = tmp_path / "decisions.csv"
    with served(page.parent, decisions) as address, browsing(chromium, address) as browsed:
        browsed.page.get_by_text("decisions are saved").wait_for()
        browsed.page.locator(".approve").first.click()
        browsed.page.get_by_text("decisions are saved").wait_for()
        assert [(each.shot_id, each.decision) for each in read_decisions(str(decisions)).rows] == [
            ("shot-01", "approved")
        ]
        with decisions.open("a", encoding="utf-8") as file:
            file.write("shot-02,1,,discarded,,,,,\r\n")
        browsed.page.locator(".take .retake").last.click()
        browsed.wait_until("document.querySelector('.saved').textContent == 'decisions are saved'")
        browsed.page.wait_for_timeout(300)
        found = {each.shot_id: each.decision for each in read_decisions(str(decisions)).rows}
        assert found == {"shot-01": "approved", "shot-02": "discarded", "shot-03": "retake"}


def test_an_open_page_takes_newer_data_from_beside_it(chromium: Any, tmp_path: Path, clip: Path, still: Path) -> None:
    table = table_in(tmp_path, [row(1, still=still, status="pending", attempts=0, error=None)])
    files = find_board_files([str(table)])
    page = page_of(table)

    def data(board: Board) -> dict[str, Any]:
        return page_data(board, Media(), info_of(files, live=True))

    html = page.read_text()
    page.write_text(html.replace('"form":1', '"form":1,"live":true'))
    clips = {"archived": 1, "to_archive": 3}
    (page.parent / "live.js").write_bytes(live_js({"revision": 0, "at": "2026-11-27T08:00:00Z", "queued": 1} | clips))
    with browsing(chromium, page.as_uri()) as browsed:
        assert browsed.page.locator("[data-status=pending].take").count() == 1
        browsed.page.get_by_text("1 queued at WaveSpeed").wait_for()
        browsed.page.get_by_text("1 of 3 clips archived").wait_for()
        table_in(tmp_path, [row(1, clip=clip, still=still)])
        (page.parent / "board.js").write_bytes(board_js(data(read_board(files)), 1))
        state = {"revision": 1, "at": "2026-11-27T08:00:00Z", "completed": 1, "ended": True, "message": "all is done"}
        (page.parent / "live.js").write_bytes(live_js(state))
        browsed.page.locator("[data-status=completed].take").wait_for()
        assert "all is done" in browsed.page.locator(".live").inner_text()
        assert (browsed.violations(), browsed.errors) == ([], [])


def test_an_open_page_shows_at_once_which_takes_are_being_made(chromium: Any, tmp_path: Path, still: Path) -> None:
    pending: dict[str, Any] = {"still": still, "status": "pending", "attempts": 0, "error": None}
    page = page_of(table_in(tmp_path, [row(1, 1, **pending), row(1, 2, **pending), row(2, still=still)]))
    page.write_text(page.read_text().replace('"form":1', '"form":1,"live":true'))
    first, second, failed = (row(*each)["fingerprint"] for each in ((1, 1), (1, 2), (2, 1)))

    def say(states: dict[str, str]) -> None:
        state = {"revision": 0, "at": "2026-11-27T08:00:00Z", "making": 1, "states": states}
        (page.parent / "live.js").write_bytes(live_js(state))

    say({first: "queued", failed: "making", "f" * 64: "making"})
    with browsing(chromium, page.as_uri()) as browsed:
        browsed.page.locator(".take[data-status=queued]").wait_for()
        assert browsed.page.locator(".take[data-status=pending]").count() == 1
        say({first: "making", second: "<b>odd</b>"})
        browsed.page.locator(".take[data-status=making]").wait_for()
        statuses = [each.get_attribute("data-status") for each in browsed.page.locator(".take").all()]
        assert statuses == ["making", "pending", "failed"]
        assert (browsed.violations(), browsed.errors) == ([], [])


@pytest.mark.parametrize("size", [(390, 844), (1_440, 900)])
def test_a_phone_and_a_desktop_scroll_in_one_direction(chromium: Any, page: Path, size: tuple[int, int]) -> None:
    with browsing(chromium, page.as_uri(), size=size) as browsed:
        fits = "document.documentElement.scrollWidth <= innerWidth"
        assert browsed.page.evaluate(fits)
        open_take(browsed)
        assert browsed.page.evaluate("document.querySelector('dialog').scrollWidth <= innerWidth")
        browsed.page.keyboard.press("Escape")
        browsed.page.get_by_text("Charts").click()
        assert browsed.page.evaluate(fits)


def test_nothing_moves_while_pictures_load(chromium: Any, page: Path) -> None:
    with browsing(chromium, page.as_uri()) as browsed:
        moved = """() => new Promise((resolve) => { let sum = 0;
          new PerformanceObserver((list) => { for (const each of list.getEntries()) sum += each.value; })
            .observe({ type: "layout-shift", buffered: true });
          setTimeout(() => resolve(sum), 500); })"""
        assert browsed.page.evaluate(moved) < 0.01


def test_two_thousand_shots_are_all_there_and_stay_small(chromium: Any, tmp_path: Path) -> None:
    rows = [row(n, storyboard=f"board {n // 250}", prompt=f"Slow push in on number {n}.") for n in range(2_000)]
    page = page_of(table_in(tmp_path, rows))
    assert sum(path.stat().st_size for path in page.parent.iterdir() if path.is_file()) < 3_000_000
    with browsing(chromium, page.as_uri()) as browsed:
        assert browsed.page.locator(".shot").count() == 2_000
        browsed.page.fill("#search", "number 1234.")
        assert browsed.page.locator(SHOTS).count() == 1
