"""Stills go up, clips come down; no path leads out of the folder."""

import io
import zlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from animatic.media.clips import probe_clip

UPLOAD = "/api/v3/media/upload/binary"


def _form(content: bytes, name: str = "file", filename: str = "still.png") -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field(name, io.BytesIO(content), filename=filename, content_type="application/octet-stream")
    return form


async def test_an_uploaded_still_comes_back_from_its_url_without_a_key(caller: Any, still: bytes) -> None:
    data = (await caller.ask("POST", UPLOAD, data=_form(still))).data
    again = (await caller.ask("POST", UPLOAD, data=_form(still, filename="../../other.jpg"))).data
    got = await caller.ask("GET", data["download_url"], key=None)
    assert data["download_url"].startswith(caller.sandbox.url + "/uploads/")
    assert again["download_url"] == data["download_url"]
    assert (got.status, got.body, got.headers["Content-Type"]) == (200, still, "image/png")
    assert len(list((caller.sandbox.folder / "uploads").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"GIF89a" + b"\0" * 50, b"%PDF-1.7"])
async def test_what_is_no_image_is_a_400_and_not_kept(caller: Any, content: bytes) -> None:
    assert (await caller.ask("POST", UPLOAD, data=_form(content))).status == 400
    assert list((caller.sandbox.folder / "uploads").iterdir()) == []


