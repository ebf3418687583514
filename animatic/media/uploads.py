"""Uploads of local stills, remembered by account.

A URL that WaveSpeed gave out is good for that account only, and for 7 days. One that is remembered is asked for before
it is sent: a take that is submitted with a dead URL fails, and is paid for.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

from animatic.errors import ApiRefusedError, FileRefusedError, TryLaterError
from animatic.ledger import Ledger
from animatic.takes.stills import LocalFile
from animatic.wavespeed.client import WaveSpeedClient
from animatic.web.addresses import refusal_of
from animatic.web.network import DIRECT, Network
from animatic.web.reader import FAILURES, WebReader

KEPT = timedelta(days=6)
"""WaveSpeed keeps uploads for 7 days; a day is left for the takes that use them to be submitted."""

UPLOADS_AT_ONCE = 4
PROBE_WITHIN_S = 10.0
PROBES_AT_ONCE = 8
_GONE = frozenset({404, 410})


class Files(Protocol):
    """Files of shots that can be uploaded: local stills, or last frames of clips."""

    async def upload(self, client: WaveSpeedClient, file: LocalFile, /) -> str:
        """Upload a file; where it can be fetched."""
        ...


class UploadMemory:
    """The uploads of one account, in one run: its limits hold for all that the run uploads, early or late.

    Args:
        ledger: of the ledger that remembers them.
        account: tells whose they are; asked once, and only where there is something to upload.
        origin: scheme, host and port that may be asked though they are private: the API's own.
        network: proxies and authorities.
    """

    def __init__(self, ledger: Ledger, account: Callable[[], str], origin: str = "", network: Network = DIRECT) -> None:
        self._ledger, self._origin, self._network = ledger, origin, network
        self._room = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._room_to_probe = asyncio.Semaphore(PROBES_AT_ONCE)
        self._owner = functools.cache(account)

    @property
    def _account(self) -> str:
        return self._owner()

    async def find(self, stills: Sequence[str]) -> dict[str, str]:
        """Return where each of these stills (`sha256:…`) can be fetched, if it was uploaded and is still there."""
        known = await self._ledger.find_uploads(self._account, list(stills), KEPT)
        if not known:
            return {}
        async with WebReader(self._origin, network=self._network, deadline_s=PROBE_WITHIN_S) as web:

            async def is_gone(url: str) -> bool:
                async with self._room_to_probe:
                    return await _is_gone(web, url, self._origin)

            gone = await asyncio.gather(*(is_gone(url) for url in known.values()))
        return {still: url for (still, url), dead in zip(known.items(), gone, strict=True) if not dead}

    async def upload(
        self,
        stills: Files,
        files: Sequence[LocalFile],
        client: WaveSpeedClient,
        uploaded: Callable[[str, str], None] = lambda _file, _url: None,
    ) -> dict[str, str]:
        """Upload each of these files, unless the account has it; where each is, by what identifies it.

        `uploaded` is called for each as soon as it is there.

        Raises:
            LocationError: a still has changed since the plan was made.
            FileRefusedError: the API refuses one; the message names it.
            TryLaterError: the API is away.
        """
        known = await self.find([file.identity for file in files])

        async def upload(file: LocalFile) -> tuple[str, str]:
            url = known.get(file.identity)
            if url is None:
                async with self._room:
                    url = await _upload(stills, client, file)
                await self.remember(file.identity, url)
            uploaded(file.identity, url)
            return file.identity, url

        try:
            async with asyncio.TaskGroup() as group:
                uploads = [group.create_task(upload(file)) for file in files]
        except BaseExceptionGroup as problems:  # one that may pass is raised only if nothing else is wrong
            raise min(problems.exceptions, key=lambda error: isinstance(error, TryLaterError)) from None
        return dict(upload.result() for upload in uploads)

    async def remember(self, still: str, url: str) -> None:
        """Write down where a still was uploaded."""
        await self._ledger.remember_upload(self._account, still, url)

    async def forget(self, still: str, attempt_id: int) -> str:
        """Forget where a still was uploaded, if it is the URL that this attempt was sent with; return that URL."""
        return await self._ledger.forget_upload(self._account, still, attempt_id)


async def _upload(stills: Files, client: WaveSpeedClient, file: LocalFile) -> str:
    try:
        return await stills.upload(client, file)
    except ApiRefusedError as error:
        raise FileRefusedError(f"still {file.path} of shot {file.shot_id}: {error}", error.code) from None


async def _is_gone(web: WebReader, url: str, origin: str) -> bool:
    """Tell if an upload is known to be gone. One that cannot be checked counts as there."""
    if refusal_of(url, origin) is not None:
        return False
    try:
        return await web.status_of(url) in _GONE
    except FAILURES:
        return False
