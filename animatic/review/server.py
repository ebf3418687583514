"""A page's folder, served on loopback to one person, and the file of decisions behind it.

async with serving(Site(folder, SharedDecisions(uri), refresh), port=0) as address:
    ...  # address holds a token that is good once

It serves files of a page by their names, and lists none. See `page_access` for the requests that it refuses.
"""

import asyncio
import contextlib
import json
import os
import stat
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from aiohttp import web

from animatic.errors import LocationError, SettingsError
from animatic.results.decisions import Decision
from animatic.review.page_access import FRAME_RULES, HEADERS, PageAccess, Refusal, file_of
from animatic.review.shared_decisions import SharedDecisions, State, changes_in

MAX_BODY_BYTES = 4 << 20
BODY_WITHIN_S = 4.0
IDLE_S = 4.0
"""A connection that sends no whole request for so long is closed; so is one that takes no reply, after `STALLS_S`."""

STALLS_S = 600.0
MOST_CONNECTIONS = 200
REFRESHES_WITHIN_S = 20.0
"""Longest that a page is held up by being made anew; then it comes as it was."""

_LOOKS_EVERY_S = 0.5
_SHUTDOWN_S = 0.5
_BACKLOG = 64

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _as_it_is() -> None:
    """Leave a page as it is."""


@dataclass(frozen=True, slots=True)
class Site:
    """A page to serve.

    Attributes:
        folder: of its files, on local disk.
        decisions: that it reads and changes.
        refresh: makes it anew where its tables have changed; called before its first page is sent.
        policy: value of the header Content-Security-Policy.
    """

    folder: Path
    decisions: SharedDecisions
    refresh: Callable[[], Awaitable[None]] = _as_it_is
    policy: str = FRAME_RULES


@asynccontextmanager
async def serving(site: Site, port: int = 0) -> AsyncGenerator[str]:
    """Serve a page for as long as the context lasts; its address holds a token that lets one browser in.

    Raises:
        SettingsError: the port cannot be had.
    """
    page = _Page(site)
    app = web.Application(middlewares=[page.guard], client_max_size=MAX_BODY_BYTES)
    app.add_routes(
        [
            web.get("/decisions.json", page.send_decisions),
            web.post("/decisions", page.take_decisions),
            web.put("/decisions", page.take_decisions),
            web.get("/{path:.*}", page.send_file),
        ]
    )
    app.on_response_prepare.append(page.add_headers)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=_SHUTDOWN_S, keepalive_timeout=IDLE_S, max_line_size=8_190,
        handler_cancellation=True,
    )  # fmt: skip
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port, backlog=_BACKLOG).start()
        except OSError as error:
            raise SettingsError(
                f"--port {port}: cannot be listened on: {error.strerror}; 0, the default, picks a free one"
            ) from None
        page.port = runner.addresses[0][1]
        watching = asyncio.create_task(page.watch(runner))
        try:
            yield f"http://127.0.0.1:{page.port}/?token={page.token}"
        finally:
            watching.cancel()
            await asyncio.wait([watching])
    finally:
        await runner.cleanup()


