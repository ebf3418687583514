"""Outputs of predictions, asked of WaveSpeed anew where a URL has died, by what is no run and may have no key."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from animatic.errors import ClipUnavailableError, SettingsError
from animatic.media.archive import Ask, asking
from animatic.wavespeed.client import WaveSpeedClient
from flows.settings import Settings


@asynccontextmanager
async def open_asking(settings: Settings) -> AsyncGenerator[Ask]:
    """Yield the function that asks for outputs anew; without a key there is none to ask."""

    async def cannot_ask(_: str) -> Sequence[str]:
        raise ClipUnavailableError("there is no key to ask with")

    try:
        key = settings.require_key()
    except SettingsError:
        yield cannot_ask
        return
    async with WaveSpeedClient(settings.base_url, key, network=settings.network) as client:
        yield asking(client)