@pytest.mark.parametrize(("form", "options"), [("JPEG", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
async def test_every_form_of_still_is_kept(caller: Any, form: str, options: dict[str, Any]) -> None:
    data = io.BytesIO()
    Image.new("RGB", (64, 36), (1, 2, 3)).save(data, form, **options)
    assert (await caller.ask("POST", UPLOAD, data=_form(data.getvalue()))).status == 200


async def test_a_still_of_more_pixels_than_anyone_needs_is_a_400(caller: Any, still: bytes) -> None:
    header = b"IHDR" + (8_000).to_bytes(4, "big") + (8_000).to_bytes(4, "big") + still[24:29]
    wide = still[:12] + header + zlib.crc32(header).to_bytes(4, "big") + still[33:]
    reply = await caller.ask("POST", UPLOAD, data=_form(wide))
    assert reply.status == 400
    assert "8000x8000 pixels" in reply.json["message"]


async def test_a_still_beyond_20_mb_is_a_400(caller: Any, still: bytes) -> None:
    reply = await caller.ask("POST", UPLOAD, data=_form(still + b"\0" * 20_000_000))
    assert reply.status == 400
    assert "20,000,000 bytes" in reply.json["message"]


async def test_an_upload_without_form_or_file_is_a_400(caller: Any, still: bytes) -> None:
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    for options in (
        {"data": still},
        {"json": {"file": "x"}},
        {"data": _form(still, name="image")},
        {"data": b"no boundary in here", "headers": boundary},
        {"data": b"--x\r\nbroken", "headers": boundary},
        {"data": b"", "headers": {"Content-Type": "multipart/form-data"}},
    ):
        assert (await caller.ask("POST", UPLOAD, **options)).status == 400, options


async def test_an_upload_needs_the_key(caller: Any, still: bytes) -> None:
    assert (await caller.ask("POST", UPLOAD, key=None, data=_form(still))).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/uploads/..%2fsandbox.lock",
        "/uploads/..%2faccepted.jsonl",
        "/uploads/%2e%2e/accepted.jsonl",
        "/uploads/" + "0" * 32 + ".png",
        "/outputs/..%2f..%2fx/1.mp4",
        "/outputs/" + "0" * 32 + "/1.mp4",
    ],
)
async def test_no_path_leads_out_of_the_folder(caller: Any, path: str) -> None:
    from yarl import URL  # noqa: PLC0415 - only here

    async with caller.session.get(URL(caller.sandbox.url + path, encoded=True)) as reply:
        assert reply.status == 404


async def test_a_missing_upload_fails_the_prediction(caller: Any, clock: Any) -> None:
    taken = await caller.submit_id(image=f"{caller.sandbox.url}/uploads/{'0' * 32}.png")
    clock.advance(10)
    data = (await caller.poll(taken)).data
    assert (data["status"], data["code"]) == ("failed", 1402)


async def test_without_rendering_clips_are_blank_and_each_is_another_file(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(clip_bytes=50_000)
    taken = [await caller.submit_id(aspect_ratio="9:16", duration="6s") for _ in range(2)]
    clock.advance(10)
    urls = [(await caller.poll(each)).data["outputs"][0] for each in taken]
    replies = [await caller.ask("GET", url, key=None) for url in urls]
    assert [(reply.status, len(reply.body)) for reply in replies] == [(200, 50_000)] * 2
    assert replies[0].body != replies[1].body
    info = probe_clip(replies[0].body)
    assert (info.codec, info.width, info.height, info.duration_s, info.frames) == ("h264", 720, 1280, 6.0, 6)


async def test_a_blank_clip_has_as_many_frames_as_it_is_given(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(clip_fps=24)
    taken = await caller.submit_id(duration="6s")
    clock.advance(10)
    reply = await caller.ask("GET", (await caller.poll(taken)).data["outputs"][0], key=None)
    info = probe_clip(reply.body)
    assert (info.duration_s, info.frames) == (6.0, 6 * 24)


async def test_a_clip_is_rendered_once_and_served_whole_or_in_ranges(
    open_sandbox: Any, clock: Any, still: bytes
) -> None:
    caller = await open_sandbox(renders=True)
    image = (await caller.ask("POST", UPLOAD, data=_form(still))).data["download_url"]
    taken = await caller.submit_id("slow push in", image=image)
    url = f"{caller.sandbox.url}/outputs/{taken}/1.mp4"
    early = await caller.ask("GET", url, key=None)
    clock.advance(10)
    whole = await caller.ask("GET", url, key=None)
    part = await caller.ask("GET", url, key=None, headers={"Range": "bytes=4-7"})
    beyond = await caller.ask("GET", url, key=None, headers={"Range": f"bytes={len(whole.body)}-"})
    assert early.status == 404
    assert (whole.status, whole.headers["Content-Type"], whole.body[4:8]) == (200, "video/mp4", b"ftyp")
    assert int(whole.headers["Content-Length"]) == len(whole.body) > 1_000
    assert (part.status, part.body, beyond.status) == (206, b"ftyp", 416)
    assert (await caller.ask("GET", url.replace("/1.mp4", "/2.mp4"), key=None)).status == 404
    assert (await caller.stats())["rendered"] == 1
    assert [each.name for each in (Path(caller.sandbox.folder) / "clips").iterdir()] == [f"{taken}-1.mp4"]


async def test_a_clip_that_is_rendered_late_is_there_once_it_is_fetched(
    open_sandbox: Any, clock: Any, still: bytes
) -> None:
    caller = await open_sandbox(renders=True, renders_ahead=False)
    image = (await caller.ask("POST", UPLOAD, data=_form(still))).data["download_url"]
    taken = await caller.submit_id("slow push in", image=image)
    clock.advance(10)
    (url,) = (await caller.poll(taken)).data["outputs"]
    assert not [*(Path(caller.sandbox.folder) / "clips").iterdir()]
    assert (await caller.ask("GET", url, key=None)).body[4:8] == b"ftyp"


async def test_a_still_that_cannot_be_rendered_is_a_500_in_words(open_sandbox: Any, clock: Any, still: bytes) -> None:
    caller = await open_sandbox(renders=True)
    image = (await caller.ask("POST", UPLOAD, data=_form(still))).data["download_url"]
    next((caller.sandbox.folder / "uploads").iterdir()).write_bytes(b"no image any more")
    taken = await caller.submit_id("push in", image=image)
    clock.advance(10)
    reply = await caller.ask("GET", f"/outputs/{taken}/1.mp4", key=None)
    assert (reply.status, reply.json["data"]) == (500, None)
    assert "could not be rendered" in reply.json["message"]
