"""Commands of the job as they are typed: run, plan, results, reconcile."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from animatic.errors import SettingsError
from animatic.errors.text import shell_line, short_name
from animatic.media.clip_names import DEFAULT_CLIP_NAME
from flows.command.app import THE_JOB, app
from flows.command.command_end import end, prefect_started
from flows.command.options import (
    AcceptEstimates,
    AllowUnpriced,
    AsJson,
    Attempts,
    ChangedStills,
    CheckStills,
    ClipNameOption,
    Debug,
    DecisionsOption,
    DuckDB,
    FewerRows,
    FollowApproved,
    KeepPlan,
    Limit,
    Manifest,
    Map,
    Models,
    Only,
    PlanOption,
    Results,
    RetryFailed,
    ReviewOption,
    Sandbox,
    SkipInvalid,
    SpendUpTo,
    Stills,
)
from flows.server.gc_pause import gc_paused
from flows.terminal import begin, stderr

if TYPE_CHECKING:
    from animatic.planning.plan_file import PlanFile

OF_THE_PLAN = (
    *("max_usd", "skip_invalid", "retry_failed", "attempts", "only", "limit", "map_", "models"),
    *("stills", "check_stills", "decisions", "follow_approved", "fewer_rows", "changed_stills", "spend_up_to"),
)
"""Options of `run` that the file of a plan decides."""


@app.command(rich_help_panel=THE_JOB, short_help="Buy what was not bought yet, and write the results table.")
def run(
    context: typer.Context,
    manifest: Manifest = "",
    results: Results = "",
    *,
    plan: PlanOption = None,
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
    spend_up_to: SpendUpTo = None,
    yes: Annotated[bool, typer.Option("--yes", show_default="ask", help="Do not ask before buying.")] = False,
    skip_invalid: SkipInvalid = False,
    retry_failed: RetryFailed = False,
    attempts: Attempts = 1,
    accept_estimates: AcceptEstimates = False,
    allow_unpriced: AllowUnpriced = [],  # noqa: B006 - typer copies it
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
    review: ReviewOption = None,
    only: Only = [],  # noqa: B006 - typer copies it
    limit: Limit = None,
    map_: Map = [],  # noqa: B006 - as above
    models: Models = None,
    stills: Stills = None,
    check_stills: CheckStills = False,
    decisions: DecisionsOption = None,
    follow_approved: FollowApproved = False,
    fewer_rows: FewerRows = False,
    changed_stills: ChangedStills = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Buy every take of a manifest that was not bought before, and write the results table.

    Safe to run again at any time, after any crash: nothing that was bought is bought again.
    """

    def command() -> int:
        if no_archive and archive is not None:
            raise SettingsError("--no-archive: found --archive beside it; give one of them")
        _require_one_source(context, manifest, plan, allow_unpriced)
        _require_results(manifest or plan or "", results)
        begin(f"{short_name(manifest or plan or '')}: reading …")
        kept = _opened(plan)
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
                RowOptions(
                    *(only, limit, map_, models, stills, check_stills, decisions, follow_approved),
                    fewer_rows=fewer_rows,
                    changed_stills=changed_stills,
                ),
                accept_estimates,
                review=review,
                spend_up_to=spend_up_to,
            )
            if kept is not None:
                options = options.of_plan(kept, allow_unpriced)
            return run_manifest(options, stderr(), start)

    end(command, debug=debug, as_json=as_json)


@app.command(rich_help_panel=THE_JOB, short_help="Say what a run would buy, cost and take. Buys nothing.")
def plan(
    manifest: Manifest,
    *,
    sandbox: Sandbox = False,
    skip_invalid: SkipInvalid = False,
    retry_failed: RetryFailed = False,
    attempts: Attempts = 1,
    only: Only = [],  # noqa: B006 - typer copies it
    limit: Limit = None,
    map_: Map = [],  # noqa: B006 - as above
    models: Models = None,
    stills: Stills = None,
    check_stills: CheckStills = False,
    decisions: DecisionsOption = None,
    follow_approved: FollowApproved = False,
    spend_up_to: SpendUpTo = None,
    output: KeepPlan = None,
    changed_stills: ChangedStills = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Validate and count: new, cached, resumable, unknown, and what it will cost. Submits nothing."""
    begin(f"{short_name(manifest)}: reading …")
    from animatic.takes.states import BuyingPolicy  # noqa: PLC0415 - keeps --help quick
    from flows.command.commands import show_plan  # noqa: PLC0415 - the same
    from flows.order import RowOptions  # noqa: PLC0415 - the same

    end(
        lambda: show_plan(
            manifest,
            RowOptions(
                *(only, limit, map_, models, stills, check_stills, decisions, follow_approved),
                changed_stills=changed_stills,
            ),
            sandbox=sandbox,
            skip_invalid=skip_invalid,
            policy=BuyingPolicy(retry_failed, attempts, changed_stills),
            output=output,
            as_json=as_json,
            spend_up_to=spend_up_to,
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
    stills: Stills = None,
    decisions: DecisionsOption = None,
    duckdb: DuckDB = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write the results table again from the ledger, without touching the API."""
    from flows.command.results_command import rewrite_results  # noqa: PLC0415 - keeps --help quick
    from flows.order import RowOptions  # noqa: PLC0415 - the same

    def command() -> int:
        _require_results(manifest, results)
        rows = RowOptions(only, limit, map_, models, stills, decisions=decisions)
        return rewrite_results(
            manifest,
            results,
            rows,
            stderr(),
            sandbox=sandbox,
            skip_invalid=skip_invalid,
            as_json=as_json,
            duckdb=duckdb,
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


def _require_one_source(context: typer.Context, manifest: str, plan: str | None, allow_unpriced: Sequence[str]) -> None:
    """Refuse a run of nothing, or of a manifest and a plan at once, and options that the plan decides.

    Raises:
        SettingsError: what to leave out, or to give.
    """
    if plan is None:
        if not manifest:
            raise SettingsError("MANIFEST: not given; allowed: the file of shots, or --plan FILE")
        if allow_unpriced:
            raise SettingsError(
                "--allow-unpriced: found without --plan; allowed: beside it. Without a plan give --max-usd"
            )
        return
    beside = [manifest] if manifest else []
    beside += [
        f"--{name.rstrip('_').replace('_', '-')}"
        for name in OF_THE_PLAN
        if str(getattr(context.get_parameter_source(name), "name", "")) == "COMMANDLINE"
    ]
    if beside:
        raise SettingsError(
            f"--plan: found {', '.join(beside)} beside it; allowed: none of them, since the plan has the manifest, its "
            "options and the limit. Make another plan to change them"
        )


def _opened(plan: str | None) -> "PlanFile | None":
    if plan is None:
        return None
    from flows.command.plan_files import open_plan  # noqa: PLC0415 - keeps --help quick

    return open_plan(plan)


def _require_results(manifest: str, results: str) -> None:
    """Refuse a command without `--results`, and give the whole of it. Raises SettingsError."""
    if not results:
        table = f"{short_name(manifest).partition('.')[0] or 'shots'}-results.csv"
        whole = shell_line(["animatic", *sys.argv[1:], "--results", table])
        raise SettingsError(
            "--results: not given; allowed: where the table goes, as .parquet, .csv, .jsonl or .xlsx. Type:\n"
            f"    {whole}"
        )
