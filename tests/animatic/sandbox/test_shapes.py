"""The forms of replies: the card's, that of recorded exchanges, and the odd ones that are asked for."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from animatic.errors import SettingsError
from animatic.sandbox.config import SandboxConfig

NINE_DECIMALS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


@pytest.mark.parametrize("by_token", [False, True])
async def test_the_recorded_form_is_that_of_published_exchanges(open_sandbox: Any, clock: Any, by_token: bool) -> None:
    caller = await open_sandbox(**({} if by_token else {"shape": "recorded"}))
    prompt = "push in [sandbox:recorded]" if by_token else "push in"
    submitted = (await caller.submit(prompt)).data
    clock.advance(10)
    done = (await caller.poll(submitted["id"])).data
    inputs = {"prompt": prompt, "image": "https://stills.example/a.png", "aspect_ratio": "16:9", "duration": "5s"}
    assert "has_nsfw_contents" not in submitted
    assert "code" not in submitted
    assert (submitted["executionTime"], submitted["input"]) == (0, inputs)
    assert (done["has_nsfw_contents"], done["code"], done["status"]) == (None, 0, "completed")
    assert (done["executionTime"], done["timings"], done["input"]) == (10_000, {"inference": 10_000}, inputs)
    assert NINE_DECIMALS.fullmatch(done["created_at"])
    assert done["created_at"].startswith(submitted["created_at"][:-1])
    [item] = (await caller.list_page(created_after=done["created_at"])).data["items"]
    assert item["created_at"] == done["created_at"], "a window that begins with it holds it"


async def test_a_failure_keeps_its_code_in_the_recorded_form(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(shape="recorded")
    taken = await caller.submit_id("[sandbox:unreachable]")
    clock.advance(10)
    data = (await caller.poll(taken)).data
    assert (data["status"], data["code"], data["has_nsfw_contents"]) == ("failed", 1402, None)


async def test_a_flagged_clip_stays_flagged_in_the_recorded_form(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(shape="recorded")
    taken = await caller.submit_id("[sandbox:nsfw]")
    clock.advance(10)
    assert (await caller.poll(taken)).data["has_nsfw_contents"] == [True]


def test_another_form_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="allowed: card, recorded"):
        SandboxConfig(folder=tmp_path, shape="round")


async def test_items_of_the_list_have_the_documented_fields(caller: Any, clock: Any) -> None:
    await caller.submit()
    clock.advance(10)
    [item] = (await caller.list_page()).data["items"]
    assert set(item) == {
        *("id", "model", "outputs", "urls", "status", "created_at", "error", "executionTime", "timings"),
    }
    assert item["executionTime"] == 10_000


async def test_past_the_end_items_are_null_by_a_setting(open_sandbox: Any, tmp_path: Path) -> None:
    usual, null = await open_sandbox(), await open_sandbox(folder=tmp_path / "null", list_null_items=True)
    await null.submit()
    assert (await usual.list_page()).data["items"] == []
    assert (await null.list_page(page=2)).data["items"] is None
    assert len((await null.list_page()).data["items"]) == 1


async def test_null_is_the_default_of_the_list_s_filters(caller: Any) -> None:
    taken = await caller.submit_id()
    nothing = dict.fromkeys(("model", "status", "created_after", "created_before", "include_inputs"))
    assert await caller.listed_ids(**nothing) == [taken]


@pytest.mark.parametrize(
    ("token", "http", "found"),
    [
        ("error-only", 400, {"error"}),
        ("error-only=403", 403, {"error"}),
        ("message-only", 400, {"message"}),
        ("detail", 422, {"detail"}),
        ("code-as-text", 400, {"code", "message", "data"}),
    ],
)
async def test_a_refusal_in_another_body_buys_nothing(caller: Any, token: str, http: int, found: set[str]) -> None:
    reply = await caller.submit(f"[sandbox:{token}]")
    assert (reply.status, set(reply.json)) == (http, found)
    assert (await caller.stats())["accepted"] == 0
    if token == "code-as-text":
        assert reply.json["code"] == "400"


@pytest.mark.parametrize(
    ("token", "http", "text"),
    [("text-refusal", 401, b"401 unauthorized\n"), ("text-refusal=404", 404, b"404 not found\n")],
)
async def test_a_refusal_in_plain_text_is_no_json(caller: Any, token: str, http: int, text: bytes) -> None:
    reply = await caller.submit(f"[sandbox:{token}]")
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (http, text, "text/plain; charset=utf-8")


async def test_odd_fields_come_with_completion(caller: Any, clock: Any) -> None:
    tokens = ("float-timings", "null-flags", "null-fields", "object-outputs", "text-output")
    taken = {token: await caller.submit_id(f"[sandbox:{token}]") for token in tokens}
    early = (await caller.poll(taken["null-fields"])).data
    clock.advance(10)
    done = {token: (await caller.poll(each)).data for token, each in taken.items()}
    url = {token: f"{caller.sandbox.url}/outputs/{each}/1.mp4" for token, each in taken.items()}
    assert early["model"] == "wavespeed-ai/veo2-i2v"
    assert done["float-timings"]["timings"]["inference"] == 10_000.5
    assert done["null-flags"]["has_nsfw_contents"] == [None]
    nothing = ("model", "urls", "has_nsfw_contents", "error", "timings")
    assert [done["null-fields"][name] for name in nothing] == [None] * 5
    assert done["null-fields"]["created_at"] == ""
    assert done["object-outputs"]["outputs"] == [{"url": url["object-outputs"]}]
    assert done["text-output"]["outputs"] == url["text-output"]


def test_strictness_and_shape_are_options_of_the_process(tmp_path: Path, start_process: Any) -> None:
    import urllib.error  # noqa: PLC0415 - only here
    import urllib.request  # noqa: PLC0415 - only here

    server = start_process("--folder", str(tmp_path), "--no-render", "--strict", "--shape", "recorded")

    def post(**more: Any) -> Any:
        body = json.dumps({"prompt": "a", "image": "https://stills.example/a.png"} | more).encode()
        headers = {"Authorization": "Bearer sandbox-key"}
        request = urllib.request.Request(f"{server.url}/api/v3/wavespeed-ai/veo2-i2v", body, headers)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)["data"]

    assert "has_nsfw_contents" not in post()
    with pytest.raises(urllib.error.HTTPError, match="400"):
        post(seed=1)
