"""Faulty downloads of clips: the reply of a scenario instead of the clip."""

import asyncio

from aiohttp import web

from animatic.sandbox.replies import break_off, cut, refuse
from animatic.sandbox.scenarios import ClipFault

_ENDLESS_BYTES = 8 << 30
_MEDIA_TYPE = "video/mp4"
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
            return await break_off(request, _MEDIA_TYPE, len(clip) + 1, clip)
        case ClipFault.CUT:
            return await break_off(request, _MEDIA_TYPE, len(clip), clip[: len(clip) // 2])
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
    response = web.StreamResponse(headers={"Content-Type": _MEDIA_TYPE})
    response.content_length = length
    if length is None:
        response.enable_chunked_encoding()
    await response.prepare(request)
    return response
