"""Replies over HTTP, the honest ones and those that are not answers. What the client under test must survive."""

import asyncio
import json
from http import HTTPStatus

from aiohttp import web

from animatic.sandbox.scenarios import Data, Refusal, Reply, Trick
from animatic.sandbox.wire import envelope

RETRY_AFTER_S = 1
_HUGE_BYTES = 10_000_000
_DRIP_EVERY_S = 0.2
_DRIPS_FOR_S = 3_600


def answer(data: object) -> web.Response:
    """HTTP 200 with its envelope."""
    return web.Response(body=envelope(data), content_type="application/json")


def refuse(http: int, message: str, retry_after_s: int | None = None) -> web.Response:
    """Return an error in the API's own envelope, `data` null."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return web.Response(
        status=http, body=envelope(None, http, message), content_type="application/json", headers=headers
    )


async def play(  # noqa: C901, PLR0911, PLR0912 - one return a case
    reply: Reply, request: web.Request, data: Data | None, value: str
) -> web.StreamResponse:
    """Give a scenario's reply instead of the answer `data` (None where there would be none)."""
    match reply:
        case Refusal(http, message):
            return refuse(http, message, RETRY_AFTER_S if http == 429 else None)
        case Trick.CUT:
            return cut(request)
        case Trick.REDIRECT:
            return web.Response(status=302, headers={"Location": value})
        case Trick.GARBAGE:
            return web.Response(text="<html><h1>Bad gateway</h1></html>", content_type="text/html")
        case Trick.NULL_DATA:
            return answer(None)
        case Trick.CODE_500:
            return web.Response(body=envelope(data, 500, "sandbox: an error in a 200"), content_type="application/json")
        case Trick.DRIP:
            return await _drip(request)
        case Trick.HUGE:
            return answer((data or {}) | {"padding": "x" * _HUGE_BYTES})
        case Trick.HALF:
            whole = envelope(data)
            return web.Response(body=whole[: len(whole) // 2], content_type="application/json")
        case Trick.CUT_SHORT:
            whole = envelope(data)
            return await break_off(request, "application/json", len(whole), whole[: len(whole) // 2])
        case Trick.DEEP:
            return web.Response(body=b"[" * 100_000, content_type="application/json")
        case Trick.GATEWAY:
            return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>", content_type="text/html")
        case Trick.WITH_ID:
            return web.Response(status=500, body=envelope(data), content_type="application/json")
        case Trick.BUSY:
            return web.Response(
                status=429, body=envelope(None, 429, "sandbox: busy"), headers={"Retry-After": value},
                content_type="application/json",
            )  # fmt: skip
        case Trick.TEXT:
            return web.Response(status=int(value), text=f"{value} {HTTPStatus(int(value)).phrase.lower()}\n")
        case Trick.ERROR_ONLY | Trick.MESSAGE_ONLY | Trick.DETAIL | Trick.CODE_AS_TEXT:
            return odd_refusal(int(value), reply)


def odd_refusal(http: int, form: Trick, message: str = "sandbox: these inputs are refused") -> web.Response:
    """Return an error in one of the bodies that are not the API's envelope."""
    body = {
        Trick.ERROR_ONLY: {"error": message},
        Trick.MESSAGE_ONLY: {"message": message},
        Trick.DETAIL: {"detail": [{"loc": ["body", "image"], "msg": message, "type": "value_error"}]},
        Trick.CODE_AS_TEXT: {"code": str(http), "message": message, "data": None},
    }[form]
    return web.Response(status=http, body=json.dumps(body).encode(), content_type="application/json")


def cut(request: web.Request) -> web.StreamResponse:
    """End the connection at once, with a reset, and say nothing."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere: aiohttp wants one


async def break_off(request: web.Request, media_type: str, announced_bytes: int, sent: bytes) -> web.StreamResponse:
    """Send less of a body than was announced, and then nothing more on a connection that ends."""
    response = web.StreamResponse(headers={"Content-Type": media_type, "Content-Length": str(announced_bytes)})
    await response.prepare(request)
    await response.write(sent)
    if request.transport is not None:
        request.transport.close()
    return response


async def _drip(request: web.Request) -> web.StreamResponse:
    """JSON's leading white space, a byte at a time, until the client has had enough."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(int(_DRIPS_FOR_S / _DRIP_EVERY_S)):
        try:
            await response.write(b" ")
        except ConnectionError:
            break
        await asyncio.sleep(_DRIP_EVERY_S)
    return response
