"""The command `review`, as it is typed."""

from typing import Annotated

import typer

from flows.command.app import LOOK, app
from flows.command.command_end import end
from flows.command.options import AsJson, Debug, DecisionsOption, ResultsTables, StoryboardOnly
from flows.terminal import stderr


@app.command(rich_help_panel=LOOK, short_help="Make the review page: every shot beside its still.")
def review(
    results: ResultsTables,
    *,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="DIR", show_default="STEM.review beside the results", help="Folder of the page, or a URI."
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", show_default="no", help="Open the page in a browser.")] = False,
    decisions: DecisionsOption = None,
    only: StoryboardOnly = [],  # noqa: B006 - typer copies it
    serve: Annotated[
        bool,
        typer.Option("--serve", show_default="no", help="Serve it on 127.0.0.1 until Ctrl-C, and save decisions."),
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            "--port", min=0, max=65_535, show_default="a free one", help="With --serve: the port; 0 picks one."
        ),
    ] = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make the page on which people look at takes, compare and decide: one folder, good from disk and from a bucket.

    Run it again at any time: pictures that are there are not made again. Buys nothing.
    """
    from flows.command.review_command import ReviewOptions, show_review  # noqa: PLC0415 - keeps --help quick

    options = ReviewOptions(tuple(results), out, decisions, tuple(only), open_, port if serve else None, as_json)
    end(lambda: show_review(options, stderr()), debug=debug, as_json=as_json)
