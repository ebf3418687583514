"""Progress on stderr: a live panel on a terminal, a plain line now and then where there is none."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from animatic.errors.text import duration_in_words, printable
from animatic.progress import Progress
from animatic.takes.money.amounts import cost_in_words
from flows.progress_words import Observer, Shown, archive_in_words, checks_in_words, counts, left_in_words, line
from flows.terminal import PlainConsole, folded

LINE_EVERY_S = 5.0
LINES_THIN_OUT_AFTER_S = 60.0
"""After that a line comes when a twelfth of the time so far has passed: a log of a night has some hundred lines."""

REFRESHES_PER_S = 4.0


@contextmanager
def panel(
    console: PlainConsole, progress: Progress, title: str, is_over: Callable[[], bool] = lambda: False
) -> Generator[None]:
    """Show the progress for the length of the block, or until `is_over`."""
    observer = Observer(progress)
    if console.is_terminal and not console.is_dumb_terminal:
        with Live(
            get_renderable=lambda: _picture(progress, title, observer.look(), console.width),
            console=console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
        ):
            yield
    else:
        said_at = 0.0

        def print_line() -> None:
            nonlocal said_at
            shown = observer.look()
            is_due = shown.elapsed_s < LINES_THIN_OUT_AFTER_S or shown.elapsed_s > said_at * 13 / 12
            if not is_over() and is_due:
                said_at = shown.elapsed_s
                text = line(progress, shown) if progress.total else "; ".join(["starting …", *shown.waits_for])
                console.print(f"{title}: {text}")

        with every(LINE_EVERY_S, print_line):
            yield


def _picture(progress: Progress, title: str, shown: Shown, width: int) -> Group:
    """Draw the panel: a bar, the counts, and what the run waits for."""
    waits = [line for part in shown.waits_for for line in _folded(part, "yellow", width)]
    if not progress.total:
        begun = f"{printable(title)}: starting … {shown.elapsed_s:.0f} s"
        return Group(Text(begun, style="bold", no_wrap=True, overflow="ellipsis"), *waits)
    left = left_in_words(shown.left_s) if progress.left else f"finishing, {duration_in_words(shown.elapsed_s)} so far"
    done = f"{progress.done:,}/{progress.total:,}"
    bar = max(min(width - cell_len(title) - len(done) - len(left) - 6, 40), 8)
    head = Table.grid(padding=(0, 1), expand=False)
    head.add_row(
        Text(printable(title), style="bold", no_wrap=True, overflow="ellipsis"),
        ProgressBar(progress.total, progress.done, bar, complete_style="cyan", finished_style="green"),
        Text(done, no_wrap=True),
        Text(left, style="cyan", no_wrap=True),
    )
    said = [*counts(progress), (cost_in_words(*progress.reserved), "yellow")]
    lines: list[Table | Text] = [head, *_in_lines(said, width)]
    archive = progress.archive
    if archive.total:
        style = "bold red" if archive.problem else "" if archive.left else "dim"
        lines += _folded(archive_in_words(archive), style, width)
    if progress.checks.total:
        lines += _folded(checks_in_words(progress.checks), "" if progress.checks.left else "dim", width)
    return Group(*lines, *waits)


def _in_lines(parts: Sequence[tuple[str, str]], width: int) -> list[Text]:
    """Return texts of different colours one after the other, in as many lines as they need."""
    lines = [Text("  ")]
    for text, style in parts:
        is_first = len(lines[-1]) <= 2
        if not is_first and lines[-1].cell_len + cell_len(text) + 3 > width:
            lines.append(Text("  "))
            is_first = True
        lines[-1].append("" if is_first else " · ")
        lines[-1].append(text, style=style or None)
    return lines


def _folded(text: str, style: str, width: int) -> list[Text]:
    return [Text(line, style=style) for line in folded(f"  {printable(text)}", width).split("\n")]


@contextmanager
def every(seconds: float, action: Callable[[], None]) -> Generator[None]:
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
