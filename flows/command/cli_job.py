"""Commands of the job as they are typed: run, plan, results, reconcile."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from animatic.errors import SettingsError
from animatic.media.clip_names import DEFAULT_CLIP_NAME
from flows.command.app import THE_JOB, app
from flows.command.command_end import end, prefect_started
from flows.command.options import (
    AsJson,
    ClipNameOption,
    Debug,
    Limit,
    Manifest,
    Map,
    Models,
    Only,
    Results,
    RetryFailed,
    Sandbox,
    SkipInvalid,
)
from flows.server.gc_pause import gc_paused
from flows.terminal import begin, stderr


@app.command(rich_help_panel=THE_JOB, short_help="Buy what was not bought yet, and write the results table.")
def run(
    manifest: Manifest,
    results: Results = "",
    *,
    sandbox: Sandbox = False,
    max_usd: Annotated[
        float | None,
        typer.Option(
            "--max-usd",
            metavar="N",
            min=0,
            show_default="what you agree to",
            help="Never commit more than N dollars in this run.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", show_default="ask", help="Do not ask before buying.")] = False,
    skip_invalid: SkipInvalid = False,
    retry_failed: RetryFailed = False,
    attempts: Annotated[
        int,
        typer.Option(
            "--attempts", min=1, max=10, help="How often a take may be bought when WaveSpeed reports its own failure."
        ),
    ] = 1,
    new_ledger: Annotated[
        str | None,
        typer.Option(
            "--new-ledger",
            metavar="[DATE]",
            show_default="refuse to",
            help="Let an unattended run begin a new ledger; DATE is today's, in UTC.",
        ),
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option(
            "--archive", metavar="URI", show_default="STEM.clips beside the results", help="Folder for the clips."
        ),
    ] = None,
    no_archive: Annotated[
        bool, typer.Option("--no-archive", show_default="archive", help="Leave the clips where they are: for 7 days.")
    ] = False,
    clip_name: ClipNameOption = DEFAULT_CLIP_NAME,
    only: Only = [],  # noqa: B006 - typer copies it
    limit: Limit = None,
    map_: Map = [],  # noqa: B006 - as above
    models: Models = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Buy every take of a manifest that was not bought before, and write the results table.

    Safe to run again at any time, after any crash: nothing that was bought is bought again.
    """

    def command() -> int:
        if no_archive and archive is not None:
            raise SettingsError("--no-archive: found --archive beside it; give one of them")
        _require_results(manifest, results)
        begin(f"{Path(manifest).name}: reading …")
        with prefect_started() as start:
            with gc_paused():
                from flows.command.commands import RunOptions, run_manifest  # noqa: PLC0415 - while the server comes up
                from flows.order import RowOptions  # noqa: PLC0415 - the same

            options = RunOptions(
                manifest,
                results,
                sandbox,
                max_usd,
                yes,
                skip_invalid,
                retry_failed,
                attempts,
                as_json,
                debug,
                new_ledger,
                "" if no_archive else archive,
                clip_name,
                RowOptions(only, limit, map_, models),
            )
            return run_manifest(options, stderr(), start)

    end(command, debug=debug, as_json=as_json)


@app.command(rich_help_panel=THE_JOB, short_help="Say what a run would buy, cost and take. Buys nothing.")
def plan(
    manifest: Manifest,
    *,
    sandbox: Sandbox = False,
    skip_invalid: SkipInvalid = False,
    retry_failed: RetryFailed = False,
    only: Only = [],  # noqa: B006 - typer copies it
    limit: Limit = None,
    map_: Map = [],  # noqa: B006 - as above
    models: Models = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Validate and count: new, cached, resumable, unknown, and what it will cost. Submits nothing."""
    begin(f"{Path(manifest).name}: reading …")
    from flows.command.commands import show_plan  # noqa: PLC0415 - keeps --help quick
    from flows.order import RowOptions  # noqa: PLC0415 - the same

    end(
        lambda: show_plan(
            manifest,
            RowOptions(only, limit, map_, models),
            sandbox=sandbox,
            skip_invalid=skip_invalid,
            retry_failed=retry_failed,
            as_json=as_json,
        ),
        debug=debug,
        as_json=as_json,
    )


@app.command(rich_help_panel=THE_JOB, short_help="Write the results table again, from the ledger alone.")
def results(
    manifest: Manifest,
    results: Results = "",
    *,
    sandbox: Sandbox = False,
    skip_invalid: SkipInvalid = False,
    only: Only = [],  # noqa: B006 - typer copies it
    limit: Limit = None,
    map_: Map = [],  # noqa: B006 - as above
    models: Models = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write the results table again from the ledger, without touching the API."""
    from flows.command.commands import rewrite_results  # noqa: PLC0415 - keeps --help quick
    from flows.order import RowOptions  # noqa: PLC0415 - the same

    def command() -> int:
        _require_results(manifest, results)
        rows = RowOptions(only, limit, map_, models)
        return rewrite_results(
            manifest, results, rows, stderr(), sandbox=sandbox, skip_invalid=skip_invalid, as_json=as_json
        )

    end(command, debug=debug, as_json=as_json)


@app.command(rich_help_panel=THE_JOB, short_help="Settle takes of which it is not known if they were bought.")
def reconcile(
    *,
    adopt: Annotated[
        list[str] | None,
        typer.Option(
            "--adopt",
            metavar="FINGERPRINT=PREDICTION_ID",
            show_default="none",
            help="By hand: the take is that prediction.",
        ),
    ] = None,
    absent: Annotated[
        list[str] | None,
        typer.Option(
            "--absent", metavar="FINGERPRINT", show_default="none", help="By hand: the take was not bought, and may be."
        ),
    ] = None,
    abandon: Annotated[
        list[str] | None,
        typer.Option(
            "--abandon",
            metavar="FINGERPRINT",
            show_default="none",
            help="By hand: the take never came; --retry-failed may buy it again.",
        ),
    ] = None,
    sandbox: Sandbox = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Settle `unknown` and `held` takes against WaveSpeed's list of predictions, or by hand. Buys nothing.

    Ends with 4 while some are left. Absence is proven by two readings of the list ANIMATIC_SETTLE_S apart.
    """
    from flows.command.reconcile_command import ByHand, run_reconcile  # noqa: PLC0415 - keeps --help quick

    by_hand = ByHand(adopt or (), absent or (), abandon or ())
    end(lambda: run_reconcile(by_hand, stderr(), sandbox=sandbox, as_json=as_json), debug=debug, as_json=as_json)


def _require_results(manifest: str, results: str) -> None:
    """Refuse a command without `--results`, and give the whole of it. Raises SettingsError."""
    if not results:
        from animatic.text import shell_line  # noqa: PLC0415 - keeps --help quick

        table = f"{Path(manifest).name.partition('.')[0] or 'shots'}-results.csv"
        whole = shell_line(["animatic", *sys.argv[1:], "--results", table])
        raise SettingsError(
            f"--results: not given; allowed: where the table goes, as .parquet, .csv or .jsonl. Type:\n    {whole}"
        )
