"""Stills, fetched into files by the URI that a results table gives: from disk, an object store, or the web."""

import asyncio
import shutil
from pathlib import Path

from animatic import storage
from animatic.errors import LocationError
from animatic.manifest.images import MAX_STILL_BYTES
from animatic.wavespeed.transport import identity_headers
from animatic.web.addresses import refusal_of
from animatic.web.network import DIRECT, Network
from animatic.web.public_web import NotPublicError
from animatic.web.reader import FAILURES, RedirectsError, WebReader

STILL_WITHIN_S, STALLS_AFTER_S = 60.0, 20.0
_WEB = ("http://", "https://")


def still_reader(origin: str, network: Network = DIRECT) -> WebReader:
    """Return the guarded reader for stills on the web; `origin` may be asked though it is private, empty for none."""
    headers = {**identity_headers("animatic"), "Accept": "image/*"}
    return WebReader(origin, network=network, headers=headers, deadline_s=STILL_WITHIN_S, stalls_after_s=STALLS_AFTER_S)


async def fetch_still(uri: str, into: Path, web: WebReader, origin: str = "") -> str | None:
    """Write the still at a URI to a file; return None, or why that cannot be done, in words that follow its name.

    Args:
        uri: absolute, of a file, an object, or a page on the web.
        into: a file, which is replaced.
        web: guarded, and without a key.
        origin: scheme, host and port that may be asked though they are private; empty for none.
    """
    if not uri.lower().startswith(_WEB):
        return await asyncio.to_thread(_copy, uri, into)
    refusal = refusal_of(uri, origin)
    if refusal is not None:
        return f"must not be fetched: {refusal}"
    try:
        return await _download(uri, into, web)
    except NotPublicError as error:
        return f"must not be fetched: {error}"
    except RedirectsError as error:
        return f"cannot be fetched: {error}"
    except (*FAILURES, TimeoutError, OSError):
        return "cannot be fetched from the web now"


def _copy(uri: str, into: Path) -> str | None:
    try:
        with storage.open_copy(uri, max_bytes=MAX_STILL_BYTES) as still, into.open("wb") as file:
            shutil.copyfileobj(still, file)
    except (LocationError, OSError, ValueError):
        return "cannot be read any more"
    return None


async def _download(url: str, into: Path, web: WebReader) -> str | None:
    async with web.follow(url) as page:
        if page.status != 200:
            return f"cannot be fetched: its host answers with {page.status}"
        size_bytes = 0
        with into.open("wb") as file:
            async for chunk in page.chunks:
                size_bytes += len(chunk)
                if size_bytes > MAX_STILL_BYTES:
                    return f"is larger than {MAX_STILL_BYTES >> 20} MiB"
                file.write(chunk)
    return None
