"""The `animatic` command. It imports Prefect, and a flow, only inside the command that runs one."""

import contextlib
import json
import re
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from animatic.errors import AnimaticError, FixInputError, LocationError, ManifestError, SettingsError
from animatic.machine.privacy import keep_private
from animatic.media.clip_names import DEFAULT_CLIP_NAME
from animatic.pace.limits import LEVELS
from animatic.results.exit_codes import INTERRUPTED, REFUSED, UNFORESEEN
from flows import process
from flows.command.options import (
    AsJson,
    ClipNameOption,
    Debug,
    Limit,
    Manifest,
    Map,
    Only,
    Results,
    RetryFailed,
    Sandbox,
    SkipInvalid,
    one_of,
)
from flows.server.gc_pause import gc_paused
from flows.terminal import begin, complain, say, say_json, stderr

if TYPE_CHECKING:
    from flows.server.prefect_api import Start

SHAPES = ("card", "recorded")
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
        with _prefect() as start:
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
                RowOptions(only, limit, map_),
            )
            return run_manifest(options, stderr(), start)

    _end(command, debug=debug, as_json=as_json)


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
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Validate and count: new, cached, resumable, unknown, and what it will cost. Submits nothing."""
    begin(f"{Path(manifest).name}: reading …")
    from flows.command.commands import show_plan  # noqa: PLC0415 - keeps --help quick
    from flows.order import RowOptions  # noqa: PLC0415 - the same

    _end(
        lambda: show_plan(
            manifest,
            RowOptions(only, limit, map_),
            sandbox=sandbox,
            skip_invalid=skip_invalid,
            retry_failed=retry_failed,
            as_json=as_json,
        ),
        debug=debug,
        as_json=as_json,
    )


@app.command(rich_help_panel=SET_UP, short_help="Run a bundled storyboard in the sandbox: no key, no cost.")
def demo(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results and clips go.")] = Path(
        "animatic-demo"
    ),
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run the bundled manifest against the embedded sandbox: no key, no network, no cost. Shows where the clips are."""

    def command() -> int:
        begin("starting …")
        with _prefect() as start:
            with gc_paused():
                from flows.command.demo import run_demo  # noqa: PLC0415 - while the server comes up

            return run_demo(out, stderr(), start, as_json=as_json, debug=debug)

    _end(command, debug=debug, as_json=as_json)


@app.command(rich_help_panel=SET_UP, short_help="Make a starter manifest from a folder of stills.")
def new(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder with stills.")],
    *,
    debug: Debug = False,
) -> None:
    """Write a starter manifest, shots.csv, into a folder of stills: one row for each."""
    from flows.command.starter import make_starter  # noqa: PLC0415 - keeps --help quick

    _end(lambda: make_starter(folder, stderr()), debug=debug)


