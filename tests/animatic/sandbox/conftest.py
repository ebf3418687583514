"""A sandbox on a real socket with a clock of its own, and a plain HTTP client that knows nothing of ours."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.server import Sandbox, serve

MODEL = "wavespeed-ai/veo2-i2v"


class SteppedClock:
    """Time that passes only by `advance`; `reads` counts how often it was asked for."""

    def __init__(self) -> None:
        self.now, self.reads = 1_800_000_000.0, 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    async def read_again(self, times: int) -> None:
        """Wait until those who wait by this clock have read it so often again."""
        read = self.reads + times
        async with asyncio.timeout(20):
            while self.reads < read:
                await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        assert self.status == 200, self.body
        return self.json["data"]


@dataclass(frozen=True)
class Caller:
    """A sandbox and a client of it."""

    sandbox: Sandbox
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, key: str | None = "sandbox-key", **options: Any) -> Reply:
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        url = path if path.startswith("http") else self.sandbox.url + path
        headers |= options.pop("headers", {})
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **options) as reply:
            return Reply(reply.status, reply.headers, await reply.read())

    async def submit(self, prompt: str = "push in", **fields: Any) -> Reply:
        body = {"prompt": prompt, "image": "https://stills.example/a.png"} | fields
        return await self.ask("POST", f"/api/v3/{MODEL}", json=body)

    async def submit_id(self, prompt: str = "push in", **fields: Any) -> str:
        return (await self.submit(prompt, **fields)).data["id"]

    async def poll(self, prediction_id: str, **options: Any) -> Reply:
        return await self.ask("GET", f"/api/v3/predictions/{prediction_id}/result", **options)

    async def status(self, prediction_id: str) -> str:
        return (await self.poll(prediction_id)).data["status"]

    async def list_page(self, **body: Any) -> Reply:
        return await self.ask("POST", "/api/v3/predictions", json={"page": 1, "page_size": 100} | body)

    async def listed_ids(self, **body: Any) -> list[str]:
        return [item["id"] for item in (await self.list_page(**body)).data["items"]]

    async def stats(self) -> Any:
        return (await self.ask("GET", "/sandbox/stats", key=None)).json


OpenSandbox = Callable[..., Awaitable[Caller]]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def open_sandbox(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[OpenSandbox]:
    """Opens sandboxes: exact latency of 10 s of stepped time, no clips, no fsync by default."""
    async with AsyncExitStack() as stack:

        async def open_one(clock: Callable[[], float] = clock, **settings: Any) -> Caller:
            usual = {"folder": tmp_path / "state", "inference_s": 10.0, "spread": 0.0, "renders": False, "syncs": False}
            sandbox = await stack.enter_async_context(serve(SandboxConfig(**(usual | settings)), clock))
            return Caller(sandbox, await stack.enter_async_context(aiohttp.ClientSession()))

        yield open_one


@pytest.fixture
async def caller(open_sandbox: OpenSandbox) -> Caller:
    return await open_sandbox()


@dataclass
class ServerProcess:
    process: subprocess.Popen[bytes]
    ready: Any

    @property
    def url(self) -> str:
        return self.ready["url"]


@pytest.fixture
def start_process() -> Iterator[Callable[..., ServerProcess]]:
    """Starts `python -m animatic.sandbox`, returns when it says that it is ready."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> ServerProcess:
        command = [sys.executable, "-m", "animatic.sandbox", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        return ServerProcess(process, json.loads(process.stdout.readline()))

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="session")
def still() -> bytes:
    """A real PNG, 64x36."""
    import io  # noqa: PLC0415 - only here

    from PIL import Image  # noqa: PLC0415 - only here

    drawn = io.BytesIO()
    Image.new("RGB", (64, 36), (200, 120, 40)).save(drawn, "PNG")
    return drawn.getvalue()
