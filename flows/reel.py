"""Reels of storyboards: one film each, of the takes that their results tables and decisions pick. Buys nothing."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from animatic.errors import FixInputError, SettingsError
from animatic.errors.text import counted
from animatic.machine.home import cache_folder
from animatic.manifest.selection import read_only
from animatic.media.processes import Processes
from animatic.media.reel import ReelMaker, ReelProgress, ReelStyle
from animatic.media.reel_cache import SegmentCache
from animatic.media.reel_shots import read_fps, read_size
from animatic.results.board import Storyboard
from animatic.results.boards import find_board_files, read_board
from flows.flow_states import refused
from flows.schedule import session_of_schedule
from flows.session import new_run_id
from flows.settings import Settings
from flows.storyboard_shots import shots_of
from flows.storyboards import chosen_storyboards, names_of, with_file_names
from tasks.begun import begin
from tasks.deployment import deployment_name
from tasks.reel import ReelShown, publish_reels

SUFFIX = ".mp4"

OnReel = Callable[[ReelShown], object]
"""Gets each reel as soon as it is written."""


@dataclass(frozen=True, slots=True)
class ReelOrder:
    """Request for reels, checked.

    Attributes:
        output: URI of a file for one storyboard, or of a folder for several.
        decisions: URI of the decisions; None for those beside the results.
    """

    results: tuple[str, ...]
    output: str
    decisions: str | None
    only: Mapping[str, Sequence[str]]
    style: ReelStyle

    @classmethod
    def read(  # noqa: PLR0913, PLR0917 - the options of the command
        cls,
        results: Sequence[str],
        output: str,
        decisions: str | None = None,
        only: Sequence[str] = (),
        size: str | None = None,
        fps: str | None = None,
        *,
        burn_in: bool = False,
        silent: bool = False,
        slates: bool = True,
    ) -> Self:
        """Read options as they are typed.

        Raises:
            SettingsError: one of them is not allowed.
        """
        try:
            shape = None if size is None else read_size(size)
        except ValueError as error:
            raise SettingsError(f"--size: {error}") from None
        try:
            rate = None if fps is None else read_fps(fps)
        except ValueError as error:
            raise SettingsError(f"--fps: {error}") from None
        style = ReelStyle(burn_in, silent, shape, rate, slates)
        return cls(tuple(results), output, decisions, read_only(only), style)


@dataclass(frozen=True, slots=True)
class ReelsMade:
    """Reels that were made, in the order of their storyboards.

    Attributes:
        unmatched: number of decisions on takes that no table has.
    """

    reels: tuple[ReelShown, ...]
    unmatched: int

    @property
    def problems(self) -> list[str]:
        """Clips that should be in the reels and are not, a sentence each."""
        return [problem for shown in self.reels for problem in shown.reel.problems]

    @property
    def sentence(self) -> str:
        """Return the outcome in a sentence."""
        shots, slates = (sum(each.reel.shots for each in self.reels), sum(each.reel.slates for each in self.reels))
        missing = f"; {counted(len(self.problems), 'clip')} missing" if self.problems else ""
        return f"{counted(len(self.reels), 'reel')} of {counted(shots, 'shot')}, {slates:,} of them slates{missing}"


MADE: ContextVar[ReelsMade | None] = ContextVar("animatic_reels", default=None)
"""The reels that the command has made already; a schedule makes them in the flow."""


async def make_reels(
    settings: Settings, order: ReelOrder, progress: ReelProgress | None = None, on_reel: OnReel = lambda _: None
) -> ReelsMade:
    """Make the reel of each storyboard.

    Raises:
        FixInputError: a table cannot be read, a reel cannot be written, or several storyboards would have one file.
    """
    files = await asyncio.to_thread(find_board_files, order.results, order.decisions, settings.network)
    board = await asyncio.to_thread(read_board, files, settings.network)
    places = places_of(chosen_storyboards(board, order.only), order.output)
    cache = await asyncio.to_thread(SegmentCache, cache_folder(os.environ) / "reel")
    made, counts = list[ReelShown](), progress or ReelProgress()
    counts.total = sum(len(storyboard.shots) for storyboard, _ in places)
    async with Processes() as processes:
        maker = ReelMaker(cache, processes, settings.network, settings.base_url, counts)
        for storyboard, uri in places:
            reel = await maker.make(shots_of(storyboard), order.style, uri)
            made.append(ReelShown(storyboard.name, reel))
            on_reel(made[-1])
    return ReelsMade(tuple(made), len(board.unmatched))


def places_of(storyboards: Sequence[Storyboard], output: str) -> list[tuple[Storyboard, str]]:
    """Return each storyboard with the file of its reel: the output itself, or one in it as in a folder.

    Raises:
        SettingsError: several would have one file.
    """
    if not output.lower().endswith(SUFFIX):
        return [(each, f"{output.rstrip('/')}/{name}{SUFFIX}") for each, name in with_file_names(storyboards)]
    if len(storyboards) == 1:
        return [(storyboards[0], output)]
    folder = output[: -len(SUFFIX)] or "reels"
    raise SettingsError(
        f"-o {output}: found {len(storyboards)} storyboards ({names_of(storyboards)}); allowed: one in a file; give a "
        f"folder for a file each, such as -o {folder}/, or one of them as --only storyboard=NAME"
    )


def name_run() -> str:
    """Return `reel` and an id that sorts by time."""
    return f"reel {new_run_id()}"


@flow(name="reel", flow_run_name=name_run, persist_result=False)
async def reel(  # noqa: PLR0913, PLR0917 - a schedule gives them by name
    results: list[str],
    out: str,
    decisions: str | None = None,
    only: list[str] | None = None,
    size: str | None = None,
    fps: str | None = None,
    burn_in: bool = False,
    silent: bool = False,
    slates: bool = True,
) -> State[None]:
    """Make one film of each storyboard, and link it. Buys nothing.

    Args:
        results: URIs of results tables, oldest first; patterns and folders too.
        out: URI of an MP4 for one storyboard, or of a folder for several.
        decisions: URI of `decisions.csv`; None for the one beside the results, if it is there.
        only: `storyboard=NAME` or `shot_id=NAME`, any number of them.
        size: such as `1920x1080`; None for that of most clips.
        fps: such as `25`; None for that of most clips.
        burn_in: show shot, take and timecode in each picture.
        silent: leave sound out.
        slates: show a slate for each shot without a clip.
    """
    try:
        made = MADE.get()
        if made is None:
            session = await session_of_schedule()
            order = ReelOrder.read(
                results, out, decisions, only or (), size, fps, burn_in=burn_in, silent=silent, slates=slates
            )
            made = await make_reels(session.settings, order)
    except FixInputError as error:
        return refused(error)
    await begin(publish_reels(made.reels, await deployment_name()))
    state = Failed if made.problems else Completed
    return state(message=made.sentence)
