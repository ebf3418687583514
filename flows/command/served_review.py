"""A review page while it is served: made anew when its tables change, until someone stops it."""

import asyncio
import time
from collections.abc import Callable, Hashable
from datetime import UTC, datetime

from animatic import storage
from animatic.errors import AnimaticError
from animatic.results.board import Board
from animatic.review.page import content_policy
from animatic.review.server import Site, serving
from animatic.review.shared_decisions import SharedDecisions
from animatic.review.writing import PageFolder, info_of
from flows.process import ending_signals
from flows.review import ReviewOrder
from flows.settings import Settings

LOOKS_EVERY_S = 3.0
REMOTE_EVERY_S = 30.0
"""Tables in a bucket are asked for less often: each look is a request that costs money."""


class ServedReview:
    """The page of one order while it is served. `warn` gets what a person should read."""

    def __init__(self, settings: Settings, order: ReviewOrder, warn: Callable[[str], None]) -> None:
        self.settings, self.order, self._warn = settings, order, warn
        self._lock = asyncio.Lock()
        self._marks: Hashable = None
        self._looked_at, self._problem, self._lack = -REMOTE_EVERY_S, "", ""
        self._is_remote = any(storage.real_path(uri) is None for uri in order.files.results)

    async def begin(self, folder: PageFolder) -> Board:
        """Write the page for the first time; return its board. Raises as `write_review`."""
        self._folder = folder
        self._marks = await asyncio.to_thread(self._marks_now)
        return await self._write()

    async def refresh(self) -> None:
        """Write the page anew if its tables have changed; it stays as it is where that is not possible."""
        async with self._lock:
            pause_s = REMOTE_EVERY_S if self._is_remote else 0.5
            if time.monotonic() - self._looked_at < pause_s:
                return
            self._looked_at = time.monotonic()
            try:
                marks = await asyncio.to_thread(self._marks_now)
                if marks != self._marks:
                    self._marks = marks
                    await self._write()
                self._problem = ""
            except AnimaticError as error:
                if str(error) != self._problem:
                    self._warn(f"the page stays as it was: {error}")
                self._problem = str(error)

    async def _write(self) -> Board:
        board = await asyncio.to_thread(self.order.read_board, self.settings.network)
        facts = await asyncio.to_thread(info_of, self.order.files, self.settings.network, live=True)
        await self._folder.write(board, facts)
        problem = self._folder.problems(board).summary
        if problem and problem != self._lack:
            self._warn(f"the page: {problem}")
        self._lack = problem
        revision = await self._folder.refresh(board, facts)
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        await self._folder.write_state({"revision": revision, "at": at, "ended": False, "served": True})
        return board

    async def end(self) -> None:
        """Leave a page that is good without its server."""
        board = await asyncio.to_thread(self.order.read_board, self.settings.network)
        await self._folder.settle(board, await asyncio.to_thread(info_of, self.order.files, self.settings.network))

    def _marks_now(self) -> Hashable:
        return tuple(storage.mark_of(uri) for uri in self.order.files.results)


async def serve_until_stopped(review: ServedReview, port: int, ready: Callable[[str, Board], object]) -> None:
    """Serve a page until a signal ends it.

    Raises:
        FixInputError: a table cannot be read, the folder cannot be written, or the port cannot be had.
    """
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    settings, order = review.settings, review.order
    async with PageFolder(order.out, settings.base_url, settings.network) as folder:
        board = await review.begin(folder)
        site = Site(folder.path, SharedDecisions(order.files.decisions), review.refresh, content_policy(is_served=True))
        for number in ending_signals():
            loop.add_signal_handler(number, stopped.set)
        async with serving(site, port) as address:
            ready(address, board)
            del board
            while not stopped.is_set():
                await review.refresh()
                await asyncio.wait({stopping := asyncio.ensure_future(stopped.wait())}, timeout=LOOKS_EVERY_S)
                stopping.cancel()
        await review.end()
