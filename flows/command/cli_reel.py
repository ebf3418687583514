"""The command `reel`, as it is typed."""

from typing import Annotated

import typer

from flows.command.app import LOOK, app
from flows.command.command_end import end, prefect_started
from flows.command.options import AsJson, Debug, DecisionsOption, ResultsTables, StoryboardOnly
from flows.terminal import stderr


@app.command(rich_help_panel=LOOK, short_help="Cut one film of each storyboard.")
def reel(
    results: ResultsTables,
    output: Annotated[
        str,
        typer.Option("-o", "--output", metavar="FILE.mp4|DIR", help="File of one storyboard, or folder for several."),
    ],
    *,
    decisions: DecisionsOption = None,
    only: StoryboardOnly = [],  # noqa: B006 - typer copies it
    burn_in: Annotated[
        bool, typer.Option("--burn-in", show_default="no", help="Show shot, take and timecode in each picture.")
    ] = False,
    silent: Annotated[bool, typer.Option("--silent", show_default="as the clips are", help="Leave sound out.")] = False,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", show_default="that of most clips", help="Size, such as 1920x1080."),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option("--fps", metavar="N", show_default="that of most clips", help="Frames a second, such as 23.976."),
    ] = None,
    no_slates: Annotated[
        bool,
        typer.Option("--no-slates", show_default="show slates", help="Leave shots without a clip out."),
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Cut one film of each storyboard: shots in order, of each the approved take or else the newest. Buys nothing.

    A shot without a clip is a slate with its still and its prompt. What did not change is not encoded again. Ends with
    3 where a clip is missing or cannot be read.
    """

    def command() -> int:
        with prefect_started() as start:
            from flows.command.reel_command import ReelOptions, cut_reels  # noqa: PLC0415 - keeps --help quick

            typed = ReelOptions(
                tuple(results),
                output,
                decisions,
                tuple(only),
                size,
                fps,
                burn_in,
                silent,
                not no_slates,
                as_json,
                debug,
            )
            return cut_reels(typed, stderr(), start)

    end(command, debug=debug, as_json=as_json)
