"""Faulty downloads of clips: the reply of a scenario instead of the clip."""

import asyncio

from aiohttp import web

from animatic.sandbox.replies import cut, refuse
from animatic.sandbox.scenarios import ClipFault

_ENDLESS_BYTES = 8 << 30
_PIECE = b"\0" * (1 << 20)
_STALLS_FOR_S = 3_600.0
_PAGE = "<html><h1>Please sign in</h1></html>"


async def send_faulty(  # noqa: PLR0911 - one return a case
    fault: ClipFault, request: web.Request, clip: bytes, value: str
) -> web.StreamResponse:
    """Answer a download with this fault; `clip` is the clip as it should have been sent."""
    match fault:
        case ClipFault.EXPIRED:
            return refuse(410, "sandbox: this URL has expired")
        case ClipFault.MOVED:
            return web.Response(status=302, headers={"Location": value})
        case ClipFault.PAGE:
            return web.Response(text=_PAGE, content_type="text/html")
        case ClipFault.SHORT:
            response = await _begin(request, len(clip) + 1)
            await response.write(clip)
            return _close(request, response)
        case ClipFault.CUT:
            response = await _begin(request, len(clip))
            await response.write(clip[: len(clip) // 2])
            return _close(request, response)
        case ClipFault.STALLED:
            response = await _begin(request, len(clip))
            await response.write(clip[: len(clip) // 2])
            await asyncio.sleep(_STALLS_FOR_S)
            return cut(request)
        case ClipFault.ENDLESS:
            response = await _begin(request, None)
            await response.write(clip)
            for _ in range(_ENDLESS_BYTES // len(_PIECE)):
                await response.write(_PIECE)
            return response


async def _begin(request: web.Request, length: int | None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
    response.content_length = length
    if length is None:
        response.enable_chunked_encoding()
    await response.prepare(request)
    return response


def _close(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return response
