"""The `reel` command: one film of each storyboard. Prefect links them too, and cannot hold the command up."""

import asyncio
import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from animatic.errors.text import counted, shortened
from animatic.media.reel import ReelProgress
from animatic.results.exit_codes import DONE, INCOMPLETE
from flows.command.next_steps import NextStep, as_dict
from flows.command.panel import LINE_EVERY_S, REFRESHES_PER_S, every
from flows.command.shown import show_in_prefect
from flows.progress_words import left_in_words
from flows.reel import MADE, ReelOrder, ReelsMade, make_reels, reel
from flows.server.prefect_api import Start
from flows.settings import Settings
from flows.terminal import PlainConsole, begin, say, say_json
from tasks.reel import ReelShown, in_words

MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ReelOptions:
    """The options of `reel`, as typed."""

    results: tuple[str, ...]
    output: str
    decisions: str | None = None
    only: tuple[str, ...] = ()
    size: str | None = None
    fps: str | None = None
    burn_in: bool = False
    silent: bool = False
    slates: bool = True
    as_json: bool = False
    debug: bool = False

    def order(self) -> ReelOrder:
        """Return the order; as `ReelOrder.read`."""
        return ReelOrder.read(
            self.results, self.output, self.decisions, self.only, self.size, self.fps,
            burn_in=self.burn_in, silent=self.silent, slates=self.slates,
        )  # fmt: skip


def cut_reels(options: ReelOptions, console: PlainConsole, start: Start) -> int:
    """Make the reels, name them, and link them in Prefect; 0, or 3 where a clip is missing in one.

    Raises:
        FixInputError: an option, a table, or a place that cannot be written.
    """
    order, progress = options.order(), ReelProgress()
    begin("reading the results …")

    def on_reel(shown: ReelShown) -> None:
        if not options.as_json:
            say(f"{shown.reel.uri}: {in_words(shown)}")

    with _progress_shown(console, progress):
        made = asyncio.run(make_reels(Settings.from_environment(), order, progress, on_reel))
    step = _say_rest(made, options, console)
    untold = show_in_prefect(MADE, made, lambda: _flow_run(options), start, debug=options.debug)
    if untold is not None:
        console.print(f"note: Prefect does not show this reel ({untold})")
    if options.as_json:
        say_json(json.dumps(_as_json(made) | as_dict(step)))
    return INCOMPLETE if made.problems else DONE


def _flow_run(options: ReelOptions) -> Any:
    return reel(
        list(options.results), options.output, options.decisions, list(options.only), options.size, options.fps,
        options.burn_in, options.silent, options.slates, return_state=True,
    )  # fmt: skip


def _say_rest(made: ReelsMade, options: ReelOptions, console: PlainConsole) -> NextStep | None:
    """Name the clips that are missing, and return what brings them."""
    for problem in shortened(made.problems, MOST_SHOWN):
        console.print(problem)
    if made.unmatched:
        console.print(f"{counted(made.unmatched, 'decision')} on takes that no table has")
    if not made.problems:
        return None
    step = NextStep("fetch clips that are missing with animatic archive; WaveSpeed has them for 7 days")
    if not options.as_json:
        console.print(step.text)
    return step


@contextmanager
def _progress_shown(console: PlainConsole, progress: ReelProgress) -> Generator[None]:
    """Show the progress on stderr for the length of the block: a bar on a terminal, else a line now and then."""
    if console.is_terminal and not console.is_dumb_terminal:
        with Live(
            get_renderable=lambda: _bar(progress, console.width),
            console=console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
        ):
            yield
        return

    def print_line() -> None:
        if progress.total:
            console.print(f"reel: {_in_words(progress)}")

    with every(LINE_EVERY_S, print_line):
        yield


def _bar(progress: ReelProgress, width: int) -> Table | Text:
    if not progress.total:
        return Text("reading the results …")
    table = Table.grid(padding=(0, 1), expand=False)
    done = progress.reused + progress.encoded
    table.add_row(
        ProgressBar(progress.total, done, max(min(width - 50, 40), 8)), Text(_in_words(progress), no_wrap=True)
    )
    return table


def _in_words(progress: ReelProgress) -> str:
    """Return the counts of a reel under way, and the time that is left."""
    done, left_s = progress.reused + progress.encoded, progress.left_s(time.monotonic())
    if done >= progress.total:
        return f"{done:,}/{progress.total:,} shots, joining"
    return f"{done:,}/{progress.total:,} shots" + ("" if left_s is None else f", {left_in_words(left_s)}")


def _as_json(made: ReelsMade) -> dict[str, object]:
    return {
        "reels": [
            {
                "storyboard": each.storyboard,
                "uri": each.reel.uri,
                "shots": each.reel.shots,
                "slates": each.reel.slates,
                "width": each.reel.canvas.width,
                "height": each.reel.canvas.height,
                "fps": float(each.reel.canvas.fps),
                "frames": each.reel.pictures,
                "duration_s": round(each.reel.duration_s, 3),
                "has_sound": each.reel.has_sound,
                "encoded": each.reel.encoded,
                "reused": each.reel.reused,
                "problems": list(each.reel.problems),
            }
            for each in made.reels
        ],
        "unmatched_decisions": made.unmatched,
    }
