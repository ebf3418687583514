"""Stills fetched into files: along a few redirects, each guarded, and never in part."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from animatic.media.still_files import fetch_still, still_reader


async def fetched(wire: Any, into: Path, *answers: bytes) -> tuple[Any, str | None]:
    """Return the host that was asked for one still, and why it could not be had."""
    left = iter(answers)

    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(next(left, answers[-1]))
        await writer.drain()
        writer.close()

    listener = await wire.listen(play)
    async with still_reader(listener.url) as web:
        return listener, await fetch_still(f"{listener.url}/a.png", into, web, listener.url)


async def test_redirects_are_followed_a_few_times(wire: Any, tmp_path: Path) -> None:
    again = wire.reply(b"", 302, {"Location": "/b.png"})
    listener, why = await fetched(wire, tmp_path / "still", *[again] * 5, wire.reply(b"still"))
    assert why is None
    assert len(listener.requests) == 6
    assert (tmp_path / "still").read_bytes() == b"still"
    listener, why = await fetched(wire, tmp_path / "none", again)
    assert why == "cannot be fetched: more than 5 redirects"
    assert len(listener.requests) == 6


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "cannot be fetched: its host answers with 302"),
        ({"Location": "https://10.0.0.5/b.png"}, "must not be fetched: "),
        ({"Location": "file:///etc/passwd"}, "cannot be fetched from the web now"),
    ],
)
async def test_a_redirect_leads_nowhere_that_a_still_may_not_be(
    wire: Any, tmp_path: Path, headers: dict[str, str], why: str
) -> None:
    _, found = await fetched(wire, tmp_path / "none", wire.reply(b"", 302, headers))
    assert found is not None
    assert found.startswith(why)
    assert not (tmp_path / "none").exists()
