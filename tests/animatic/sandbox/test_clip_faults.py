"""Scenarios of downloads: each clip fails as the table says, and comes whole after as many faults as were asked for."""

import asyncio
from typing import Any

import aiohttp
import pytest


async def bought(caller: Any, clock: Any, token: str) -> str:
    taken = await caller.submit_id(f"push in [sandbox:{token}]")
    clock.advance(60)
    return f"{caller.sandbox.url}/outputs/{taken}/1.mp4"


async def fetched(url: str) -> tuple[int, bytes, str]:
    """Return status, body and how the body ended."""
    async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as reply:
        data = bytearray()
        try:
            async with asyncio.timeout(1):
                async for chunk in reply.content.iter_chunked(1 << 16):
                    data += chunk
                    if len(data) > 20_000_000:
                        return reply.status, bytes(data), "endless"
        except TimeoutError:
            return reply.status, bytes(data), "stalled"
        except aiohttp.ClientPayloadError:
            return reply.status, bytes(data), "cut"
        return reply.status, bytes(data), "whole"


@pytest.mark.parametrize(
    ("token", "status", "end"),
    [
        ("expired-clip", 410, "whole"),
        ("cut-clip", 200, "cut"),
        ("stalled-clip", 200, "stalled"),
        ("short-clip", 200, "cut"),
        ("endless-clip", 200, "endless"),
        ("html-clip", 200, "whole"),
        ("moved-clip", 302, "whole"),
    ],
)
async def test_a_download_fails_as_asked(caller: Any, clock: Any, token: str, status: int, end: str) -> None:
    found, _, ended = await fetched(await bought(caller, clock, token))
    assert (found, ended) == (status, end)


async def test_a_clip_comes_whole_after_its_faults(caller: Any, clock: Any) -> None:
    url = await bought(caller, clock, "cut-clip=2")
    assert [(await fetched(url))[2] for _ in range(3)] == ["cut", "cut", "whole"]
    async with aiohttp.ClientSession(caller.sandbox.url) as session, session.get("/sandbox/downloads") as reply:
        assert list((await reply.json()).values()) == [3]
