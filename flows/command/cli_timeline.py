"""The command `timeline`, as it is typed."""

from typing import Annotated

import typer

from flows.command.app import LOOK, app
from flows.command.command_end import end
from flows.command.options import AsJson, Debug, DecisionsOption, ResultsTables, StoryboardOnly
from flows.terminal import stderr


@app.command(rich_help_panel=LOOK, short_help="Write a cut for editing programs: OTIO, EDL, Final Cut 7.")
def timeline(
    results: ResultsTables,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="File to write: .otio, .otioz, .edl or .xml; for several storyboards with {storyboard} in its name.",
        ),
    ],
    *,
    fps: Annotated[
        float | None,
        typer.Option("--fps", metavar="N", show_default="that of most clips", help="Frames a second of the timeline."),
    ] = None,
    only: StoryboardOnly = [],  # noqa: B006 - typer copies it
    decisions: DecisionsOption = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    r"""Write a timeline of a storyboard: shots in order, of each the approved take, else the newest, notes as markers.

    A shot without a clip keeps its place. Each file is read back before it takes its place.
    Needs animatic\[timeline].
    """
    from flows.command.timeline_command import TimelineOptions, write_timelines  # noqa: PLC0415 - keeps --help quick

    options = TimelineOptions(tuple(results), output, fps, tuple(only), decisions)
    end(lambda: write_timelines(options, stderr(), as_json=as_json), debug=debug, as_json=as_json)
