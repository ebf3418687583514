"""The `review` command: the page of results tables, written or served."""

import asyncio
import json
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from animatic import storage
from animatic.errors import SettingsError
from animatic.errors.text import shortened
from animatic.results.board import Board
from animatic.results.exit_codes import DONE, INCOMPLETE
from animatic.review.problems import Problems
from flows.command.next_steps import as_dict
from flows.command.served_review import ServedReview, serve_until_stopped
from flows.page_places import page_of
from flows.review import ReviewOrder, write_review
from flows.settings import Settings
from flows.shown_pages import words_on
from flows.terminal import PlainConsole, begin, say, say_json

MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """The options of `review`, as typed.

    Attributes:
        port: to serve on; None where the page is not served.
    """

    results: tuple[str, ...]
    out: str | None = None
    decisions: str | None = None
    only: tuple[str, ...] = ()
    opens: bool = False
    port: int | None = None
    as_json: bool = False


def show_review(options: ReviewOptions, console: PlainConsole) -> int:
    """Write the page, or serve it until it is interrupted; 0, or 3 where the page that was written lacks a clip.

    Raises:
        FixInputError: an option, a table, or a folder that cannot be written or holds something else.
    """
    settings = Settings.from_environment()
    order = ReviewOrder.read(options.results, options.out, options.decisions, options.only, settings.network)
    begin("reading the results …")
    if options.port is not None:
        return _serve(settings, order, options, options.port, console)

    def on_progress(done: int, total: int) -> None:
        begin(f"pictures: {done:,} of {total:,}")

    board, problems = asyncio.run(write_review(settings, order, on_progress))
    page = page_of(order.out)
    _say_notes(order, board, console)
    say_problems(problems, console)
    if options.as_json:
        counts = {
            "shots": len(board.shots),
            "takes": sum(len(shot.takes) for shot in board.shots),
            "problems": problems.missing,
        }
        say_json(json.dumps({"review": order.out, "page": page, **counts} | as_dict(None)))
    else:
        console.print(words_on(board))
        say(page)
    if options.opens:
        webbrowser.open(Path(page).as_uri() if Path(page).is_absolute() else page)
    return INCOMPLETE if problems.missing else DONE


def _serve(settings: Settings, order: ReviewOrder, options: ReviewOptions, port: int, console: PlainConsole) -> int:
    if storage.real_path(order.out) is None:
        raise SettingsError(
            f"--serve: found the folder {order.out}; allowed: one on this machine; give it as --out DIR"
        )

    def ready(address: str, board: Board) -> None:
        _say_notes(order, board, console)
        console.print(f"{words_on(board)}; decisions go to {order.files.decisions}")
        console.print("open this address, which lets one browser in, once; stop with Ctrl-C:")
        if options.as_json:
            say_json(json.dumps({"review": order.out, "address": address} | as_dict(None)))
        else:
            say(address)
        if options.opens:
            webbrowser.open(address)

    asyncio.run(serve_until_stopped(ServedReview(settings, order, console.print), port, ready))
    return 0


def _say_notes(order: ReviewOrder, board: Board, console: PlainConsole) -> None:
    for note in (*order.notes, *board.notes):
        console.print(f"note: {note}")


def say_problems(problems: Problems, console: PlainConsole) -> None:
    """Name the clips that a page lacks, and note the other media that it does without."""
    for line in shortened(problems.missing, MOST_SHOWN):
        console.print(line)
    for line in shortened(problems.notes, MOST_SHOWN):
        console.print(f"note: {line}")
