"""Recordings of replies: they can be handed on, since they say nothing of who pays or how to pay with it."""

import functools
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from animatic.wavespeed.client import WaveSpeedClient, without_key
from animatic.wavespeed.recordings import (
    MASKED,
    MOST_RECORDINGS,
    Recorder,
    call_of,
    headers_without_secrets,
    without_secrets,
)

KEY = "canary-key-0f1e2d3c"
OURS, THEIRS = "a" * 32, "b" * 32


def envelope(data: Any) -> dict[str, Any]:
    return {"code": 200, "message": "success", "data": data}


async def recorded(handler: Any, *asked: Any) -> tuple[Recorder, list[Any]]:
    """A recorder after these questions to a server that answers with the handler, and what it has seen."""
    seen: list[Any] = []
    recorder = Recorder(functools.partial(without_key, key=KEY), lambda *each: seen.append(each))
    transport = httpx.MockTransport(handler)
    async with WaveSpeedClient("https://api.example", KEY, transport=transport, wrap=recorder.wrap) as client:
        for ask in asked:
            await ask(client)
    return recorder, seen


async def test_a_recording_has_request_and_reply_without_the_key() -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        body = {"id": OURS, "status": "created", "note": f"your key is {request.headers['authorization']}"}
        return httpx.Response(200, json=envelope(body), headers={"Set-Cookie": "session=secret"})

    recorder, seen = await recorded(echo, lambda client: client.submit("a/model", {"prompt": f"pan {KEY}"}))
    (found,) = recorder.about(OURS)
    text = found.as_json()
    assert KEY not in text
    assert "secret" not in text
    assert json.loads(text)["request"] == {"method": "POST", "path": "/api/v3/a/model", "body": {"prompt": "pan ***"}}
    assert found.reply["body"]["data"]["status"] == "created"
    assert [(call, status) for call, status, _ in seen] == [("submit", 200)]


async def test_polls_that_say_the_same_are_recorded_once() -> None:
    answers = iter(["created", "processing", "processing", "completed"])

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=envelope({"id": OURS, "status": next(answers), "outputs": ["https://x/y.mp4"]}))

    recorder, seen = await recorded(answer, *[lambda client: client.result(OURS)] * 4)
    assert [each.reply["body"]["data"]["status"] for each in recorder.about(OURS)] == [
        "created", "processing", "completed",
    ]  # fmt: skip
    assert len(seen) == 4


async def test_lists_hold_nothing_of_other_predictions() -> None:
    def listed(_: httpx.Request) -> httpx.Response:
        items = [{"id": OURS, "inputs": {"prompt": "ours"}}, {"id": THEIRS, "inputs": {"prompt": "a secret film"}}]
        return httpx.Response(200, json=envelope({"items": items}))

    now = datetime.now(UTC)
    recorder, _ = await recorded(
        listed, lambda client: client.list_predictions(page=1, model="m", created_after=now, created_before=now)
    )
    (found,) = recorder.about(OURS)
    assert "secret film" not in found.as_json()
    assert found.reply["items_left_out"] == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"balance": 12.5, "currency": "USD"}, {"balance": 0, "currency": "USD"}),
        ({"access_key": "abc", "email": "a@b"}, {"access_key": MASKED, "email": MASKED}),
        ({"user": {"name": "x"}}, {"user": {"name": MASKED}}),
        ({"urls": ["https://u:p@x.example/a.mp4?X-Amz-Signature=1#f"]}, {"urls": ["https://x.example/a.mp4?***"]}),
        ({"status": "completed", "has_nsfw_contents": [False]}, {"status": "completed", "has_nsfw_contents": [False]}),
        ({"token": None, "key": True}, {"token": None, "key": True}),
    ],
)  # fmt: skip
def test_fields_that_say_who_pays_are_masked(value: Any, expected: Any) -> None:
    assert without_secrets(value) == expected


def test_headers_keep_the_values_that_are_known_to_be_harmless() -> None:
    headers = [(b"Date", b"now"), (b"X-RateLimit-Remaining", b"3"), (b"X-Request-Id", b"trace-me"), (b"Server", b"s")]
    assert headers_without_secrets(headers) == {
        "date": "now", "x-ratelimit-remaining": "3", "x-request-id": MASKED, "server": "s",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("POST", "/api/v3/wavespeed-ai/veo2-i2v", "submit"),
        ("GET", "/api/v3/predictions/abc/result", "result"),
        ("POST", "/api/v3/predictions", "list"),
        ("POST", "/api/v3/billings/search", "bill"),
        ("GET", "/api/v3/balance", "balance"),
        ("GET", "/elsewhere", "other"),
    ],
)
def test_calls_have_the_names_of_files(method: str, path: str, call: str) -> None:
    assert call_of(method, path) == call


async def test_what_is_recorded_has_a_bound() -> None:
    number = iter(range(10_000))

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=envelope({"id": OURS, "status": f"status-{next(number)}"}))

    recorder, _ = await recorded(answer, *[lambda client: client.result(OURS)] * (MOST_RECORDINGS + 5))
    assert len(recorder.about(OURS)) == MOST_RECORDINGS
