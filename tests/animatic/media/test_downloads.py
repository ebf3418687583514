"""Downloads: whole or not there, bounded, without a key, and from no private address but the operator's."""

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from animatic.errors import ApiUnavailableError
from animatic.media.downloads import ClipDownloader

CLIP = b"\0\0\0\x20ftypisom" + b"frames" * 5_000
HEAD = "HTTP/1.1 200 OK\r\n"
Answer = Callable[[asyncio.StreamWriter], Any]


async def download(wire: Any, answer: bytes, path: Path, **options: Any) -> tuple[Any, int]:
    """The requests that a listener on this machine received, and the number of bytes written."""

    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    listener = await wire.listen(play)
    async with ClipDownloader(listener.url, **options) as downloader:
        return listener, await downloader.download(f"{listener.url}/outputs/1.mp4?token=secret", path)


async def test_a_clip_is_written_whole_private_and_without_a_key(wire: Any, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"older")
    listener, size_bytes = await download(wire, wire.reply(CLIP), path)
    assert (path.read_bytes(), size_bytes, path.stat().st_mode & 0o777) == (CLIP, len(CLIP), 0o600)
    (request,) = listener.requests
    assert b"authorization" not in request.lower()
    assert b"cookie" not in request.lower()
    assert b"Accept-Encoding: identity" in request
    assert [each.name for each in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize(
    ("answer", "said"),
    {
        "HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/?token=secret\r\nContent-Length: 0\r\n\r\n": "a redirect",
        "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n": "HTTP 404 instead of a clip",
        f"{HEAD}Content-Length: 0\r\n\r\n": "nothing came",
        f"{HEAD}Content-Length: 20\r\n\r\n<html>no clip</html>": "no MP4 file",
        f"{HEAD}Content-Length: 99999\r\n\r\n\0\0\0\x20ftypisom": "ClientPayloadError",
        f"{HEAD}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc": "compressed",
        f"{HEAD}Content-Length: 40\r\n\r\n\0\0\0\x20ftypisom{'x' * 28}": "larger than 30 bytes",
        "garbage\r\n\r\n": "not downloaded",
    }.items(),
    ids=lambda text: text[-40:] if len(text) > 60 else text,
)
async def test_a_download_that_is_no_clip_changes_nothing(wire: Any, tmp_path: Path, answer: str, said: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"older")
    with pytest.raises(ApiUnavailableError, match=said) as caught:
        await download(wire, answer.encode(), path, max_bytes=30)
    assert "secret" not in str(caught.value)
    assert path.read_bytes() == b"older"
    assert [each.name for each in tmp_path.iterdir()] == ["clip.mp4"]


async def test_a_bomb_is_not_unpacked(wire: Any, tmp_path: Path) -> None:
    bomb = gzip.compress(b"\0" * 5_000_000)
    with pytest.raises(ApiUnavailableError, match="compressed"):
        await download(wire, wire.reply(bomb, 200, {"Content-Encoding": "gzip"}), tmp_path / "clip.mp4")


async def test_a_clip_that_drips_is_bounded_as_a_whole(wire: Any, tmp_path: Path) -> None:
    async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + b"c\r\n\0\0\0\x20ftypisom\r\n")
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    listener = await wire.listen(play)
    async with ClipDownloader(listener.url, deadline_s=0.3) as downloader:
        with pytest.raises(ApiUnavailableError, match="TimeoutError"):
            await downloader.download(f"{listener.url}/a.mp4", tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


async def test_another_port_of_the_operators_host_is_not_the_operators_origin(wire: Any, tmp_path: Path) -> None:
    here, elsewhere = await wire.listen_and_answer({}), await wire.listen_and_answer({})
    async with ClipDownloader(here.url) as downloader:
        for url in (elsewhere.url, here.url.replace("http:", "https:"), here.url.replace("//", "//user@")):
            with pytest.raises(ApiUnavailableError, match="not fetched"):
                await downloader.download(f"{url}/a.mp4", tmp_path / "clip.mp4")
    assert (here.connections, elsewhere.connections) == (0, 0)


async def test_a_link_in_the_place_of_the_clip_is_replaced_not_followed(wire: Any, tmp_path: Path) -> None:
    target, path = tmp_path / "precious", tmp_path / "clip.mp4"
    target.write_bytes(b"precious")
    path.symlink_to(target)
    await download(wire, wire.reply(CLIP), path)
    assert (target.read_bytes(), path.is_symlink()) == (b"precious", False)