class _Page:
    """One site while it is served."""

    def __init__(self, site: Site) -> None:
        self._site, self.port = site, 0
        self.token, self._secret = token_urlsafe(32), token_urlsafe(32)
        self._busy_since: dict[Any, float] = {}
        self._idle_since: dict[Any, float] = {}
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def _access(self) -> PageAccess:
        return PageAccess(self.port, self._secret)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request in, or refuse it; note that its connection is in use."""
        self._busy_since[request.protocol] = time.monotonic()
        try:
            is_entry = request.method == "GET" and request.path == "/" and "token" in request.query
            cookies: Mapping[str, str] = request.cookies
            refusal = self._access.refusal_of(request.method, request.headers, cookies, is_entry=is_entry)
            if refusal is not None:
                return _refused(refusal)
            return self._enter(request) if is_entry else await handler(request)
        except web.HTTPException as error:
            return _refused(Refusal(error.status, error.reason))
        finally:
            self._busy_since.pop(request.protocol, None)
            self._idle_since[request.protocol] = time.monotonic()

    def _enter(self, request: web.Request) -> web.StreamResponse:
        """Exchange the token for a cookie. It is good once: an address in a history or a log opens nothing."""
        given = request.query["token"].encode("utf-8", "replace")
        if not self.token or not compare_digest(given, self.token.encode()):
            known = self._access.refusal_of("GET", request.headers, request.cookies)
            return _refused(known) if known else _redirected()
        self.token = ""
        response = _redirected()
        response.set_cookie(self._access.cookie, self._secret, httponly=True, samesite="Strict", path="/")
        return response

    async def add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        """Add the headers that every reply has."""
        response.headers.update(HEADERS)
        response.headers["Content-Security-Policy"] = self._site.policy
        response.headers["Server"] = "animatic"

    async def send_file(self, request: web.Request) -> web.StreamResponse:
        """Send a file of the page, whole or the range asked for."""
        found = file_of(request.raw_path.partition("?")[0])
        if found is None:
            return _refused(Refusal(404, "the page has no such file"))
        name, media_type = found
        if name == "index.html":
            await self._refresh()
        path = await asyncio.to_thread(_regular_file, self._site.folder, name)
        if path is None:
            return _refused(Refusal(404, "the page has no such file"))
        return web.FileResponse(path, headers={"Content-Type": media_type})

    async def send_decisions(self, _: web.Request) -> web.StreamResponse:
        """Send the file of decisions as it is."""
        try:
            return _state(await asyncio.to_thread(self._site.decisions.read))
        except LocationError as error:
            return _refused(Refusal(422, str(error)))

    async def take_decisions(self, request: web.Request) -> web.StreamResponse:
        """Put changed decisions into the file; 409 with the state of the file where others changed the same rows."""
        if request.content_type != "application/json":
            return _refused(Refusal(415, "Content-Type: allowed: application/json"))
        etag = request.headers.get("If-Match")
        if etag is None:
            return _refused(Refusal(428, "If-Match: the etag of the state that the changes were made from is missing"))
        changes = await _changes_from(request)
        if isinstance(changes, Refusal):
            return _refused(changes)
        try:
            return _state(await asyncio.to_thread(self._site.decisions.change, changes, etag.strip('"')))
        except LocationError as error:
            return _refused(Refusal(422, str(error)))

    async def _refresh(self) -> None:
        """Make the page anew, once for all who wait for it, and not longer than they should wait."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.ensure_future(self._made_anew())
        await asyncio.wait({self._refreshing}, timeout=REFRESHES_WITHIN_S)

    async def _made_anew(self) -> None:
        with contextlib.suppress(Exception):  # the page as it was is better than none
            await self._site.refresh()

    async def watch(self, runner: web.AppRunner) -> None:
        """Close connections that send no request, take no reply, or are too many."""
        while True:
            await asyncio.sleep(_LOOKS_EVERY_S)
            now, connections = time.monotonic(), runner.server.connections if runner.server else []
            self._idle_since = {each: self._idle_since.get(each, now) for each in connections}
            late = [each for each in connections if self._is_late(each, now)]
            too_many = [each for each in connections if each not in self._busy_since][MOST_CONNECTIONS:]
            for each in {*late, *too_many}:
                each.force_close()

    def _is_late(self, connection: Any, now: float) -> bool:
        busy_since = self._busy_since.get(connection)
        return now - self._idle_since[connection] > IDLE_S if busy_since is None else now - busy_since > STALLS_S


async def _changes_from(request: web.Request) -> list[Decision] | Refusal:
    """Return the changes in the body of a request, within bounds of size and time."""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            body = await request.read()
        return changes_in(json.loads(body))
    except TimeoutError:
        return Refusal(408, f"the request did not come within {BODY_WITHIN_S:.0f} s")
    except (ValueError, RecursionError):
        return Refusal(400, "the body is no JSON")
    except LocationError as error:
        return Refusal(400, str(error))


def _refused(refusal: Refusal) -> web.Response:
    response = web.Response(status=refusal.status, text=refusal.why + "\n")
    if refusal.status in {408, 413}:
        response.force_close()
    return response


def _redirected() -> web.Response:
    return web.Response(status=303, headers={"Location": "/"})


def _state(state: State) -> web.Response:
    status = 409 if state.conflicts else 200
    text = json.dumps(state.as_dict, separators=(",", ":"))
    return web.Response(status=status, text=text, content_type="application/json", headers={"ETag": f'"{state.etag}"'})


def _regular_file(folder: Path, name: str) -> Path | None:
    """Return the path of a file of a folder; None where there is none, or a link on the way to it."""
    path = folder
    for part in name.split("/"):
        if path != folder and not stat.S_ISDIR(_mode(path)):
            return None
        path /= part
    return path if stat.S_ISREG(_mode(path)) else None


def _mode(path: Path) -> int:
    with contextlib.suppress(OSError):
        return os.lstat(path).st_mode
    return 0
