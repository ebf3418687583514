"""The sandbox alone under a bare load: what it can serve, and how much of a core it needs for an ultra account."""

import asyncio
import json

from benchmarks.contenders.order import MODEL
from benchmarks.contest import Studio
from benchmarks.load import Load, fire, get, post
from benchmarks.server import Account, Served, served
from benchmarks.sizes import Result, Sizes, say

REQUESTS, LANES = 5_000, 16
ULTRA_POSTS, ULTRA_LOOKS = 5_000 / 60, 400.0
"""A second, at 5,000 starts a minute and five looks a take."""


def run(studio: Studio, sizes: Sizes) -> Result:
    """Submissions and looks, over connections that stay and over fresh ones."""
    with served(studio.room("sandbox") / "sandbox", Account(10_000_000, 10_000_000, 55.0)) as server:
        rows = asyncio.run(_all(server, sizes.takes or REQUESTS))
    by_name = {row["what"]: row for row in rows}
    posts_us, looks_us = by_name["POST, a connection each"]["cpu_us"], by_name["GET, kept connections"]["cpu_us"]
    share = (ULTRA_POSTS * posts_us + ULTRA_LOOKS * looks_us) / 1e6
    say(f"an ultra account needs {share:.1%} of a core")
    return {"rows": rows, "ultra_share": round(share, 4), "posts": round(ULTRA_POSTS), "looks": ULTRA_LOOKS}


async def _all(server: Served, count: int) -> list[Result]:
    rows: list[Result] = []
    ids: list[str] = []
    for what, is_fresh in (("POST, kept connections", False), ("POST, a connection each", True)):
        asked = [post(f"/api/v3/{MODEL}", server.key, _body(f"{what} {number}")) for number in range(count)]
        row, load = await _measured(server, what, asked, is_fresh=is_fresh)
        rows.append(row)
        ids += [json.loads(reply.partition(b"\r\n\r\n")[2])["data"]["id"] for reply in load.replies]
    for what, is_fresh in (("GET, kept connections", False), ("GET, a connection each", True)):
        asked = [get(f"/api/v3/predictions/{each}/result", server.key) for each in ids]
        rows.append((await _measured(server, what, asked, is_fresh=is_fresh))[0])
    return rows


async def _measured(server: Served, what: str, asked: list[bytes], *, is_fresh: bool) -> tuple[Result, Load]:
    before_s = server.cpu_s()
    load = await fire(server.url, asked, lanes=LANES, is_fresh=is_fresh)
    cpu_us = (server.cpu_s() - before_s) / load.requests * 1e6
    failed = sum(b" 200 " not in reply[:16] for reply in load.replies)
    row = {
        "what": what,
        "requests": load.requests,
        "failed": failed,
        "a_second": round(load.requests / load.seconds),
        "a_second_of_a_core": round(1e6 / cpu_us),
        "cpu_us": round(cpu_us),
        "wait_p99_ms": round(sorted(load.waits_s)[int(len(load.waits_s) * 0.99)] * 1_000, 1),
    }
    say(f"{what}: {row['a_second']:,}/s, {row['cpu_us']} us of CPU each, {failed} failed")
    return row, load


def _body(prompt: str) -> bytes:
    fields = {"prompt": prompt, "image": "https://stills.example/1.jpg", "aspect_ratio": "16:9", "duration": "5s"}
    return json.dumps(fields).encode()
