"""The application behind `animatic`: its groups of commands, and what it says of itself."""

from typing import Annotated

import typer

from flows.terminal import say

THE_JOB, LOOK, KEEP, SET_UP = "The job", "Look", "Keep", "Set up"

app = typer.Typer(
    name="animatic",
    help="From a manifest of stills and prompts to clips and a results table: "
    "never pay twice, never lose a shot, keep the account's limits full.",
    epilog="Begin with: animatic demo. Then: animatic plan shots.csv --sandbox, and animatic run shots.csv --results "
    "out.parquet --sandbox. Settings come from the environment, WAVESPEED_API_KEY and ANIMATIC_*: the README lists "
    "them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version  # noqa: PLC0415 - keeps --help quick

        say(f"animatic {version('animatic')}")
        raise typer.Exit


@app.callback()
def animatic(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, show_default="no", help="Show the version."),
    ] = False,
) -> None:
    """From a manifest of stills and prompts to clips and a results table.

    Never pay twice, never lose a shot, keep the account's limits full.
    """
