"""A transport that changes what the sandbox says on its way to us: for lies that the sandbox has no scenario for."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx

from animatic.takes.models import DEFAULT_MODEL
from animatic.wavespeed.transport import AiohttpTransport

SUBMIT, RESULT, LIST, BILL, PRICE, MODELS, OTHER = "submit", "result", "list", "bill", "price", "models", "other"


def call_of(request: httpx.Request) -> str:
    """Return the name of the API's call that a request makes."""
    path = request.url.path
    if path == f"/api/v3/{DEFAULT_MODEL}":
        return SUBMIT
    if path.endswith("/result"):
        return RESULT
    names = {
        "/api/v3/predictions": LIST,
        "/api/v3/billings/search": BILL,
        "/api/v3/model/price": PRICE,
        "/api/v3/model/pricing": PRICE,
        "/api/v3/models": MODELS,
    }
    return names.get(path, OTHER)


def prediction_of(request: httpx.Request) -> str:
    """The id whose result is asked for."""
    return request.url.path.split("/")[-2]


def reply(status: int, body: bytes | str | dict[str, Any] | list[Any] | None) -> httpx.Response:
    """An answer that the API never gave."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return httpx.Response(status, stream=httpx.ByteStream(data))


Before = Callable[[httpx.Request], httpx.Response | None]
After = Callable[[httpx.Request, dict[str, Any]], dict[str, Any] | httpx.Response | None]


class Liar(httpx.AsyncBaseTransport):
    """The real transport, with a lie before or after it.

    Args:
        before: what is answered instead of asking, by call; None asks.
        after: given the JSON that came back, what is told instead, by call; None tells the truth.
        is_dated_by_us: whether the `Date` of every answer is this machine's time, whatever the sandbox's is.

    Attributes:
        asked: how often each call was made.
        lied: how often each call was lied to.
    """

    def __init__(
        self,
        before: dict[str, Before] | None = None,
        after: dict[str, After] | None = None,
        *,
        is_dated_by_us: bool = False,
    ) -> None:
        self._inner = _honest()
        self.before, self.after, self._is_dated_by_us = before or {}, after or {}, is_dated_by_us
        self.asked: Counter[str] = Counter()
        self.lied: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = call_of(request)
        self.asked[call] += 1
        made_up = self.before[call](request) if call in self.before else None
        if made_up is not None:
            self.lied[call] += 1
            return made_up
        response = await self._inner.handle_async_request(request)
        if call in self.after:
            response = await self._changed(call, request, response)
        if self._is_dated_by_us:
            now = format_datetime(datetime.now(UTC), usegmt=True)
            response = httpx.Response(response.status_code, stream=response.stream, headers={"Date": now})
            self.lied["date"] += 1
        return response

    async def _changed(self, call: str, request: httpx.Request, response: httpx.Response) -> httpx.Response:
        stream: Any = response.stream
        body = b"".join([chunk async for chunk in stream])
        await stream.aclose()
        reported = self.after[call](request, json.loads(body))
        self.lied[call] += reported is not None
        if isinstance(reported, httpx.Response):
            return reported
        body = body if reported is None else json.dumps(reported).encode()
        return httpx.Response(response.status_code, stream=httpx.ByteStream(body), extensions=dict(response.extensions))

    async def aclose(self) -> None:
        """Close every connection; it may be used again by another client."""
        await self._inner.aclose()
        self._inner = _honest()


def _honest() -> AiohttpTransport:
    return AiohttpTransport(fresh_connections=True, most_connections=20)
