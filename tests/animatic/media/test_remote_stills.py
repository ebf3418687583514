"""Looks at stills on the web: what cannot be used is told and why, each bounded in bytes and time, none twice."""

import asyncio
import hashlib
import io
import re
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PIL import Image

from animatic.media.remote_stills import RemoteStills
from animatic.media.still_answers import LookBounds
from animatic.takes.seen_stills import FRESH, LookedAt, SeenStill

QUICK = LookBounds(pause_s=0.01, most_pause_s=0.05)
HEAD = "HTTP/1.1 200 OK\r\n"


def drawn(width: int = 1280, height: int = 720, form: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 90)).save(data, form)
    return data.getvalue()


PNG = drawn()


async def serve(wire: Any, *answers: bytes) -> Any:
    """A host that gives each request the next of these answers, and the last one from then on."""
    served = iter(answers)

    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(next(served, answers[-1]))
        await writer.drain()
        writer.close()

    return await wire.listen(play)


async def look(wire: Any, *answers: bytes, bounds: LookBounds = QUICK) -> tuple[Any, LookedAt]:
    """The host that was asked for one still, and what was seen there."""
    listener = await serve(wire, *answers)
    url = f"{listener.url}/a.png?token=secret"
    looked = await RemoteStills(listener.url, bounds=bounds).look_at([url])
    return listener, looked[url]


async def test_hash_and_shape_of_a_sound_still_are_seen_without_a_key(wire: Any) -> None:
    stamps = {"ETag": '"v1"', "Last-Modified": "Mon, 01 Jun 2026 10:00:00 GMT"}
    before = datetime.now(UTC)
    listener, seen = await look(wire, wire.reply(PNG, 200, stamps))
    assert isinstance(seen, SeenStill)
    assert before <= seen.seen_at <= datetime.now(UTC)
    assert replace(seen, seen_at=before) == SeenStill(
        1280, 720, "PNG", hashlib.sha256(PNG).hexdigest(), len(PNG), '"v1"', stamps["Last-Modified"], before
    )
    (request,) = listener.requests
    assert b"Accept-Encoding: identity" in request
    assert not {b"authorization", b"cookie"} & {line.partition(b":")[0] for line in request.lower().splitlines()}


PAGE = b"\r\n <!doctype html><title>Sign in</title>" + b"x" * 200


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (403, {}, b"", "HTTP 403 instead of an image, which is not for everyone"),
        (401, {}, b"", "HTTP 401 instead of an image, a page for those who signed in"),
        (404, {}, PAGE, "HTTP 404 instead of an image"),
        (410, {}, b"", "HTTP 410 instead of an image"),
        (206, {}, PNG, "HTTP 206 instead of an image"),
        (304, {}, b"", "HTTP 304 instead of an image"),
        (503, {}, b"", "HTTP 503 instead of an image"),
        (429, {"Retry-After": "0"}, b"", "HTTP 429 instead of an image"),
        (302, {}, b"", "HTTP 302 instead of an image, a redirect to nowhere"),
        (200, {}, b"", "nothing comes: it is empty"),
        (200, {}, PAGE, "is text such as HTML or SVG, not a JPEG, PNG or WebP image"),
        (
            200,
            {"Content-Type": "image/png"},
            PAGE,
            "is text such as HTML or SVG, not a JPEG, PNG or WebP image, though its host calls it image/png",
        ),
        (200, {}, b'{"error": "gone"}', "is text such as JSON, not a JPEG, PNG or WebP image"),
        (200, {}, drawn(form="GIF"), "is a GIF, not a JPEG, PNG or WebP image"),
        (200, {}, drawn(form="TIFF"), "is a TIFF image, not a JPEG, PNG or WebP image"),
        (200, {}, PNG[: len(PNG) // 2], "begins like a PNG image and is cut off: its pixels cannot be decoded"),
        (200, {}, PNG[:20], "begins like a PNG image and cannot be read as one; is it cut off?"),
        (200, {}, drawn(1, 1), "has 1 x 1 pixels, which is no picture to animate"),
        (200, {}, PNG[:16] + bytes(4) + PNG[20:], "begins like a PNG image and cannot be read as one; is it cut off?"),
        (200, {"Content-Encoding": "gzip"}, PNG, "it comes compressed, which was not asked for"),
    ],
    ids=lambda each: str(each)[:30] if not isinstance(each, bytes) else "",
)
async def test_what_cannot_be_used_is_told_and_why(
    wire: Any, status: int, headers: dict[str, str], body: bytes, said: str
) -> None:
    _, found = await look(wire, wire.reply(body, status, headers))
    assert found == said


