"""Pages for tests: results tables of a few lines, with real clips and stills, and the page that shows them."""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filmed import film, grey
from PIL import Image

from animatic.results.boards import find_board_files, read_board
from animatic.results.columns import RESULTS_SCHEMA
from animatic.review.writing import PageFolder, info_of

BEGAN = datetime(2026, 11, 27, 8, tzinfo=UTC)
SIZE, FRAMES, FPS = (320, 180), 48, 24
LIGHTER = 4
"""Each frame of a clip is so much lighter than the one before, so that a picture of it says which it is."""


def clip_in(folder: Path, number: int = 1, *, darkest: int = 32) -> Path:
    """Return a clip of two seconds whose frames can be told apart."""
    path = folder / f"clip-{number}.mp4"
    return film(path, [grey(darkest + LIGHTER * frame, SIZE) for frame in range(FRAMES)], fps=FPS)


def still_in(folder: Path, name: str = "still.jpg", size: tuple[int, int] = (640, 360)) -> Path:
    """Return a still."""
    path = folder / name
    Image.fromarray(grey(32, size)).save(path, quality=95)
    return path


def row(
    number: int, take: int = 1, *, clip: Path | None = None, still: Path | None = None, **more: Any
) -> dict[str, Any]:
    """Return a row of a results table: completed where it has a clip, else failed; `more` are other columns."""
    shot_id = more.get("shot_id", f"shot-{number:02}")
    asked = json.dumps([shot_id, more.get("prompt"), more.get("model"), take])
    made: dict[str, Any] = {
        "row": number, "shot_id": shot_id, "storyboard": "lighthouse", "take": take, "image": "stills/a.jpg",
        "prompt": f"Slow push in on number {number}.", "still_uri": None if still is None else still.as_uri(),
        "model": "wavespeed-ai/veo2-i2v", "aspect_ratio": "16:9", "duration": "5s", "status": "failed",
        "error": "the model failed on its side", "error_code": 5000, "polls": 2, "attempts": 1, "cached": False,
        "quoted_usd": Decimal("2.500000"), "submitted_at": BEGAN + timedelta(seconds=number),
        "fingerprint": hashlib.sha256(asked.encode()).hexdigest(), "run_id": "20261127T080000Z-0001",
    }  # fmt: skip
    if clip is not None:
        digest, uri = hashlib.sha256(clip.read_bytes()).hexdigest(), clip.as_uri()
        made |= {
            "status": "completed", "error": None, "error_code": None, "outputs": ["https://cdn.example/1.mp4"],
            "output_url": "https://cdn.example/1.mp4", "has_nsfw_contents": [False], "nsfw": False,
            "inference_ms": 40_000 + 1_000 * number, "created_at": BEGAN + timedelta(seconds=number),
            "completed_at": BEGAN + timedelta(seconds=60 + 2 * number), "prediction_id": digest[:32],
            "clip_uri": uri, "sha256": digest, "size_bytes": clip.stat().st_size,
            "clips": json.dumps([{"uri": uri, "sha256": digest, "size_bytes": 1}]), "clip_duration_s": FRAMES / FPS,
            "clip_width": SIZE[0], "clip_height": SIZE[1], "clip_fps": float(FPS), "clip_frames": FRAMES,
        }  # fmt: skip
    return made | more


def table_in(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "results.parquet") -> Path:
    """Write a results table with these rows; what they leave out is null."""
    path = folder / name
    nulls = dict.fromkeys(RESULTS_SCHEMA.names)
    pq.write_table(pa.Table.from_pylist([nulls | dict(each) for each in rows], schema=RESULTS_SCHEMA), path)
    return path


def page_of(*tables: Path, out: Path | None = None) -> Path:
    """Write the page of these tables; return its `index.html`."""
    folder = out or tables[0].parent / "review"
    files = find_board_files([str(table) for table in tables])

    async def write() -> None:
        async with PageFolder(str(folder)) as page:
            await page.write(read_board(files), info_of(files))

    with ThreadPoolExecutor(1) as thread:  # a browser keeps a loop of its own in this one
        thread.submit(asyncio.run, write()).result()
    return folder / "index.html"