@app.command(rich_help_panel=SET_UP, short_help="List the models that make a clip of a still; show one.")
def models(
    model: Annotated[str | None, typer.Argument(metavar="[ID]", help="A model, to see what it takes.")] = None,
    *,
    folder: Annotated[
        Path | None,
        typer.Option("--models", metavar="DIR", show_default="ask WaveSpeed", help="Read the list from JSON files."),
    ] = None,
    sandbox: Sandbox = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List the models that make a clip of a still; with an ID, show its inputs, a manifest's header and a quote."""
    from flows.command.models_command import ModelsOptions, show_models  # noqa: PLC0415 - keeps --help quick

    _end(lambda: show_models(ModelsOptions(model, folder, sandbox, as_json)), debug=debug, as_json=as_json)


@app.command(rich_help_panel=SET_UP, short_help="Say whether all that a run needs works.")
def doctor(
    *,
    sandbox: Sandbox = False,
    buy_one: Annotated[
        bool,
        typer.Option(
            "--buy-one",
            show_default="buy nothing",
            help="Buy one take, for what only the live API can tell; keep its replies.",
        ),
    ] = False,
    max_usd: Annotated[
        float | None,
        typer.Option(
            "--max-usd", metavar="N", min=0, show_default="none", help="The most that this take may cost, in dollars."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where that take and its replies go.")] = Path(
        "animatic-doctor"
    ),
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Look at what a run would use, and whether it works: key, API, clock, balance, ledger, disks, Prefect, proxies.

    Buys nothing without --buy-one. Ends with 2 where something is in the way of a run.
    """

    def command() -> int:
        with _prefect() as start:
            with gc_paused():
                from flows.command.doctor.examination import DoctorOptions, run_doctor  # noqa: PLC0415 - keeps --help quick

            return run_doctor(DoctorOptions(sandbox, buy_one, max_usd, out, as_json, debug), stderr(), start)

    _end(command, debug=debug, as_json=as_json)


@app.command(rich_help_panel=LOOK, short_help="Show Prefect's pages on past runs.")
def ui(
    *,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Whether to open the newest run in a browser.")
    ] = True,
    debug: Debug = False,
) -> None:
    """Show Prefect's pages on past runs: when, how long, what each take did. Serves on 127.0.0.1 until Ctrl-C."""
    from flows.server.ui import serve_ui  # noqa: PLC0415 - keeps --help quick
    from flows.session import new_run_id  # noqa: PLC0415 - the same

    _end(lambda: serve_ui(new_run_id(), stderr(), opens_browser=open_), debug=debug)


@app.command(rich_help_panel=SET_UP, short_help="Serve the WaveSpeed API on 127.0.0.1, for nothing.")
def sandbox(
    *,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", show_default="that of --sandbox", help="Where its state lives."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65_535, show_default="the folder's last, else 8787", help="0 picks a free one."
        ),
    ] = None,
    inference_s: Annotated[float, typer.Option("--inference-s", min=0, help="Median seconds of work of a take.")] = 4.0,
    level: Annotated[
        str, typer.Option("--level", callback=one_of(*LEVELS), help=f"Account level to emulate: {', '.join(LEVELS)}.")
    ] = "ultra",
    render: Annotated[bool, typer.Option("--render/--no-render", help="Whether outputs are real clips.")] = True,
    scenario: Annotated[str, typer.Option("--scenario", help="What happens to prompts that ask for nothing.")] = "ok",
    shape: Annotated[
        str,
        typer.Option(
            "--shape",
            callback=one_of(*SHAPES),
            help="Form of its replies: card (the model's own page) or recorded (as seen live).",
        ),
    ] = "card",
    strict: Annotated[
        bool, typer.Option("--strict", show_default="drop them", help="Refuse fields that the model does not know.")
    ] = False,
) -> None:
    """Serve the sandbox in the foreground on 127.0.0.1: the WaveSpeed API, with real clips, for nothing."""
    from flows.command.commands import serve_sandbox  # noqa: PLC0415 - keeps --help quick

    where = ["--own-port"] if port is None else ["--port", str(port)]
    flags = [*where, "--inference-s", str(inference_s), "--level", level, "--scenario", scenario]
    flags += ["--shape", shape, *(["--strict"] if strict else []), *([] if render else ["--no-render"])]
    _end(lambda: serve_sandbox(folder, flags, stderr()), debug=False)


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
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write the results table again from the ledger, without touching the API."""
    from flows.command.commands import rewrite_results  # noqa: PLC0415 - keeps --help quick
    from flows.order import RowOptions  # noqa: PLC0415 - the same

    def command() -> int:
        _require_results(manifest, results)
        rows = RowOptions(only, limit, map_)
        return rewrite_results(
            manifest, results, rows, stderr(), sandbox=sandbox, skip_invalid=skip_invalid, as_json=as_json
        )

    _end(command, debug=debug, as_json=as_json)


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
    _end(lambda: run_reconcile(by_hand, stderr(), sandbox=sandbox, as_json=as_json), debug=debug, as_json=as_json)


@app.command(rich_help_panel=KEEP, short_help="Fetch the clips of earlier runs.")
def archive(
    results: Annotated[list[str], typer.Argument(metavar="RESULTS...", help="Results tables, any fsspec URI.")],
    to: Annotated[str, typer.Option("--to", metavar="URI", help="Folder for the clips, on disk or in a bucket.")],
    *,
    clip_name: ClipNameOption = DEFAULT_CLIP_NAME,
    sandbox: Sandbox = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Fetch the clips of earlier runs, as long as WaveSpeed has them: for 7 days. Buys nothing.

    What is there already is not fetched again. Ends with 3 where a clip cannot be had.
    """
    from flows.command.archive_command import archive_results  # noqa: PLC0415 - keeps --help quick

    _end(
        lambda: archive_results(results, to, clip_name, stderr(), sandbox=sandbox, as_json=as_json),
        debug=debug,
        as_json=as_json,
    )


ledger_app = typer.Typer(
    help="Read and mend the ledger, the record of every take that was paid for.", no_args_is_help=True
)
app.add_typer(
    ledger_app, name="ledger", rich_help_panel=KEEP, short_help="Read and mend the record of what was paid for."
)


@ledger_app.command("show", short_help="Show every take of a shot, with what it cost.")
def ledger_show(
    shot: Annotated[str, typer.Argument(metavar="SHOT", help="A shot_id, or the start of a fingerprint.")],
    *,
    manifest: Annotated[
        str | None,
        typer.Option("--manifest", metavar="URI", show_default="any", help="Whose shot it is, where several have one."),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show every take of a shot over all runs, with what it cost."""
    from flows.command.ledger_commands import show_shot  # noqa: PLC0415 - keeps --help quick

    _end(lambda: show_shot(shot, manifest, as_json=as_json), debug=debug, as_json=as_json)


@ledger_app.command("import", short_help="Take over what results tables know.")
def ledger_import(
    results: Annotated[list[str], typer.Argument(metavar="RESULTS...", help="Results tables, any fsspec URI.")],
    *,
    sandbox: Sandbox = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Take over what results tables know: takes of another ledger, or of one that is lost."""
    from flows.command.ledger_commands import import_results  # noqa: PLC0415 - keeps --help quick

    _end(lambda: import_results(results, stderr(), sandbox=sandbox, as_json=as_json), debug=debug, as_json=as_json)


@ledger_app.command("accept", short_help="Declare a restored ledger complete.")
def ledger_accept(*, debug: Debug = False) -> None:
    """Declare a ledger complete that was restored from a backup."""
    from flows.command.ledger_commands import accept_ledger  # noqa: PLC0415 - keeps --help quick

    _end(lambda: accept_ledger(stderr()), debug=debug)


def main() -> None:
    """Run the command; see `_end` for exit codes."""
    keep_private()
    process.forget_current_folder()
    try:
        app(args=with_dates(sys.argv[1:], datetime.now(UTC).date().isoformat()))
    except SystemExit as end:
        process.exit_with(end.code if isinstance(end.code, int) else int(end.code is not None))


def with_dates(arguments: Sequence[str], today: str) -> list[str]:
    """Give today's date to a `--new-ledger` that stands alone: the parser has no options with optional values."""
    following = [*arguments[1:], ""]
    return [
        f"--new-ledger={today}" if each == "--new-ledger" and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", after) else each
        for each, after in zip(arguments, following, strict=True)
    ]


@contextlib.contextmanager
def _prefect() -> Generator["Start"]:
    """Begin a new run, with Prefect's API around it. First of all, for its server takes longest to come up."""
    from flows.server.prefect_api import Start, prefect_api  # noqa: PLC0415 - keeps --help quick
    from flows.session import new_run_id  # noqa: PLC0415 - the same

    run_id = new_run_id()
    with prefect_api(run_id) as server:
        yield Start(run_id, server)


def _end(command: Callable[[], int], *, debug: bool, as_json: bool = False) -> None:
    """Run a command and end with its exit code: 2 for bad input, 130 when interrupted, 1 for anything unforeseen.

    With `as_json` an error is the last line of stdout too, as one JSON object.
    """
    with _one_line_errors(debug=debug, as_json=as_json):
        raise typer.Exit(command())


@contextlib.contextmanager
def _one_line_errors(*, debug: bool, as_json: bool) -> Generator[None]:
    """Tell an error as a sentence (a manifest's as its report), never as a traceback unless asked for."""
    for number in process.ending_signals():
        signal.signal(number, _as_interrupt)
    try:
        process.settle_in()
        yield
    except FixInputError as error:
        _tell(error, REFUSED, debug=debug, as_json=as_json)
        raise typer.Exit(REFUSED) from None
    except AnimaticError as error:
        _tell(error, UNFORESEEN, debug=debug, as_json=as_json)
        raise typer.Exit(UNFORESEEN) from None
    except KeyboardInterrupt:
        complain("animatic: interrupted")
        if as_json:
            _say_error("interrupted", INTERRUPTED)
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, people get one line
        _tell(error, UNFORESEEN, debug=debug, as_json=as_json)
        raise typer.Exit(UNFORESEEN) from None


def _require_results(manifest: str, results: str) -> None:
    """Refuse a command without `--results`, and give the whole of it. Raises SettingsError."""
    if not results:
        from animatic.text import shell_line  # noqa: PLC0415 - keeps --help quick

        table = f"{Path(manifest).name.partition('.')[0] or 'shots'}-results.csv"
        whole = shell_line(["animatic", *sys.argv[1:], "--results", table])
        raise SettingsError(
            f"--results: not given; allowed: where the table goes, as .parquet, .csv or .jsonl. Type:\n    {whole}"
        )


def _as_interrupt(_number: int, _frame: object) -> None:
    """Before and after the flow, which has a handler of its own, SIGTERM and SIGHUP end us as Ctrl-C does."""
    raise KeyboardInterrupt


def _say_error(text: str, exit_code: int) -> None:
    """Print an error as the last line of stdout. What to do is in its text; there is no command that would mend it."""
    from flows.command.next_steps import as_dict  # noqa: PLC0415 - keeps --help quick

    say_json(json.dumps({"error": text, "exit_code": exit_code} | as_dict(None)))


_LINE_END = r"\s*\n(?! {4})\s*"
"""A line end, unless a command follows, which stands in a line of its own."""


def _tell(error: Exception, exit_code: int, *, debug: bool, as_json: bool) -> None:
    if debug:
        import traceback  # noqa: PLC0415 - only where asked for

        complain(traceback.format_exc())
    text: Any = str(error) if isinstance(error, AnimaticError) else f"{type(error).__name__}: {error}"
    why, _, _ = text.partition("\n    ")  # commands stand in lines of their own below it
    is_report = isinstance(error, ManifestError) or (
        isinstance(error, FixInputError) and not isinstance(error, LocationError) and "\n" in why
    )
    complain(text if is_report else f"animatic: {re.sub(_LINE_END, ' ', text)}")
    if as_json:
        _say_error(text, exit_code)


if __name__ == "__main__":
    main()
