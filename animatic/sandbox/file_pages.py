"""The handlers of files: stills go up, in one step or two, clips come down."""

import asyncio
from collections import Counter

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from animatic.sandbox.account import Account, body_in, json_in, origin_of
from animatic.sandbox.asked_clip import length_s_of, ratio_of
from animatic.sandbox.catalogue import InvalidInputError
from animatic.sandbox.clip_faults import send_faulty
from animatic.sandbox.lifecycle import COMPLETED
from animatic.sandbox.predictions import Prediction
from animatic.sandbox.replies import answer
from animatic.sandbox.tickets import GOOD_FOR_S, MAX_OPEN, Ticket, Tickets, TooManyTicketsError
from animatic.sandbox.uploads import MAX_UPLOAD_BYTES, media_type_of

_MAX_NAME_CHARS = 255
_PUT_S = 120.0
_ZEROS = bytes(1 << 18)
_MEDIA_TYPES = {".mp4": "video/mp4", ".png": "image/png"}


class FilePages:
    """The files of one account."""

    def __init__(self, account: Account) -> None:
        self._account, self._tickets = account, Tickets()
        self._downloads = Counter[str]()

    def routes(self) -> list[web.RouteDef]:
        """All routes; those outside of /api need no key."""
        return [
            web.get("/uploads/{name}", self.send_upload, allow_head=True),
            web.get(r"/outputs/{id}/{number}{suffix:\.(?:mp4|png)}", self.send_output, allow_head=True),
            web.get("/sandbox/downloads", self.show_downloads),
            web.put("/sandbox/put/{token}", self.take_put),
            web.post("/api/v3/media/upload/binary", self.upload),
            web.post("/api/v3/media/uploads", self.give_ticket),
        ]

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Keep the multipart field `file`; its URL on this server."""
        still, filename = await _file_in(request)
        name = await asyncio.to_thread(self._account.uploads.store, still)
        self._account.counts["uploads"] += 1
        url = f"{origin_of(request)}/uploads/{name}"
        filename = filename[:_MAX_NAME_CHARS] or name
        return answer({"type": "image", "download_url": url, "filename": filename, "size": len(still)})

    async def give_ticket(self, request: web.Request) -> web.StreamResponse:
        """Return where to PUT a still, and the URL that it will have."""
        try:
            ticket = self._tickets.issue(await json_in(request), self._account.clock())
        except TooManyTicketsError:
            words = f"{MAX_OPEN:,} uploads are open; PUT those first, or wait up to {GOOD_FOR_S:.0f} s"
            return self._account.refuse("tickets", 429, words, 60)
        origin = origin_of(request)
        put = {"method": "PUT", "url": f"{origin}/sandbox/put/{ticket.token}", "headers": dict(ticket.headers)}
        return answer({"upload": put, "download_url": f"{origin}/uploads/{ticket.name}"})

    async def take_put(self, request: web.Request) -> web.StreamResponse:
        """Keep the still that a ticket was given out for; the ticket is good once."""
        ticket = self._tickets.claim(request.match_info["token"], self._account.clock())
        if ticket is None:
            words = f"no such upload: its URL is good once and for {GOOD_FOR_S:.0f} s; ask for a new one"
            return self._account.refuse("put", 403, words)
        try:
            async with asyncio.timeout(_PUT_S):
                await self._keep(ticket, request)
        except BaseException as error:
            self._tickets.give_back(ticket)
            if isinstance(error, TimeoutError):
                return self._account.refuse("put", 408, f"the still did not come within {_PUT_S:.0f} s")
            raise
        self._account.counts["uploads"] += 1
        return web.Response()

    async def _keep(self, ticket: Ticket, request: web.Request) -> None:
        found_type = request.content_type
        if ticket.media_type and found_type != ticket.media_type:
            raise InvalidInputError(f"Content-Type: found {found_type}; the ticket is for {ticket.media_type}")
        if request.content_length not in {None, ticket.size_bytes}:
            raise InvalidInputError(f"Content-Length: must be {ticket.size_bytes}, as the ticket says")
        still = await body_in(request, ticket.size_bytes)
        if len(still) != ticket.size_bytes:
            raise InvalidInputError(f"{len(still):,} bytes came; the ticket is for {ticket.size_bytes:,}")
        await asyncio.to_thread(self._account.uploads.store_as, ticket.name, still)

    async def send_upload(self, request: web.Request) -> web.StreamResponse:
        """Send an uploaded still."""
        path = self._account.uploads.find(request.match_info["name"])
        if path is None:
            return self._account.refuse("no_file", 404, "no such upload")
        return web.FileResponse(path, headers={"Content-Type": media_type_of(path)})

    async def send_output(self, request: web.Request) -> web.StreamResponse:
        """Send an output of a completed prediction, whole or the range asked for.

        Each is counted by `ID/NUMBER` when it begins.
        """
        account, wanted = self._account, request.match_info
        now, number = account.clock(), wanted["number"]
        found = account.predictions.find(wanted["id"], now)
        numbers = {str(each) for each in range(1, (found.outputs if found else 0) + 1)}
        if found is None or number not in numbers or found.status_at(now) != COMPLETED:
            return account.refuse("no_file", 404, "no such output")
        if wanted["suffix"] != found.suffix:
            return account.refuse("no_file", 404, "no such output")
        name, asked = f"{found.accepted.id}/{number}", found.asked
        if request.method == "GET":
            self._downloads[name] += 1
        fault = asked.scenario.clip
        if fault is not None and (asked.scenario.default or self._downloads[name] <= asked.number):
            clip = b"".join((await self._blank(found, number))[:2])
            return await send_faulty(fault, request, clip, asked.value or asked.scenario.default)
        if not account.config.renders:
            return await self._send_blank(request, found, number)
        try:
            path = await account.clips.load(found, int(number))
        except Exception as error:  # noqa: BLE001 - whatever a renderer or its process can raise is one reply
            return account.refuse("render", 500, f"the clip could not be rendered: {type(error).__name__}: {error}")
        return web.FileResponse(path, headers={"Content-Type": _MEDIA_TYPES[found.suffix]})

    async def show_downloads(self, _: web.Request) -> web.StreamResponse:
        """Show how often each output was asked for since the start of this process."""
        return web.json_response(self._downloads)

    async def _blank(self, found: Prediction, number: str) -> tuple[bytes, bytes, int]:
        """Return a clip that shows nothing: its data, its own end, and the number of zeros after that."""
        from animatic.sandbox.renderer.blank import blank_clip, blank_picture, own_end  # noqa: PLC0415 - PyAV, for clips only

        inputs = found.accepted.inputs
        if found.suffix == ".mp4":
            data = await asyncio.to_thread(
                blank_clip, ratio_of(inputs), length_s_of(inputs), self._account.config.clip_fps
            )
            if (damage := found.asked.scenario.damage) is not None:
                from animatic.sandbox.renderer.damage import damaged  # noqa: PLC0415 - the same

                data = await asyncio.to_thread(damaged, data, damage)
        else:
            data = blank_picture()
        end, zeros = own_end(f"{found.accepted.id}-{number}", self._account.config.clip_bytes - len(data))
        return data, end, zeros

    async def _send_blank(self, request: web.Request, found: Prediction, number: str) -> web.StreamResponse:
        """Send a clip that shows nothing, as large as it is to be."""
        data, end, zeros = await self._blank(found, number)
        response = web.StreamResponse(headers={"Content-Type": _MEDIA_TYPES[found.suffix]})
        response.content_length = len(data) + len(end) + zeros
        await response.prepare(request)
        await response.write(data + end)
        while zeros > 0 and request.method != "HEAD":
            await response.write(_ZEROS[:zeros])
            zeros -= len(_ZEROS)
        await response.write_eof()
        return response


async def _file_in(request: web.Request) -> tuple[bytes, str]:
    if not request.content_type.startswith("multipart/"):
        raise InvalidInputError("send multipart/form-data with the field `file`")
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name == "file":
                return await _capped(part), part.filename or ""
    except InvalidInputError:
        raise
    except (ValueError, AssertionError, HttpProcessingError):
        raise InvalidInputError("the multipart body cannot be read") from None
    raise InvalidInputError("file: the field is missing")


async def _capped(part: BodyPartReader) -> bytes:
    received = bytearray()
    while chunk := await part.read_chunk(1 << 16):
        received += chunk
        if len(received) > MAX_UPLOAD_BYTES:
            raise InvalidInputError(f"file: more than {MAX_UPLOAD_BYTES:,} bytes")
    return bytes(received)