async def test_a_large_still_is_refused_by_its_length_and_by_its_bytes(wire: Any) -> None:
    bounds = replace(QUICK, still_bytes=1_000)
    for answer in (f"{HEAD}Content-Length: 9999999\r\n\r\n", f"{HEAD}\r\n"):
        _, found = await look(wire, answer.encode() + PNG[:64] + bytes(2_000), bounds=bounds)
        assert found == "is larger than 1,000 bytes"


async def test_a_busy_host_is_asked_again_and_believed_then(wire: Any) -> None:
    busy = wire.reply(b"", 503, {"Retry-After": "0"})
    listener, found = await look(wire, busy, busy, wire.reply(PNG))
    assert isinstance(found, SeenStill)
    assert len(listener.requests) == 3


async def test_a_line_that_breaks_is_a_fault_after_some_tries(wire: Any) -> None:
    listener, found = await look(wire, f"{HEAD}Content-Length: 99999\r\n\r\n".encode() + PNG[:100])
    assert found == "it cannot be reached (ClientPayloadError)"
    assert len(listener.requests) == QUICK.tries


async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(f"{HEAD}Content-Length: 9999\r\n\r\n".encode() + PNG[:64])
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def stall(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(f"{HEAD}Content-Length: 9999\r\n\r\n".encode() + PNG[:64])
    await writer.drain()
    await asyncio.sleep(60)


@pytest.mark.parametrize(("play", "bound"), [(drip, {"still_s": 0.2}), (stall, {"stalls_after_s": 0.2})])
async def test_a_still_that_drips_or_stalls_is_given_up(wire: Any, play: Any, bound: dict[str, float]) -> None:
    listener = await wire.listen(play)
    url, bounds = f"{listener.url}/a.png", replace(QUICK, tries=2, **bound)
    looked = await RemoteStills(listener.url, bounds=bounds).look_at([url])
    assert looked == {url: "its host does not answer, or not in time"}


async def test_reading_an_endless_body_stops_at_the_bound_and_needs_little_memory(wire: Any) -> None:
    async def flood(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{HEAD}\r\n".encode() + PNG[:64])
        while not writer.is_closing():
            writer.write(bytes(1 << 16))
            await writer.drain()

    listener = await wire.listen(flood)
    urls = [f"{listener.url}/{number}.png" for number in range(4)]
    tracemalloc.start()
    try:
        looked = await RemoteStills(listener.url, bounds=QUICK).look_at(urls)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert set(looked.values()) == {"is larger than 20 MiB"}
    assert peak < 24 << 20, "four stills of 20 MiB each"


async def test_a_check_ends_in_bounded_time_and_keeps_what_it_has_seen(wire: Any) -> None:
    async def play(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/slow" in request:
            await asyncio.sleep(60)
        writer.write(wire.reply(PNG))
        await writer.drain()

    listener = await wire.listen(play)
    urls = [f"{listener.url}/{name}.png" for name in ("a", "slow", "b")]
    looked = await RemoteStills(listener.url, bounds=replace(QUICK, check_s=1.0)).look_at(urls)
    assert list(looked) == [urls[0], urls[2]]


async def test_no_more_requests_at_once_than_a_host_should_get(wire: Any) -> None:
    now, most = 0, 0

    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1
        writer.write(wire.reply(PNG))
        await writer.drain()
        writer.close()

    listener = await wire.listen(play)
    urls = [f"{listener.url}/{number}.png" for number in range(12)]
    looked = await RemoteStills(listener.url, bounds=replace(QUICK, at_once_per_host=3)).look_at(urls)
    assert all(isinstance(each, SeenStill) for each in looked.values())
    assert most == 3


async def test_an_unreachable_host_is_given_up_for_all_its_stills(wire: Any) -> None:
    listener = await wire.listen(lambda _, writer: _close(writer))
    urls = [f"{listener.url}/{number}.png" for number in range(60)]
    looked = await RemoteStills(listener.url, bounds=replace(QUICK, at_once_per_host=1)).look_at(urls)
    assert len(looked) == 60
    assert listener.connections < 12
    assert looked[urls[-1]] == "its host could not be reached 5 times in a row"


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_redirects_are_followed_a_few_times_and_each_is_guarded(wire: Any) -> None:
    def redirect(target: str) -> bytes:
        return wire.reply(b"", 302, {"Location": target})

    listener, found = await look(wire, redirect("/b.png?x=1"), redirect("c.png"), wire.reply(PNG))
    assert isinstance(found, SeenStill)
    assert [request.split()[1] for request in listener.requests] == [b"/a.png?token=secret", b"/b.png?x=1", b"/c.png"]
    _, found = await look(wire, redirect("/a.png"))
    assert found == "more than 5 redirects"
    inside = await serve(wire, wire.reply(PNG))
    for target in (f"{inside.url}/a.png", "https://10.0.0.5/a.png", "https://[::1]/a.png", "file:///etc/passwd"):
        _, found = await look(wire, redirect(target))
        assert isinstance(found, str)
        assert "secret" not in found
    assert not inside.requests


async def test_private_places_are_not_asked_though_a_manifest_names_them(wire: Any) -> None:
    inside = await serve(wire, wire.reply(PNG))
    urls = [f"{inside.url}/a.png", "https://127.0.0.1/a.png", "https://metadata.internal/a.png"]
    looked = await RemoteStills(bounds=QUICK).look_at(urls)
    assert all(isinstance(each, str) and each.startswith("it is not fetched: ") for each in looked.values())
    assert not inside.requests


async def test_a_signature_that_has_ended_is_told_without_a_request(wire: Any) -> None:
    listener = await serve(wire, wire.reply(PNG))
    url = f"{listener.url}/a.png?AWSAccessKeyId=a&Signature=b&Expires=1735693200"
    looked = await RemoteStills(listener.url, bounds=QUICK).look_at([url])
    assert looked == {url: "its signature ended on 2025-01-01 01:00 UTC; sign it again"}
    assert not listener.requests


SEEN = SeenStill(1280, 720, "PNG", "ab" * 32, 10, '"v1"', None, datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_fresh_look_is_not_repeated(wire: Any) -> None:
    listener = await serve(wire, wire.reply(PNG))
    url, seen = f"{listener.url}/a.png", replace(SEEN, seen_at=datetime.now(UTC) - FRESH / 2)
    assert await RemoteStills(listener.url, bounds=QUICK).look_at([url], {url: seen}) == {url: seen}
    assert not listener.requests


@pytest.mark.parametrize("age", [2 * FRESH, -timedelta(minutes=5)])
async def test_an_older_look_is_asked_for_by_its_etag(wire: Any, age: timedelta) -> None:
    listener = await serve(wire, wire.reply(b"", 304), wire.reply(PNG))
    url, seen = f"{listener.url}/a.png", replace(SEEN, seen_at=datetime.now(UTC) - age)
    looked = await RemoteStills(listener.url, bounds=QUICK).look_at([url], {url: seen})
    again = looked[url]
    assert isinstance(again, SeenStill)
    assert (again.sha256, again.seen_at > seen.seen_at or age < timedelta()) == (SEEN.sha256, True)
    assert b'If-None-Match: "v1"' in listener.requests[0]
    looked = await RemoteStills(listener.url, bounds=QUICK).look_at([url], {url: seen})
    changed = looked[url]
    assert isinstance(changed, SeenStill)
    assert changed.sha256 == hashlib.sha256(PNG).hexdigest()


async def test_beyond_the_bytes_of_a_check_only_beginnings_are_read(wire: Any) -> None:
    noise = io.BytesIO()
    Image.effect_noise((2_400, 1_600), 90).convert("RGB").save(noise, "JPEG", quality=95)
    body, sent = noise.getvalue(), 0
    assert len(body) > 3 << 20

    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f'{HEAD}Content-Length: {len(body)}\r\nETag: "v1"\r\n\r\n'.encode())
        for start in range(0, len(body), 1 << 16):
            writer.write(body[start : start + (1 << 16)])
            await writer.drain()
            sent += 1 << 16
            await asyncio.sleep(0.001)

    listener = await wire.listen(play)
    url, bounds = f"{listener.url}/a.jpg", replace(QUICK, whole_bytes=1_000)
    seen = (await RemoteStills(listener.url, bounds=bounds).look_at([url]))[url]
    assert isinstance(seen, SeenStill)
    assert (seen.width, seen.height, seen.sha256, seen.size_bytes) == (2_400, 1_600, None, len(body))
    assert sent < len(body)


async def test_progress_is_told_while_a_check_lasts(wire: Any) -> None:
    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        writer.write(wire.reply(PNG))
        await writer.drain()

    listener, lines = await wire.listen(play), list[str]()
    urls = [f"{listener.url}/{number}.png" for number in range(3)]
    bounds = replace(QUICK, at_once_per_host=1, progress_every_s=0.5)
    await RemoteStills(listener.url, bounds=bounds).look_at(urls, log_line=lines.append)
    assert any(re.match(r"stills on the web: looked at [12] of 3; about ", line) for line in lines)
