"""Downloads: all of a clip or an error, bounded, resumed, without a key, and from no private address but one."""

import asyncio
import errno
import gzip
import hashlib
import io
import re
from typing import Any

import pytest

from animatic.errors import ClipRefusedError, ClipUnavailableError
from animatic.media.downloads import MOST_RESUMES, ClipDownloader, Download, suffix_of

CLIP = b"\0\0\0\x20ftypisom" + bytes(range(256)) * 400
HEAD = "HTTP/1.1 200 OK\r\n"
ETAG = '"v1"'


async def download(wire: Any, answer: bytes, file: io.BytesIO, **options: Any) -> tuple[Any, Download]:
    """The requests that a listener on this machine received, and what came."""

    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    listener = await wire.listen(play)
    async with ClipDownloader(listener.url, **options) as downloader:
        return listener, await downloader.download(f"{listener.url}/outputs/1.mp4?token=secret", file, "sh010 take 1")


async def test_a_clip_comes_whole_with_its_hash_and_without_a_key(wire: Any) -> None:
    file = io.BytesIO()
    listener, found = await download(wire, wire.reply(CLIP), file)
    assert file.getvalue() == CLIP
    assert found == Download(hashlib.sha256(CLIP).hexdigest(), len(CLIP), ".mp4")
    (request,) = listener.requests
    assert b"authorization" not in request.lower()
    assert b"cookie" not in request.lower()
    assert b"Accept-Encoding: identity" in request


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (
            "HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/?token=secret\r\nContent-Length: 0\r\n\r\n",
            ClipRefusedError,
            "a redirect",
        ),
        ("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", ClipUnavailableError, "HTTP 404 instead of a clip"),
        (f"{HEAD}Content-Length: 0\r\n\r\n", ClipUnavailableError, "nothing came"),
        (f"{HEAD}Content-Length: 20\r\n\r\n<html>no clip</html>", ClipRefusedError, "no video, picture or sound"),
        (f"{HEAD}Content-Length: 4\r\n\r\nabcd", ClipRefusedError, "no video, picture or sound"),
        (f"{HEAD}Content-Length: 25\r\n\r\n\0\0\0\x20ftypisom", ClipUnavailableError, "ClientPayloadError"),
        (f"{HEAD}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", ClipRefusedError, "compressed"),
        (f"{HEAD}Content-Length: 99999\r\n\r\n", ClipRefusedError, "larger than 30 bytes"),
        (f"{HEAD}\r\n\0\0\0\x20ftypisom{'x' * 28}", ClipRefusedError, "larger than 30 bytes"),
        (
            "HTTP/1.1 206 X\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nabcde",
            ClipUnavailableError,
            "part",
        ),
        ("garbage\r\n\r\n", ClipUnavailableError, "not downloaded"),
    ],
    ids=lambda each: each[-40:] if isinstance(each, str) else "",
)
async def test_what_is_no_clip_is_refused(wire: Any, answer: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        await download(wire, answer.encode(), io.BytesIO(), max_bytes=30)
    assert "secret" not in str(caught.value)
    assert "sh010 take 1" in str(caught.value)


@pytest.mark.parametrize(("status", "is_gone"), [(403, True), (404, True), (410, True), (429, False), (503, False)])
async def test_a_dead_url_is_told_from_a_server_that_is_unwell(wire: Any, status: int, is_gone: bool) -> None:
    with pytest.raises(ClipUnavailableError) as caught:
        await download(wire, wire.reply(b"", status), io.BytesIO())
    assert caught.value.is_gone is is_gone


async def test_a_bomb_is_not_unpacked(wire: Any) -> None:
    bomb = gzip.compress(b"\0" * 5_000_000)
    with pytest.raises(ClipRefusedError, match="compressed"):
        await download(wire, wire.reply(bomb, 200, {"Content-Encoding": "gzip"}), io.BytesIO())


async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + b"c\r\n\0\0\0\x20ftypisom\r\n")
    while True:
        writer.write(b"1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def stall(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(f"{HEAD}Content-Length: 900\r\n\r\n".encode() + b"\0\0\0\x20ftypisom")
    await writer.drain()
    await asyncio.sleep(60)


@pytest.mark.parametrize(("play", "bound"), [(drip, {"deadline_s": 0.3}), (stall, {"stalls_after_s": 0.3})])
async def test_a_clip_that_drips_or_stalls_is_given_up(wire: Any, play: Any, bound: dict[str, float]) -> None:
    listener = await wire.listen(play)
    async with ClipDownloader(listener.url, **bound) as downloader:
        with pytest.raises(ClipUnavailableError, match=r"too long, or .* bytes had come"):
            await downloader.download(f"{listener.url}/a.mp4", io.BytesIO(), "a")


class Ranges:
    """Serves a clip that breaks after so many bytes, and goes on where it is asked to."""

    def __init__(self, *, breaks_after: int, etags: tuple[str, ...] = (ETAG,), lies: bool = False) -> None:
        self.breaks_after, self.etags, self.lies, self.served = breaks_after, etags, lies, 0

    async def play(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        etag = self.etags[min(self.served, len(self.etags) - 1)]
        self.served += 1
        wanted = re.search(rb"Range: bytes=(\d+)-", request)
        start = int(wanted[1]) if wanted and f"If-Range: {etag}".encode() in request else 0
        said = start + 1 if self.lies and start else start
        head = [
            f"HTTP/1.1 {206 if start else 200} X",
            f"Content-Length: {len(CLIP) - start}",
            f"ETag: {etag}",
            "Accept-Ranges: bytes",
            *([f"Content-Range: bytes {said}-{len(CLIP) - 1}/{len(CLIP)}"] if start else []),
        ]
        writer.write("\r\n".join([*head, "", ""]).encode() + CLIP[start : start + self.breaks_after])
        await writer.drain()
        writer.close()


async def fetch(wire: Any, ranges: Ranges) -> tuple[Any, bytes, Download]:
    listener, file = await wire.listen(ranges.play), io.BytesIO()
    async with ClipDownloader(listener.url) as downloader:
        found = await downloader.download(f"{listener.url}/a.mp4", file, "a")
    return listener, file.getvalue(), found


async def test_a_line_that_breaks_is_resumed_where_it_broke(wire: Any) -> None:
    listener, data, found = await fetch(wire, Ranges(breaks_after=40_000))
    assert (data, found.sha256) == (CLIP, hashlib.sha256(CLIP).hexdigest())
    assert len(listener.requests) == 3
    assert sum(b"\r\nRange: " in request for request in listener.requests) == 2


async def test_what_has_changed_meanwhile_is_fetched_from_the_start(wire: Any) -> None:
    ranges = Ranges(breaks_after=60_000, etags=('"v1"', '"v2"', '"v2"'))
    _, data, found = await fetch(wire, ranges)
    assert (data, found.sha256) == (CLIP, hashlib.sha256(CLIP).hexdigest())


@pytest.mark.parametrize("etag", ["", 'W/"v1"', "v1"])
async def test_without_a_strong_validator_nothing_is_resumed(wire: Any, etag: str) -> None:
    ranges = Ranges(breaks_after=60_000, etags=(etag,))
    with pytest.raises(ClipUnavailableError, match="ClientPayloadError"):
        await fetch(wire, ranges)
    assert ranges.served == 1


async def test_a_rest_that_is_not_the_rest_is_refused(wire: Any) -> None:
    with pytest.raises(ClipUnavailableError, match="another part of it came"):
        await fetch(wire, Ranges(breaks_after=60_000, lies=True))


async def test_a_line_that_breaks_too_often_is_given_up(wire: Any) -> None:
    ranges = Ranges(breaks_after=10_000)
    with pytest.raises(ClipUnavailableError):
        await fetch(wire, ranges)
    assert ranges.served == MOST_RESUMES + 1


class FullDisk(io.BytesIO):
    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_is_the_disks_error(wire: Any) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        await download(wire, wire.reply(CLIP), FullDisk())
    assert caught.value.errno == errno.ENOSPC


async def test_another_port_of_the_operators_host_is_not_the_operators_origin(wire: Any) -> None:
    here, elsewhere = await wire.listen_and_answer({}), await wire.listen_and_answer({})
    async with ClipDownloader(here.url) as downloader:
        for url in (elsewhere.url, here.url.replace("http:", "https:"), here.url.replace("//", "//user@")):
            with pytest.raises(ClipRefusedError, match="not fetched"):
                await downloader.download(f"{url}/a.mp4", io.BytesIO(), "a")
    assert (here.connections, elsewhere.connections) == (0, 0)


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b"\0\0\0\x20ftypisom", ".mp4"),
        (b"\0\0\0\x14ftypqt  ", ".mov"),
        (b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1f", ".webm"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\r", ".png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1", ".jpg"),
        (b"RIFF\x24\0\0\0WEBP", ".webp"),
        (b"RIFF\x24\0\0\0WAVE", ".wav"),
        (b"ID3\4\0\0\0\0\0\0\0\0", ".mp3"),
        (b"<!DOCTYPE ht", ""),
        (b"%PDF-1.7\n%\xe2\xe3", ""),
        (b"MZ\x90\0\3\0\0\0\4\0\0\0", ""),
    ],
)
def test_the_first_bytes_tell_what_it_is(head: bytes, suffix: str) -> None:
    assert suffix_of(head) == suffix
