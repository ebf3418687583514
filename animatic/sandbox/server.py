"""The sandbox as a server: the whole of it put together, and taken apart again.

async with serve(SandboxConfig(folder=folder)) as sandbox:
    ...  # sandbox.url speaks the API of WaveSpeed, with sandbox.key
"""

import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from aiohttp import web

from animatic.errors import SettingsError
from animatic.sandbox.account import Account, Clock, Handler, origin_at
from animatic.sandbox.api import MAX_JSON_BYTES, Api
from animatic.sandbox.certificates import server_context
from animatic.sandbox.clips import Clips
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.first_seen import FirstSeenFile
from animatic.sandbox.folder import FolderLock, digest_of_models, note_port, ports_of
from animatic.sandbox.listed import models_on_sale
from animatic.sandbox.predictions import Predictions
from animatic.sandbox.uploads import Uploads

_SHUTDOWN_S = 0.5
_BACKLOG = 2_048
_API = web.AppKey("api", Api)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that serves; `read_witness(folder)` tells what it accepted."""

    url: str
    folder: Path
    key: str = field(repr=False)


def create_app(config: SandboxConfig, clock: Clock = time.time) -> web.Application:
    """Return the application over a folder that no other sandbox serves (`serve` checks). `clock`: seconds since 1970.

    Raises SettingsError where the folder holds something that is not ours.
    """
    config.folder.mkdir(parents=True, exist_ok=True)
    offset_s = config.clock_offset_s

    def its_clock() -> float:
        return clock() + offset_s

    uploads = Uploads(config.folder)
    models = models_on_sale(config.models)
    clips, predictions = Clips(config.folder, uploads, config.drawn), Predictions(config, models)
    first_seen = FirstSeenFile(config.folder) if config.notes_first_seen else None
    api = Api(Account(config, predictions, uploads, clips, its_clock, models), first_seen)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await api.guard(request, handler)

    async def close(_: web.Application) -> None:
        await api.close()
        await clips.close()
        predictions.close()
        if first_seen is not None:
            first_seen.close()

    async def date(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(its_clock(), usegmt=True)

    app = web.Application(middlewares=[guard], client_max_size=MAX_JSON_BYTES)
    app[_API] = api
    app.add_routes(api.routes())
    app.on_cleanup.append(close)
    app.on_response_prepare.append(date)
    return app


@asynccontextmanager
async def serve(config: SandboxConfig, clock: Clock = time.time) -> AsyncGenerator[Sandbox]:
    """Serve a sandbox, ready, for as long as the context lasts.

    Raises FolderServedError if another sandbox serves the folder, SettingsError if the address cannot be had, or its
    certificate is of no use.
    """
    context = _tls_context(config)
    lock = FolderLock(config.folder)
    try:
        app = create_app(config, clock)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            url = await _listen(runner, config, context)
            lock.announce(url, digest_of_models(config.models))
            app[_API].begin(url)
            yield Sandbox(url, config.folder, config.key)
        finally:
            await runner.cleanup()
    finally:
        lock.release()


def _tls_context(config: SandboxConfig) -> ssl.SSLContext | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    return server_context(config.tls_cert, config.tls_key, config.host)


async def _listen(runner: web.AppRunner, config: SandboxConfig, tls: ssl.SSLContext | None) -> str:
    """Listen on the port that was asked for, or on all that the folder ever had, and tell the first."""
    if config.port is not None:
        await _listen_on(runner, config.host, config.port, tls)
    else:
        for port in ports_of(config.folder):
            with suppress(SettingsError):
                await _listen_on(runner, config.host, port, tls)
        if not runner.addresses:
            await _listen_on(runner, config.host, 0, tls)
        note_port(config.folder, runner.addresses[0][1])
    host, port = runner.addresses[0][:2]
    return origin_at("http" if tls is None else "https", host, port)


async def _listen_on(runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG, ssl_context=tls).start()
    except OSError as error:
        raise SettingsError(
            f"sandbox: cannot listen on {host} port {port}: {error.strerror}; port 0 picks a free one"
        ) from None
