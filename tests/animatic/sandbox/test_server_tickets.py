"""Stills that come in two steps, and stills inside a submission."""

import asyncio
import base64
import io
import json
from typing import Any

import aiohttp
import pytest
from PIL import Image

from animatic.sandbox.data_uris import MAX_IMAGE_BYTES
from animatic.sandbox.tickets import GOOD_FOR_S, MAX_OPEN
from animatic.sandbox.witness import read_witness

UPLOADS = "/api/v3/media/uploads"


async def _ticket(caller: Any, still: bytes, **change: Any) -> Any:
    body = {"filename": "fox.png", "size": len(still), "content_type": "image/png"} | change
    return (await caller.ask("POST", UPLOADS, json={k: v for k, v in body.items() if v is not None})).data


async def _put(caller: Any, ticket: Any, still: bytes, **headers: str) -> Any:
    return await caller.ask(
        "PUT", ticket["upload"]["url"], key=None, data=still, headers=ticket["upload"]["headers"] | headers
    )


async def test_a_ticket_takes_one_still_without_a_key(caller: Any, still: bytes) -> None:
    ticket = await _ticket(caller, still)
    assert ticket["upload"]["method"] == "PUT"
    assert ticket["upload"]["headers"] == {"Content-Type": "image/png"}
    assert ticket["upload"]["url"].startswith(caller.sandbox.url)
    early = await caller.ask("GET", ticket["download_url"], key=None)
    put = await _put(caller, ticket, still)
    got = await caller.ask("GET", ticket["download_url"], key=None)
    assert (early.status, put.status, put.body) == (404, 200, b"")
    assert (got.body, got.headers["Content-Type"]) == (still, "image/png")
    assert (await _put(caller, ticket, still)).status == 403, "good once"


async def test_the_still_of_a_ticket_is_the_still_of_a_prediction(caller: Any, still: bytes, clock: Any) -> None:
    ticket, unused = await _ticket(caller, still), await _ticket(caller, still)
    await _put(caller, ticket, still)
    fine, dead = [await caller.submit_id(image=each["download_url"]) for each in (ticket, unused)]
    clock.advance(10)
    assert await caller.status(fine) == "completed"
    assert (await caller.poll(dead)).data["code"] == 1402


async def test_the_type_comes_from_the_name_or_else_the_still(caller: Any, still: bytes) -> None:
    named = await _ticket(caller, still, content_type=None)
    nameless = await _ticket(caller, still, content_type=None, filename="upload")
    assert named["upload"]["headers"] == {"Content-Type": "image/png"}
    assert nameless["upload"]["headers"] == {"Content-Type": "application/octet-stream"}
    await _put(caller, nameless, still)
    got = await caller.ask("GET", nameless["download_url"], key=None)
    assert (got.body, got.headers["Content-Type"]) == (still, "image/png")


async def test_a_ticket_expires(caller: Any, still: bytes, clock: Any) -> None:
    ticket = await _ticket(caller, still)
    clock.advance(GOOD_FOR_S)
    assert (await _put(caller, ticket, still)).status == 403


async def test_a_still_must_fit_its_ticket_which_survives_a_refusal(caller: Any, still: bytes) -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG")
    ticket = await _ticket(caller, still)
    assert (await _put(caller, ticket, still + b"x")).status == 400
    assert (await _put(caller, ticket, still[:-1])).status == 400
    assert (await _put(caller, ticket, still, **{"Content-Type": "image/jpeg"})).status == 400
    assert (await _put(caller, ticket, b"x" * len(still))).status == 400
    wrong = await _ticket(caller, jpeg.getvalue())
    assert "ticket is for .png" in (await _put(caller, wrong, jpeg.getvalue())).json["message"]
    assert list((caller.sandbox.folder / "uploads").iterdir()) == []
    assert (await _put(caller, ticket, still)).status == 200


async def test_a_body_without_a_length_is_held_to_the_size_too(caller: Any, still: bytes) -> None:
    ticket = await _ticket(caller, still)

    async def endless() -> Any:
        for _ in range(100):
            yield b"x" * 100_000
            await asyncio.sleep(0)

    assert (await _put(caller, ticket, endless())).status == 413  # type: ignore[arg-type] - a stream will do


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"filename": ""}, "filename"),
        ({"filename": 5}, "filename"),
        ({"filename": "x" * 2_000}, "filename"),
        ({"size": 0}, "size"),
        ({"size": 20_000_001}, "size"),
        ({"size": "5"}, "size"),
        ({"content_type": "text/html"}, "content_type"),
        ({"content_type": 5}, "content_type"),
    ],
)
async def test_a_wrong_ticket_is_a_400_that_names_the_field(caller: Any, change: dict[str, Any], named: str) -> None:
    body = {"filename": "fox.png", "size": 9} | change
    reply = await caller.ask("POST", UPLOADS, json=body)
    assert reply.status == 400
    assert named in reply.json["message"]


