"""Sync mode, base64 output and webhooks, on real sockets."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

SUBMIT = "/api/v3/wavespeed-ai/veo2-i2v"
GOOD = {"prompt": "push in", "image": "https://stills.example/a.png"}


async def until(caller: Any, counted: str, count: int = 1) -> None:
    """Wait until the sandbox has counted so many of these."""
    async with asyncio.timeout(30):
        while (await caller.stats()).get(counted, 0) < count:
            await asyncio.sleep(0.01)


async def test_in_sync_mode_the_reply_is_the_result(caller: Any, clock: Any) -> None:
    waiting = asyncio.create_task(caller.submit(enable_sync_mode=True))
    await until(caller, "accepted")
    early = waiting.done()
    clock.advance(10)
    data = (await waiting).data
    assert early is False
    assert (data["status"], len(data["outputs"])) == ("completed", 1)


async def test_a_sync_reply_gives_up_and_says_so(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(sync_timeout_s=5.0)
    waiting = asyncio.create_task(caller.submit(enable_sync_mode=True))
    await until(caller, "accepted")
    clock.advance(5)
    data = (await waiting).data
    assert (data["status"], data["code"], data["error"]) == ("processing", 5004, "Sync mode timed out")
    assert data["outputs"] == []
    clock.advance(10)
    assert await caller.status(data["id"]) == "completed"


async def test_a_sync_reply_can_be_made_to_give_up_at_once(caller: Any) -> None:
    data = (await caller.submit("[sandbox:sync-timeout]", enable_sync_mode=True)).data
    assert (data["status"], data["code"]) == ("processing", 5004)


async def test_a_failed_prediction_fails_in_sync_mode_too(open_sandbox: Any) -> None:
    caller = await open_sandbox(inference_s=0.0)
    data = (await caller.submit("[sandbox:fails]", enable_sync_mode=True)).data
    assert (data["status"], data["code"]) == ("failed", 5000)


async def test_base64_output_is_the_clip_itself(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(renders=True, inference_s=0.5)
    taken = await caller.submit_id(enable_base64_output=True)
    assert (await caller.poll(taken)).data["outputs"] == []
    clock.advance(1)
    [text] = (await caller.poll(taken)).data["outputs"]
    clip = await caller.ask("GET", f"/outputs/{taken}/1.mp4", key=None)
    assert base64.b64decode(text, validate=True) == clip.body
    assert clip.body[4:8] == b"ftyp"
    [item] = (await caller.list_page()).data["items"]
    assert item["outputs"][0].startswith("http"), "a list stays small"


async def test_base64_in_sync_mode_is_one_request(open_sandbox: Any) -> None:
    caller = await open_sandbox(renders=True, inference_s=0.0)
    data = (await caller.submit(enable_base64_output=True, enable_sync_mode=True)).data
    assert base64.b64decode(data["outputs"][0], validate=True)[4:8] == b"ftyp"


async def test_base64_output_needs_a_sandbox_that_renders(caller: Any) -> None:
    reply = await caller.submit(enable_base64_output=True)
    assert reply.status == 400
    assert "enable_base64_output" in reply.json["message"]


async def test_base64_output_with_a_webhook_is_refused(open_sandbox: Any) -> None:
    caller = await open_sandbox(renders=True)
    reply = await caller.ask(
        "POST", SUBMIT + "?webhook=http://127.0.0.1:9/x", json=GOOD | {"enable_base64_output": True}
    )
    assert (reply.status, set(reply.json)) == (400, {"error"})


async def test_a_picture_is_given_by_a_model_that_makes_pictures(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(renders=True)
    taken = (await caller.ask("POST", "/api/v3/wavespeed-ai/z-image/turbo", json={"prompt": "Cat"})).data["id"]
    clock.advance(10)
    [url] = (await caller.poll(taken)).data["outputs"]
    picture = await caller.ask("GET", url, key=None)
    assert (picture.status, picture.headers["Content-Type"], picture.body[:4]) == (200, "image/png", b"\x89PNG")
    assert (await caller.ask("GET", url.replace(".png", ".mp4"), key=None)).status == 404


# -- webhooks ------------------------------------------------------------------------------------------------------


@dataclass
class Receiver:
    url: str = ""
    statuses: list[int] = field(default_factory=list[int])
    got: list[tuple[Any, bytes]] = field(default_factory=list[Any])
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((request.headers, await request.read()))
        self.came.set()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def wait(self, count: int = 1) -> None:
        async with asyncio.timeout(20):
            while len(self.got) < count:
                self.came.clear()
                await self.came.wait()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


def _is_signed(headers: Any, body: bytes, secret: str) -> bool:
    """As WaveSpeed's page on verification says, in words of our own."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = secret.removeprefix("whsec_").encode()
    return headers["webhook-signature"] == "v3," + hmac.new(key, signed, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("in_body", [False, True])
async def test_a_webhook_comes_signed_when_the_prediction_is_final(
    caller: Any, clock: Any, receiver: Receiver, in_body: bool
) -> None:
    secret = (await caller.ask("GET", "/api/v3/webhook/secret")).data["secret"]
    options = {"json": GOOD | {"webhook_url": receiver.url}} if in_body else {"json": GOOD}
    path = SUBMIT if in_body else f"{SUBMIT}?webhook={receiver.url}"
    taken = (await caller.ask("POST", path, **options)).data["id"]
    await clock.read_again(2)
    early = (await caller.stats()).get("webhook_attempts", 0)
    clock.advance(10)
    await receiver.wait()
    headers, body = receiver.got[0]
    data = json.loads(body)
    assert early == 0
    assert secret.startswith("whsec_")
    assert _is_signed(headers, body, secret)
    assert not _is_signed(headers, body + b" ", secret)
    assert headers["webhook-timestamp"] == str(int(clock.now))
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    assert (data["id"], data["status"], len(data["outputs"])) == (taken, "completed", 1)
    assert data["input"] == GOOD | {"aspect_ratio": "16:9", "duration": "5s"}
    assert set(data) & {"message", "data"} == set(), "no envelope"


async def test_a_webhook_that_is_not_taken_comes_again_under_the_same_id(
    caller: Any, clock: Any, receiver: Receiver
) -> None:
    receiver.statuses = [500, 302]
    await caller.ask("POST", f"{SUBMIT}?webhook={receiver.url}", json=GOOD)
    clock.advance(10)
    await receiver.wait(3)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1
    await until(caller, "webhooks_delivered")
    assert (await caller.stats())["webhook_attempts"] == 3


async def test_a_failed_prediction_calls_its_webhook_and_a_deleted_one_does_not(
    caller: Any, clock: Any, receiver: Receiver
) -> None:
    gone = (await caller.ask("POST", f"{SUBMIT}?webhook={receiver.url}", json=GOOD)).data["id"]
    failing = GOOD | {"prompt": "[sandbox:fails]"}
    failed = (await caller.ask("POST", f"{SUBMIT}?webhook={receiver.url}", json=failing)).data["id"]
    await caller.ask("POST", "/api/v3/predictions/delete", json={"ids": [gone]})
    clock.advance(10)
    await receiver.wait()
    later = (await caller.ask("POST", f"{SUBMIT}?webhook={receiver.url}", json=GOOD)).data["id"]
    clock.advance(10)
    await receiver.wait(2)
    sent = [json.loads(body) for _, body in receiver.got]
    assert [(each["id"], each["status"]) for each in sent] == [(failed, "failed"), (later, "completed")]
    assert (await caller.stats())["webhook_attempts"] == 2, "of all that were due by then"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook",
        "http://169.254.169.254/",
        "http://10.0.0.1/",
        "http://127.0.0.1.example.org/",
        "http://user@127.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://0.0.0.0/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "127.0.0.1",
        "x" * 3_000,
    ],
)
async def test_no_webhook_leaves_the_machine(caller: Any, url: str) -> None:
    in_query = await caller.ask("POST", SUBMIT, params={"webhook": url}, json=GOOD)
    in_body = await caller.ask("POST", SUBMIT, json=GOOD | {"webhook_url": url})
    assert (in_query.status, in_body.status) == (400, 400)
    assert "loopback" in in_query.json["message"]
    assert (await caller.stats())["accepted"] == 0


