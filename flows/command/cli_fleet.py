"""Commands for schedules and workers, as they are typed: init, serve."""

from pathlib import Path
from typing import Annotated

import typer

from flows.command.app import SET_UP, app
from flows.command.command_end import end
from flows.command.options import Debug
from flows.terminal import stderr


@app.command(rich_help_panel=SET_UP, short_help="Write a prefect.yaml: what runs on a schedule.")
def init(
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="Where to write it.")] = ".",
    *,
    manifest: Annotated[
        str, typer.Option("--manifest", metavar="URI", help="The manifest that is run on a schedule.")
    ] = "shots.csv",
    results: Annotated[str, typer.Option("--results", metavar="URI", help="Its results table.")] = "results.parquet",
    force: Annotated[
        bool, typer.Option("--force", show_default="refuse", help="Replace a prefect.yaml that is there.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Write a commented prefect.yaml into a folder: deployments of animatic, for animatic serve or a Prefect server."""
    from flows.command.starting_file import InitOptions, write_deployments  # noqa: PLC0415 - keeps --help quick

    options = InitOptions(folder, manifest, results, force)
    end(lambda: write_deployments(options, stderr()), debug=debug)


@app.command(rich_help_panel=SET_UP, short_help="Serve the deployments of a prefect.yaml.")
def serve(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Deployments; animatic init writes one.")] = Path(
        "prefect.yaml"
    ),
    *,
    only: Annotated[
        list[str],
        typer.Option(
            "--only", metavar="NAME", show_default="all", help="Only this deployment; may be given several times."
        ),
    ] = [],  # noqa: B006 - typer's way
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Port of Prefect's pages; any other if it is taken.")
    ] = 4200,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", metavar="N", min=1, show_default="one more than deployments", help="The most runs at once."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Serve the deployments of a prefect.yaml from this process: runs are its children, with its environment.

    On the server that PREFECT_API_URL names; without it, on one of its own, on 127.0.0.1. Until Ctrl-C.
    """
    from flows.server.serve import ServeOptions, main  # noqa: PLC0415 - keeps --help quick

    raise typer.Exit(main(ServeOptions(file, only, port, limit), debug=debug))
