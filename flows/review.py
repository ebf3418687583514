"""Review pages of results tables, and what Prefect shows of them. Buys nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from animatic import storage
from animatic.errors import FixInputError, SettingsError
from animatic.errors.text import counted
from animatic.manifest.selection import read_only
from animatic.results.board import Board
from animatic.results.boards import BoardFiles, find_board_files, read_board
from animatic.review.media import OnProgress
from animatic.review.problems import Problems
from animatic.review.writing import MOST_PAGE_TAKES, PageFolder, info_of
from animatic.web.network import Network
from flows.flow_states import refused
from flows.page_places import note_on_page_of, require_page_place
from flows.schedule import session_of_schedule
from flows.session import SESSION, new_run_id
from flows.settings import Settings
from flows.shown_pages import shown_of, words_on
from flows.storyboards import chosen_storyboards
from tasks.begun import begin
from tasks.review import publish_review


@dataclass(frozen=True, slots=True)
class ReviewOrder:
    """Request for a review page, checked.

    Attributes:
        files: that it shows.
        out: URI of its folder.
        only: storyboards and shots that it shows, all where it is empty.
        notes: lines for people on the folder.
    """

    files: BoardFiles
    out: str
    only: Mapping[str, Sequence[str]]
    notes: tuple[str, ...] = ()

    @classmethod
    def read(
        cls, results: Sequence[str], out: str | None, decisions: str | None, only: Sequence[str], network: Network
    ) -> Self:
        """Read options as they are typed; without `out`, the folder `STEM.review` beside the first table.

        Raises:
            SettingsError, LocationError: one of them is not allowed, or the folder holds something else.
        """
        files = find_board_files(results, decisions, network)
        place = out
        if place is None:
            place = storage.beside(files.results[0], f"{storage.stem_of(files.results[0])}.review")
        require_page_place(place)
        note = note_on_page_of(place, tuple(files.results))
        return cls(files, place, read_only(only), () if note is None else (note,))

    def read_board(self, network: Network) -> Board:
        """Return the board, with the storyboards and shots that were chosen.

        Raises:
            LocationError: a table cannot be read.
            SettingsError: no shot is left, or there are too many takes for one page.
        """
        board = read_board(self.files, network)
        if self.only:
            board = replace(board, storyboards=tuple(chosen_storyboards(board, self.only)))
        takes = sum(len(shot.takes) for shot in board.shots)
        if takes > MOST_PAGE_TAKES:
            raise SettingsError(
                f"the results: found {takes:,} takes; allowed: up to {MOST_PAGE_TAKES:,} on one page; choose some with "
                "--only storyboard=NAME or --only shot_id=NAME"
            )
        return board


class Written(NamedTuple):
    """A page that was written: its board, and lines on media that it lacks."""

    board: Board
    problems: Problems


async def write_review(settings: Settings, order: ReviewOrder, on_progress: OnProgress = lambda _, __: None) -> Written:
    """Write the page of results tables into its folder; return its board, and lines on media that it lacks.

    Raises:
        FixInputError: a table cannot be read, or the folder cannot be written.
    """
    board = await asyncio.to_thread(order.read_board, settings.network)
    async with PageFolder(order.out, settings.base_url, settings.network) as folder:
        facts = await asyncio.to_thread(info_of, order.files, settings.network)
        await folder.write(board, facts, on_progress)
        await folder.settle(board, facts)
        return Written(board, folder.problems(board))


def name_run() -> str:
    """Return `review` and an id that sorts by time."""
    return f"review {new_run_id()}"


@flow(name="review", flow_run_name=name_run, persist_result=False)
async def review(
    results: list[str], out: str | None = None, decisions: str | None = None, only: list[str] | None = None
) -> State[None]:
    """Write the review page of results tables, and link it. Buys nothing.

    Args:
        results: URIs of results tables, oldest first. Patterns and folders too.
        out: URI of the page's folder. None is STEM.review beside the first table.
        decisions: URI of the table of decisions. None is decisions.csv beside the results, if it is there.
        only: Storyboards and shots to show, as storyboard=NAME or shot_id=NAME. None shows all.
    """
    try:
        settings = (SESSION.get() or await session_of_schedule()).settings
        order = await asyncio.to_thread(ReviewOrder.read, results, out, decisions, only or (), settings.network)
        board, problems = await write_review(settings, order)
    except FixInputError as error:
        return refused(error)
    await begin(publish_review(await asyncio.to_thread(shown_of, board, order.out)))
    missing = f"; {counted(len(problems.missing), 'clip')} missing" if problems.missing else ""
    return Completed(message=words_on(board) + missing)