async def test_so_many_tickets_are_open_and_no_more(caller: Any, still: bytes, clock: Any) -> None:
    for _ in range(MAX_OPEN):
        await _ticket(caller, still)
    body = {"filename": "fox.png", "size": 9}
    refused = await caller.ask("POST", UPLOADS, json=body)
    clock.advance(GOOD_FOR_S)
    assert (refused.status, (await caller.ask("POST", UPLOADS, json=body)).status) == (429, 200)


async def test_a_ticket_needs_the_key_and_its_url_cannot_be_guessed(caller: Any, still: bytes) -> None:
    assert (await caller.ask("POST", UPLOADS, key=None, json={"filename": "a.png", "size": 9})).status == 401
    urls = {(await _ticket(caller, still))["upload"]["url"] for _ in range(20)}
    assert len(urls) == 20
    assert {len(url.rpartition("/")[2]) for url in urls} == {32}
    assert (await caller.ask("PUT", "/sandbox/put/" + "0" * 32, key=None, data=still)).status == 403


async def test_the_one_step_upload_says_the_name_that_was_sent(caller: Any, still: bytes) -> None:
    import aiohttp  # noqa: PLC0415 - only here

    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(still), filename="fox.png")
    data = (await caller.ask("POST", "/api/v3/media/upload/binary", data=form)).data
    assert (data["type"], data["filename"], data["size"]) == ("image", "fox.png", len(still))


# -- stills inside a submission ------------------------------------------------------------------------------------


def _uri(still: bytes, media_type: str = "image/jpeg") -> str:
    return f"data:{media_type};base64,{base64.b64encode(still).decode()}"


async def _submit_large(caller: Any, image: str) -> Any:
    body = io.BytesIO(json.dumps({"prompt": "push in", "image": image}).encode())
    return await caller.ask("POST", "/api/v3/wavespeed-ai/veo2-i2v", data=body)


async def test_a_still_in_a_data_uri_is_kept_like_an_upload(caller: Any, still: bytes, clock: Any) -> None:
    taken = await caller.submit_id(image=_uri(still))
    clock.advance(10)
    assert await caller.status(taken) == "completed"
    [accepted] = read_witness(caller.sandbox.folder)
    got = await caller.ask("GET", accepted.inputs["image"], key=None)
    assert (got.status, got.body) == (200, still)
    [item] = (await caller.list_page(include_inputs=True)).data["items"]
    assert item["inputs"]["image"] == accepted.inputs["image"], "the echo is a URL, however large the still was"


async def test_a_still_of_megabytes_may_come_in_a_data_uri(caller: Any) -> None:
    import numpy as np  # noqa: PLC0415 - only here

    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (900, 900, 3), np.uint8)).save(noise, "PNG")
    assert len(noise.getvalue()) > 2_000_000
    assert (await _submit_large(caller, _uri(noise.getvalue(), "image/png"))).status == 200


@pytest.mark.parametrize(
    "image",
    [
        "data:,",
        "data:image/png,abc",
        "data:image/png;base64,",
        "data:image/png;base64,###",
        "data:image/png;base64,é",
        "data:image/png;base64,PHN2Zy8+",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "DATA:text/plain;base64,aGk=",
    ],
)
async def test_a_data_uri_without_a_good_still_is_a_400(caller: Any, image: str) -> None:
    assert (await caller.submit(image=image)).status == 400
    assert read_witness(caller.sandbox.folder) == []


async def test_a_data_uri_beyond_its_bound_is_refused(caller: Any) -> None:
    large = await _submit_large(caller, _uri(b"\0" * (MAX_IMAGE_BYTES + 1_000)))
    larger = await _submit_large(caller, _uri(b"\0" * 14_000_000))
    assert (large.status, larger.status) == (400, 413)
    assert "10,000,000 bytes" in large.json["message"]


async def test_a_picture_as_phones_write_it_is_kept_as_a_jpeg(caller: Any) -> None:
    picture, file = Image.new("RGB", (64, 64), "teal"), io.BytesIO()
    picture.save(file, "MPO", save_all=True, append_images=[picture])
    form = aiohttp.FormData()
    form.add_field("file", file.getvalue(), filename="phone.jpg", content_type="image/jpeg")
    reply = await caller.ask("POST", "/api/v3/media/upload/binary", data=form)
    assert reply.status == 200
    assert json.loads(reply.body)["data"]["download_url"].endswith(".jpg")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_in_another_encoding_than_it_says_is_refused(caller: Any, encoding: str) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    reply = await caller.ask("POST", "/api/v3/predictions", data=b"{not compressed}", headers=headers)
    assert reply.status == 400