async def test_the_secret_is_kept_in_the_folder_for_its_owner_alone(open_sandbox: Any, tmp_path: Path) -> None:
    caller = await open_sandbox()
    secrets = {(await caller.ask("GET", "/api/v3/webhook/secret")).data["secret"] for _ in range(3)}
    kept = tmp_path / "state" / "webhook.secret"
    assert secrets == {kept.read_text()}
    assert kept.stat().st_mode & 0o077 == 0


async def test_a_webhook_of_an_unfinished_prediction_survives_a_restart(
    tmp_path: Path, clock: Any, receiver: Receiver
) -> None:
    import aiohttp  # noqa: PLC0415 - only here

    from animatic.sandbox.config import SandboxConfig  # noqa: PLC0415 - only here
    from animatic.sandbox.server import serve  # noqa: PLC0415 - only here

    config = SandboxConfig(folder=tmp_path, inference_s=10, spread=0, renders=False)
    async with serve(config, clock) as first, aiohttp.ClientSession() as session:
        headers = {"Authorization": "Bearer sandbox-key"}
        async with session.post(
            f"{first.url}{SUBMIT}", params={"webhook": receiver.url}, json=GOOD, headers=headers
        ) as reply:
            assert reply.status == 200
    async with serve(config, clock) as second:
        clock.advance(10)
        await receiver.wait()
        assert json.loads(receiver.got[0][1])["outputs"][0].startswith(second.url)
