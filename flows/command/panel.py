"""Progress on stderr: a live panel on a terminal, a plain line now and then where there is none."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from animatic.money.amounts import cost_in_words
from animatic.progress import ArchiveProgress, Progress
from animatic.takes.states import State
from flows.terminal import PlainConsole, printable

LINE_EVERY_S = 5.0
REFRESHES_PER_S = 4.0


@contextmanager
def panel(
    console: PlainConsole, progress: Progress, title: str, is_over: Callable[[], bool] = lambda: False
) -> Generator[None]:
    """Show the progress for the length of the block, or until `is_over`."""
    began = time.monotonic()
    if console.is_terminal:
        with Live(
            get_renderable=lambda: _picture(progress, title, time.monotonic() - began),
            console=console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
        ):
            yield
    else:

        def print_line() -> None:
            if not is_over():
                _print_line(console, progress, title, time.monotonic() - began)

        with _every(LINE_EVERY_S, print_line):
            yield


def _print_line(console: PlainConsole, progress: Progress, title: str, elapsed_s: float) -> None:
    if progress.total:  # before that the run is being planned, and there is nothing to tell
        console.print(f"{title}: {line(progress, elapsed_s)}")


def line(progress: Progress, elapsed_s: float) -> str:
    """Return the progress in one line: done, in flight, cached, failed, NSFW, dollars, rate, ETA."""
    states = progress.by_state()
    failed = states[State.FAILED] + states[State.REJECTED]
    parts = [
        f"{progress.done:,}/{progress.total:,} done",
        f"{progress.in_flight:,} in flight",
        f"{progress.cached.total():,} cached",
        f"{failed:,} failed",
        f"{progress.flagged:,} NSFW",
        *([f"{progress.not_judged:,} not judged"] if progress.not_judged else []),
        cost_in_words(*progress.reserved),
        f"{per_minute(progress, elapsed_s):,.1f}/min",
        f"ETA {eta(progress, elapsed_s)}",
        *([archive_in_words(progress.archive)] if progress.archive.total else []),
    ]
    if unknown := states[State.UNKNOWN]:
        parts.insert(4, f"{unknown:,} UNKNOWN")
    return ", ".join(parts)


def archive_in_words(archive: ArchiveProgress) -> str:
    """Return the progress of the archive, such as `12/40 clips archived (60 MB)`."""
    received = f" ({archive.received_bytes / 1e6:,.0f} MB)" if archive.received_bytes >= 500_000 else ""
    failed = f", {archive.failed:,} failed" if archive.failed else ""
    problem = f"; {archive.problem}" if archive.problem else ""
    return f"{archive.kept:,}/{archive.total:,} clips archived{received}{failed}{problem}"


def per_minute(progress: Progress, elapsed_s: float) -> float:
    """Return how many takes this run has finished per minute so far."""
    return 60.0 * progress.settled_here / elapsed_s if elapsed_s > 0 else 0.0


def eta(progress: Progress, elapsed_s: float) -> str:
    """Return how long the rest will take at the rate so far, such as `2 min`; a dash before there is a rate."""
    rate = per_minute(progress, elapsed_s)
    if progress.left <= 0:
        return "0 s"
    if rate == 0:
        return "-"
    seconds = 60.0 * progress.left / rate
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"


def _picture(progress: Progress, title: str, elapsed_s: float) -> Group:
    """Draw the panel: a bar, then the numbers in columns."""
    states = progress.by_state()
    head = Table.grid(padding=(0, 1), expand=False)
    head.add_row(
        Text(printable(title), style="bold"),
        ProgressBar(total=max(progress.total, 1), completed=progress.done, width=30),
        Text(f"{progress.done:,}/{progress.total:,}"),
        Text(f"{per_minute(progress, elapsed_s):,.1f}/min", style="dim"),
        Text(f"ETA {eta(progress, elapsed_s)}", style="cyan"),
    )
    numbers = Table.grid(padding=(0, 2))
    numbers.add_row(
        _number("in flight", progress.in_flight, "blue"),
        _number("completed", states[State.COMPLETED], "green"),
        _number("cached", progress.cached.total(), "dim"),
        _number("failed", states[State.FAILED] + states[State.REJECTED], "red"),
        _number("unknown", states[State.UNKNOWN] + states[State.HELD], "bold red"),
        _number("NSFW", progress.flagged, "magenta"),
        *([_number("not judged", progress.not_judged, "magenta")] if progress.not_judged else []),
        Text(cost_in_words(*progress.reserved), style="yellow"),
    )
    archive = progress.archive
    if not archive.total:
        return Group(head, numbers)
    style = "bold red" if archive.problem else "" if archive.left else "dim"
    return Group(head, numbers, Text(printable(archive_in_words(archive)), style=style))


def _number(name: str, count: int, style: str) -> Text:
    return Text(f"{name} {count:,}", style=style if count else "dim")


@contextmanager
def _every(seconds: float, action: Callable[[], None]) -> Generator[None]:
    """Do something now and then, from a thread, until the block ends."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
