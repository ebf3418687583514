"""The review page of 2,000 shots in Chromium, beside the same pictures and texts as plain HTML without a script."""

import hashlib
import json
import shutil
import statistics
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from animatic.media.strips import Strip
from animatic.results.board import Board, make_board
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.decisions import Decisions
from animatic.review.page import index_html, write_static
from animatic.review.page_data import ClipMedia, Media, PageInfo, page_data
from benchmarks.contest import Studio
from benchmarks.sizes import Result, Sizes, say

SHOTS, ROUNDS = 2_000, 5
BEGAN = datetime(2026, 11, 27, 8, tzinfo=UTC)
SUBJECTS = ("the lamp", "a harbour", "two people", "the train")
SEARCHES = ("harbour", "people", "number 17", "")

_BARE_STYLE = """
article { float: left; width: 458px; height: 252px; content-visibility: auto }
img { width: 216px; height: 122px }
"""
_FRAME = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
_FILTER = f"""async (words) => {{
  const input = document.querySelector("#search"), began = performance.now();
  input.value = words;
  input.dispatchEvent(new Event("input", {{ bubbles: true }}));
  return await {_FRAME} - began;
}}"""
_SCROLL = """async () => {
  const took = [];
  let last = performance.now();
  for (let y = 300; y <= 36000; y += 300) {
    scrollTo(0, y);
    await new Promise(requestAnimationFrame);
    took.push(performance.now() - last);
    last = performance.now();
  }
  return took.sort((a, b) => a - b);
}"""


def run(studio: Studio, sizes: Sizes) -> Result:
    """Load both pages in turn; medians over the rounds, and their ratio within each."""
    count, rounds = (sizes.rows or (SHOTS,))[0], sizes.rounds or ROUNDS
    board, media = _board(count)
    page, bare = studio.room("review") / "page", studio.room("review-bare") / "bare"
    size = _write(page, bare, board, media)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - for this part only

    found: dict[str, list[Any]] = {"page": [], "bare": [], "filter": [], "scroll": [], "bare scroll": []}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for number in range(rounds):
            for name, folder in (("bare", bare), ("page", page)):
                tab = chromium.new_page(viewport={"width": 1_440, "height": 900})
                tab.goto((folder / "index.html").as_uri(), wait_until="commit")
                tab.wait_for_selector("[data-ready]", state="attached")
                found[name].append(tab.evaluate(_FRAME) / 1_000)
                if name == "page":
                    found["filter"] += [tab.evaluate(_FILTER, words) for words in SEARCHES]
                found["scroll" if name == "page" else "bare scroll"].append(tab.evaluate(_SCROLL))
                tab.close()
            say(f"round {number + 1}: usable after {found['page'][-1]:.2f} s beside {found['bare'][-1]:.2f} s")
        chromium.close()
    return {
        "shots": count,
        "rounds": rounds,
        "size_bytes": size,
        "usable_s": round(statistics.median(found["page"]), 2),
        "bare_s": round(statistics.median(found["bare"]), 2),
        "ratio": round(statistics.median(p / b for p, b in zip(found["page"], found["bare"], strict=True)), 2),
        "filter_ms": {"p50": round(statistics.median(found["filter"])), "max": round(max(found["filter"]))},
        "scroll_p95_ms": round(statistics.median(each[int(0.95 * len(each))] for each in found["scroll"])),
        "bare_scroll_p95_ms": round(statistics.median(each[int(0.95 * len(each))] for each in found["bare scroll"])),
    }


def _board(count: int) -> tuple[Board, Media]:
    rows = [_row(number) for number in range(count)]
    strips = {row["sha256"]: Strip(row["sha256"], 16, 4, 240, 135, 480, 270) for row in rows if row["sha256"]}
    clips = {sha256: ClipMedia(f"{sha256}.mp4", strip) for sha256, strip in strips.items()}
    return make_board([rows], Decisions()), Media(clips=clips)


def _row(number: int) -> Mapping[str, Any]:
    """Return the row of a take: of twenty, eighteen are completed, one failed, one waits."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    status = {3: "failed", 7: "pending"}.get(number % 20, "completed")
    at = BEGAN + timedelta(seconds=number)
    row: dict[str, Any] = dict.fromkeys(RESULTS_SCHEMA.names) | {
        "row": number + 1, "shot_id": f"shot-{number:04}", "storyboard": f"board {number // 250}", "take": 1,
        "image": f"stills/{number}.jpg", "model": "wavespeed-ai/veo2-i2v", "aspect_ratio": "16:9", "duration": "5s",
        "prompt": f"Slow push in on {SUBJECTS[number % 4]}, number {number}, rain on the window, warm light.",
        "status": status, "attempts": 1, "fingerprint": digest, "submitted_at": at,
    }  # fmt: skip
    if status != "completed":
        return row | {"error": "the model failed on its side"}
    return row | {
        "inference_ms": 60_000, "created_at": at, "completed_at": at + timedelta(seconds=70), "nsfw": number % 40 == 0,
        "sha256": digest, "clips": json.dumps([{"uri": f"file:///{digest}.mp4", "sha256": digest}]),
        "clip_duration_s": 5.0, "clip_width": 1_280, "clip_height": 720, "clip_fps": 24.0, "clip_frames": 120,
        "prediction_id": digest[:32],
    }  # fmt: skip


def _write(page: Path, bare: Path, board: Board, media: Media) -> int:
    """Write both pages with a poster for each clip; return the size of ours without media, in bytes."""
    for folder in (page, bare):
        (folder / "media").mkdir(parents=True)
    posters = [Image.effect_noise((480, 270), 40).convert("RGB") for _ in range(20)]
    cards: list[str] = []
    for number, shot in enumerate(board.shots):
        row, name = shot.takes[0].row, ""
        if row["sha256"]:
            name = f"media/{row['sha256']}.poster.jpg"
            for folder in (page, bare):
                posters[number % 20].save(folder / name, quality=70)
        cards.append(f'<article><h3>{shot.shot_id}</h3><img loading="lazy" src="{name}"><p>{row["prompt"]}</p>')
    html = f"<!doctype html><style>{_BARE_STYLE}</style><body data-ready>{'</article>'.join(cards)}"
    (bare / "index.html").write_text(html)
    write_static(str(page))
    (page / "index.html").write_bytes(index_html(page_data(board, media, PageInfo("bench", "bench", BEGAN))))
    return sum(path.stat().st_size for path in page.iterdir() if path.is_file())
