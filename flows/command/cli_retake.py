"""The command `retake`, as it is typed."""

from typing import Annotated

import typer

from flows.command.app import LOOK, app
from flows.command.command_end import end
from flows.command.options import AsJson, Debug, DecisionsOption, ResultsTables
from flows.terminal import stderr


@app.command(rich_help_panel=LOOK, short_help="Write the next manifest: just what was asked for again.")
def retake(
    results: ResultsTables,
    output: Annotated[
        str,
        typer.Option("-o", "--output", metavar="MANIFEST", help="File to write: .csv, .tsv, .jsonl or .parquet."),
    ],
    *,
    decisions: DecisionsOption = None,
    stills: Annotated[
        str | None,
        typer.Option(
            "--stills",
            metavar="URI",
            show_default="as the results say",
            help="Folder of stills and other files that lie in the manifest itself, or whose folder no table says.",
        ),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write the manifest of the retakes: each shot that was asked for again, as it was bought or with its new prompt.

    Running it buys exactly those takes. A request that takes were bought for is not asked again. Buys nothing; ends
    with 3 where a request can be in no manifest.
    """
    from flows.command.retake_command import RetakeOptions, write_retakes  # noqa: PLC0415 - keeps --help quick

    options = RetakeOptions(tuple(results), output, decisions, stills)
    end(lambda: write_retakes(options, stderr(), as_json=as_json), debug=debug, as_json=as_json)
