"""Writing of a page's folder, again and again if need be: media first, then the data that names them."""

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from animatic import storage
from animatic.media.processes import Processes
from animatic.results.board import Board
from animatic.results.boards import BoardFiles
from animatic.results.decision_files import load_decisions
from animatic.review.media import FOLDER, OnProgress, PageMedia
from animatic.review.page import (
    BOARD,
    INDEX,
    LIVE,
    board_js,
    index_html,
    key_of,
    live_js,
    now,
    place_in,
    require_ours,
    write_static,
)
from animatic.review.page_data import PageInfo, page_data
from animatic.review.problems import Problems, problems_of
from animatic.storage.folder import Folder
from animatic.web.network import DIRECT, Network

MOST_PAGE_TAKES = 20_000
"""The most takes of one page: a browser holds all of them at once, and beyond this it stops answering."""


class PageFolder:
    """A page's folder, on disk or in an object store. Use as `async with`.

    Args:
        out: URI of the folder, made as needed.
        origin: scheme, host and port of stills that may be asked though they are private; empty for none.

    Attributes:
        revision: of the data that were last written for an open page, in milliseconds since 1970; 0 for none.
    """

    def __init__(self, out: str, origin: str = "", network: Network = DIRECT) -> None:
        self.out = out
        self._origin, self._network = origin, network
        self._stack = ExitStack()
        self._uploaded = set[str]()
        self.revision = 0

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(require_ours, self.out)
            self._processes = self._stack.enter_context(Processes())
            local = storage.real_path(self.out)
            self._is_remote = local is None
            scratch = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="animatic-review-"))
            self._local = Path(scratch) if local is None else local
            self._media = PageMedia(self._local, self._processes, self._origin, self._network)
            await asyncio.to_thread(write_static, self.out)
        except BaseException:
            self._stack.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._stack.close)

    async def write(self, board: Board, facts: PageInfo, on_progress: OnProgress = lambda _, __: None) -> None:
        """Write the page as it is to stay: its media, then `index.html` with the data inside.

        Raises:
            LocationError: it cannot be written.
        """
        await self.gather(board, on_progress)
        await self.place(board, facts)

    async def place(self, board: Board, facts: PageInfo) -> None:
        """Write `index.html` with the data inside, and the media that are there by now."""
        await asyncio.to_thread(self._put_data, INDEX, index_html, board, facts)

    async def gather(self, board: Board, on_progress: OnProgress = lambda _, __: None) -> None:
        """Put the media of a board into the folder, as far as they are not there."""
        await self._media.gather(board, on_progress)
        if self._is_remote:
            await asyncio.to_thread(self._upload)

    async def refresh(self, board: Board, facts: PageInfo) -> int:
        """Write the newer data of a page that is open, with the media that are there by now; return its revision."""
        revision = self.revision = max(self.revision + 1, round(facts.made_at.timestamp() * 1_000))
        await asyncio.to_thread(self._put_data, BOARD, lambda data: board_js(data, revision), board, facts)
        return revision

    async def settle(self, board: Board, facts: PageInfo) -> None:
        """Write the page so that it needs no more news; pages that are open get the same data, and ask no more."""
        await self.place(board, facts)
        revision = await self.refresh(board, facts)
        await self.write_state({"revision": revision, "at": facts.made_at.isoformat(), "ended": True, "served": True})

    @property
    def path(self) -> Path:
        """The folder on local disk, in which its files are, or wait to be put into the object store."""
        return self._local

    async def write_state(self, state: Mapping[str, Any]) -> None:
        """Write the state of a run that works."""
        await asyncio.to_thread(self._put, LIVE, live_js(state))

    @property
    def media_count(self) -> int:
        """Stills and clips that are there by now, or cannot be had."""
        known = self._media.known
        return len(known.stills) + len(known.clips)

    def problems(self, board: Board) -> Problems:
        """Return lines on the media of a board that are not there, as far as they were tried."""
        return problems_of(board, self._media.known)

    def _put_data(self, name: str, form: Callable[[dict[str, Any]], bytes], board: Board, facts: PageInfo) -> None:
        self._put(name, form(page_data(board, self._media.known, facts)))

    def _put(self, name: str, data: bytes) -> None:
        storage.replace_bytes(place_in(self.out, name), data)

    def _upload(self) -> None:
        """Put media into the object store that are not there yet; their names say what is in them."""
        there = Folder(place_in(self.out, FOLDER))
        if not self._uploaded:
            self._uploaded |= set(there.sizes())
        for path in sorted((self._local / FOLDER).glob("[!.]*")):
            if path.name not in self._uploaded:
                with path.open("rb") as file:
                    storage.replace_with(place_in(place_in(self.out, FOLDER), path.name), file)
                self._uploaded.add(path.name)


def info_of(files: BoardFiles, network: Network = DIRECT, **more: Any) -> PageInfo:
    """Return the facts of a page that shows results tables. `more` are fields of `PageInfo`."""
    names = ", ".join(storage.stem_of(uri) for uri in files.results)
    return PageInfo(
        names, key_of(files.results), now(), _decision_cells(files.decisions, network), results=files.results, **more
    )


def _decision_cells(uri: str, network: Network) -> dict[str, Any]:
    """Return the file of decisions as text, so that a page can add to it without losing any of it."""
    table = load_decisions(uri, network).table
    return {"columns": list(table.columns), "rows": [list(row) for row in table.rows]} if table.rows else {}
