"""Servers that misbehave on real sockets, and a client with a key that must show nowhere."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.outcomes import Outcome, classify

CANARY = "ws-canary-7f3a91"
MODEL = "wavespeed-ai/veo2-i2v"
INPUTS = {"prompt": "push in", "image": "https://stills.example/a.png", "aspect_ratio": "16:9", "duration": "5s"}
Play = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Listener:
    """Bytes received at one port."""

    url: str
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)


class Wire:
    """Makes listeners, replies and clients."""

    canary, model, inputs = CANARY, MODEL, INPUTS

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def listen(self, play: Play, *, reads: bool = True) -> Listener:
        """Start a server that reads each request, if it `reads`, and lets `play` answer it on the bare socket."""
        listener = Listener("")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            listener.connections += 1
            try:
                while request := await _request(reader) if reads else b"unread":
                    listener.requests.append(request)
                    await play(request, writer)
                    if writer.is_closing() or not reads:
                        break
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._stack.push_async_callback(_stop, server)
        listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return listener

    async def listen_and_answer(self, data: Any, status: int = 200, **headers: str) -> Listener:
        """A server that gives every request the same answer and keeps connections open."""
        reply = self.reply(self.envelope(data), status, headers)

        async def play(_: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(reply)
            await writer.drain()

        return await self.listen(play)

    async def client(self, url: str, **options: Any) -> WaveSpeedClient:
        return await self._stack.enter_async_context(WaveSpeedClient(url, CANARY, **options))

    async def answering(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> WaveSpeedClient:
        """A client whose every request gets this answer; no socket."""
        return await self.handled_by(lambda _: self.respond(body, status, headers))

    async def handled_by(self, handler: Callable[[httpx.Request], httpx.Response]) -> WaveSpeedClient:
        return await self.client("https://api.example", transport=httpx.MockTransport(handler))

    async def submit(self, client: WaveSpeedClient) -> Outcome:
        """The outcome of one submission."""
        return classify(await client.submit(self.model, self.inputs))

    def respond(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """A response that is still to be streamed, as one from a socket is."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.Response(status, stream=httpx.ByteStream(content), headers=headers)

    def envelope(self, data: Any, code: Any = 200, message: Any = "success") -> bytes:
        return json.dumps({"code": code, "message": message, "data": data}).encode()

    def reply(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in (headers or {}).items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def prediction(self, **fields: Any) -> dict[str, Any]:
        return {
            "id": "p1",
            "model": MODEL,
            "outputs": [],
            "urls": {"get": "https://api.example/api/v3/predictions/p1/result"},
            "has_nsfw_contents": [],
            "status": "created",
            "created_at": "2026-03-01T12:00:00.000Z",
            "error": "",
            "timings": {"inference": 0},
        } | fields


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)


async def _stop(server: asyncio.Server) -> None:
    server.close()
    await asyncio.sleep(0)
