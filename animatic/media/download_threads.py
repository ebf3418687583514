"""Threads that download clips: each has an event loop of its own, so that no submission and no poll waits for one."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from animatic.media.downloads import DOWNLOADS_AT_ONCE, ClipDownloader
from animatic.web.network import Network

T = TypeVar("T")

DOWNLOAD_THREADS = 2
"""Half of a download's time goes to hashes and writes, which Python does beside other threads."""

ENDS_WITHIN_S = 10.0
"""A file that is being written then may be left half done: it has no name yet."""


class DownloadThread:
    """A thread with an event loop of its own, and a downloader in it.

    Attributes:
        busy: downloads that it was given and that have not ended.
    """

    def __init__(self, origin: str, network: Network) -> None:
        self.downloader = ClipDownloader(origin, network=network, at_once=DOWNLOADS_AT_ONCE // DOWNLOAD_THREADS)
        self.busy = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name="downloads", daemon=True)

    def _work(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def start(self) -> None:
        """Begin to download."""
        self._thread.start()
        await self.run(self.downloader.__aenter__())

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that is done there."""
        self.busy += 1
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
        finally:
            self.busy -= 1

    async def stop(self) -> None:
        """End the thread, once its connections are closed."""
        await self.run(self.downloader.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ENDS_WITHIN_S)
