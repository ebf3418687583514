"""The review page of a run, kept fresh while the run works.

The page only shows. What goes wrong with it is one note, and changes neither what is bought nor results or exit code.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from animatic import storage
from animatic.errors.text import command, positional
from animatic.results.board import Board, make_board
from animatic.results.boards import BoardFiles
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.decision_files import find_decisions
from animatic.results.decisions import DECISIONS_NAME
from animatic.review.live import MOST_LIVE_TAKES, Moment, live_state, wait_s
from animatic.review.page_data import PageInfo
from animatic.review.writing import MOST_PAGE_TAKES, PageFolder, info_of
from flows.progress_words import Observer
from flows.reporting import PUBLISHES_WITHIN_S, Reporting
from flows.shown_pages import shown_of
from tasks.begun import begin
from tasks.review import ReviewShown, publish_review

ENDS_WITHIN_S = 45.0
"""Longest that a page may hold the end of a run up, its last pictures included."""

PICTURES_WITHIN_S = 30.0
HURRIED_S = 3.0
AGAIN_S = 30.0
"""A page that could not be written is tried again after so long."""

_TOO_MANY = (
    f"more than {MOST_PAGE_TAKES:,} takes do not fit on one page, which shows numbers only; animatic review with "
    "--only storyboard=NAME shows some of them"
)


class _Page:
    """The page of one run."""

    def __init__(self, reporting: Reporting, out: str) -> None:
        self._reporting, self._run, self._out = reporting, reporting.run, out
        order = self._run.order
        decisions = order.rows.decisions or storage.beside(order.results, DECISIONS_NAME)
        self._files = BoardFiles((storage.absolute_uri(order.results),), storage.absolute_uri(decisions))
        self._progress = self._run.session.progress
        self._observer = Observer(self._progress)
        self._aside = ThreadPoolExecutor(1, "page")
        self._ended = asyncio.Event()
        self._gathering: asyncio.Task[None] | None = None
        self._board_cost_s, self._lacks_pictures = 0.0, False
        self._shown: ReviewShown | None = None

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Keep the page fresh for the length of the block, and write it as it is to stay at the end."""
        keeping = asyncio.create_task(self._keep())
        hurry = asyncio.create_task(self._reporting.interrupts.hurried.wait())
        try:
            yield
        finally:
            self._ended.set()
            await asyncio.wait({keeping, hurry}, timeout=ENDS_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
            if not keeping.done():
                await asyncio.wait({keeping}, timeout=HURRIED_S if hurry.done() else 0.0)
            if not keeping.done():
                self._note("there was no time to finish it")
            for task in (keeping, hurry):
                task.cancel()
            await asyncio.wait({keeping, hurry}, timeout=HURRIED_S)
            self._aside.shutdown(wait=False, cancel_futures=True)
        await self._publish()

    async def _publish(self) -> None:
        """Show the page in Prefect, unless the run is to stop; Prefect that hangs or fails changes nothing."""
        if self._shown is None or self._reporting.interrupts.stop_request is not None:
            return
        try:
            async with asyncio.timeout(PUBLISHES_WITHIN_S):
                await begin(publish_review(self._shown))
        except Exception as error:  # noqa: BLE001 - see above
            self._run.warn(f"the review page could not be shown in Prefect: {error}")

    async def _keep(self) -> None:
        """Keep the page; begin again now and then where that fails, and once more at the end."""
        while True:
            was_over = self._ended.is_set()
            try:
                settings = self._run.session.settings
                async with PageFolder(self._out, settings.base_url, settings.network) as folder:
                    try:
                        await self._keep_in(folder)
                    finally:
                        await self._stop_gathering()
                self._progress.page_problem = self._progress.page_problem if self._lacks_pictures else ""
            except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on without a page
                self._note(str(error) or type(error).__name__)
            else:
                return
            if was_over:
                return
            await self._wait(AGAIN_S)

    async def _keep_in(self, folder: PageFolder) -> None:
        board = await self._made_board()
        await folder.place(board, await self._facts(is_live=True))
        del board
        board_after, shown = 0.0, self._marks(folder)
        while not self._ended.is_set():
            began = time.monotonic()
            await folder.write_state(self._state(folder))
            pause_s = wait_s(time.monotonic() - began)
            if self._is_live and began >= board_after and self._marks(folder) != shown:
                shown = self._marks(folder)
                await self._refresh(folder)
                board_after = time.monotonic() + wait_s(self._board_cost_s)
            await self._wait(pause_s)
        await self._finish(folder)

    async def _refresh(self, folder: PageFolder) -> None:
        """Write the board as it is now, and begin to fetch the media that it names."""
        began = time.monotonic()
        board = await self._made_board()
        await folder.refresh(board, await self._facts(is_live=True))
        self._board_cost_s = time.monotonic() - began
        if self._gathering is None or self._gathering.done():
            self._gathering = asyncio.create_task(self._gather(folder, board))

    async def _finish(self, folder: PageFolder) -> None:
        """Write the page as it is to stay: at once what is known, and then with the last pictures."""
        board = await self._made_board()
        is_hurried = self._reporting.interrupts.hurried.is_set()
        for is_last in (is_hurried, True):
            facts = await self._facts()
            await folder.place(board, facts)
            await folder.refresh(board, facts)
            await folder.write_state(self._state(folder, is_ended=is_last))
            if is_last:
                self._shown = None if is_hurried else await asyncio.to_thread(shown_of, board, self._out)
                self._note_problems(folder, board)
                return
            await self._last_pictures(folder, board)

    def _note_problems(self, folder: PageFolder, board: Board) -> None:
        problem = folder.problems(board).summary
        if problem and not self._lacks_pictures:
            self._lacks_pictures = True
            self._note(problem)

    async def _gather(self, folder: PageFolder, board: Board) -> None:
        try:
            await folder.gather(board)
        except Exception as error:  # noqa: BLE001 - as above
            self._note(str(error) or type(error).__name__)

    async def _last_pictures(self, folder: PageFolder, board: Board) -> None:
        await self._stop_gathering()
        gathering = asyncio.create_task(folder.gather(board)) if self._is_live else None
        if gathering is not None:
            await asyncio.wait({gathering}, timeout=PICTURES_WITHIN_S)
            if gathering.done():
                return gathering.result()
            gathering.cancel()
        self._lacks_pictures = True
        again = command("review", positional(self._run.order.results), "--out", self._out)
        return self._note(f"it lacks pictures that there was no time to make; they come with\n    {again}")

    async def _stop_gathering(self) -> None:
        if self._gathering is None:
            return
        self._gathering.cancel()
        await asyncio.wait({self._gathering})
        self._gathering = None

    async def _made_board(self) -> Board:
        """Return the board as the ledger knows it now; one without takes where a page cannot hold them."""
        loop, rows = asyncio.get_running_loop(), list[dict[str, Any]]()
        writer = self._reporting.new_writer()
        async for table in writer.rows(self._aside):
            if len(rows) + len(table) > MOST_PAGE_TAKES:
                return Board((), decision_notes=(_TOO_MANY,))
            known = table.select(RESULTS_SCHEMA.names)
            rows += await loop.run_in_executor(self._aside, known.to_pylist)
        return await loop.run_in_executor(
            self._aside, lambda: make_board([rows], find_decisions(self._files.decisions))
        )

    async def _facts(self, *, is_live: bool = False) -> PageInfo:
        limit = self._reporting.max_microusd
        max_usd = None if limit is None else Decimal(limit) / 1_000_000
        states = self._progress.states() if self._is_live else {}
        return await asyncio.to_thread(info_of, self._files, max_usd=max_usd, states=states, live=is_live)

    def _state(self, folder: PageFolder, *, is_ended: bool = False) -> Any:
        shown = self._observer.look()
        every_s = wait_s(0.0) + self._board_cost_s
        moment = Moment(
            self._run.session.run_id, folder.revision, datetime.now(UTC), every_s, is_ended, shown.elapsed_s,
            shown.left_s, self._reporting.max_microusd, shown.waits_for,
        )  # fmt: skip
        return live_state(self._progress, moment)

    def _marks(self, folder: PageFolder) -> Hashable:
        """Return values that are others once the board is."""
        progress = self._progress
        states = (progress.in_flight, progress.queued, progress.submissions, progress.finished_here)
        return (*states, progress.archive.kept, progress.archive.failed, folder.media_count)

    @property
    def _is_live(self) -> bool:
        return self._reporting.plan.manifest.num_lines <= MOST_LIVE_TAKES

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    def _note(self, why: str) -> None:
        """Say once that the page is not as it should be."""
        if not self._progress.page_problem:
            self._run.warn(f"the review page: {why}")
        self._progress.page_problem = f"the review page {self._out}: {why}"


@asynccontextmanager
async def page_kept(reporting: Reporting) -> AsyncGenerator[None]:
    """Keep the review page of a run, where it has one, for the length of the block."""
    out = reporting.run.order.review
    if out is None:
        yield
        return
    async with _Page(reporting, out).kept():
        yield
