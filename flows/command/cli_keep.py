"""Commands that look at runs and keep what they made, as they are typed: ui, archive, history, bill, ledger."""

from typing import Annotated

import typer

from animatic.media.clip_names import DEFAULT_CLIP_NAME
from flows.command.app import KEEP, LOOK, app
from flows.command.command_end import end, prefect_started
from flows.command.options import (
    AsJson,
    ClipNameOption,
    Debug,
    ResultsTables,
    Sandbox,
)
from flows.terminal import stderr


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

    end(lambda: serve_ui(new_run_id(), stderr(), opens_browser=open_), debug=debug)


@app.command(rich_help_panel=KEEP, short_help="Fetch the clips of earlier runs.")
def archive(
    results: ResultsTables,
    to: Annotated[str, typer.Option("--to", metavar="URI", help="Folder for the clips, on disk or in a bucket.")],
    *,
    clip_name: ClipNameOption = DEFAULT_CLIP_NAME,
    provenance: Annotated[
        bool,
        typer.Option(
            "--provenance",
            show_default="no",
            help="Copy archived clips instead, with prompt, model, prediction, fingerprint and run in their metadata.",
        ),
    ] = False,
    sandbox: Sandbox = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Fetch the clips of earlier runs, as long as WaveSpeed has them: for 7 days. Buys nothing.

    What is there already is not fetched again. Ends with 3 where a clip cannot be had.
    """
    if provenance:
        from flows.command.provenance_command import copy_with_provenance  # noqa: PLC0415 - keeps --help quick

        end(
            lambda: copy_with_provenance(results, to, clip_name, stderr(), as_json=as_json),
            debug=debug,
            as_json=as_json,
        )
        return
    from flows.command.archive_command import archive_results  # noqa: PLC0415 - keeps --help quick

    end(
        lambda: archive_results(results, to, clip_name, stderr(), sandbox=sandbox, as_json=as_json),
        debug=debug,
        as_json=as_json,
    )


@app.command(rich_help_panel=KEEP, short_help="Write every paid attempt of all runs, for analysts.")
def history(
    to: Annotated[str, typer.Option("--to", metavar="URI", help="Folder for the table, on disk or in a bucket.")],
    *,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", show_default="all", help="Only attempts since this UTC date."),
    ] = None,
    sandbox: Sandbox = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write one row for each paid attempt of all runs, takes that were replaced included, as Parquet by date.

    Reads the ledger only. Run it again at any time: each date's file is replaced as a whole.
    """
    from flows.command.history_command import write_history  # noqa: PLC0415 - keeps --help quick

    end(lambda: write_history(to, since, stderr(), sandbox=sandbox, as_json=as_json), debug=debug, as_json=as_json)


@app.command(rich_help_panel=KEEP, short_help="Hold WaveSpeed's bill against the ledger.")
def bill(
    *,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", show_default="7 days ago", help="First UTC date of the bill."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", show_default="now", help="Last UTC date of the bill.")
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="URI", show_default="none", help="Write every prediction as a row of a CSV."),
    ] = None,
    sandbox: Sandbox = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Read what WaveSpeed charged and refunded, keep it in the ledger, and name what differs. Buys nothing.

    Ends with 3 where bill and ledger differ. What failed less than 3 hours ago may still be refunded, and is pending.
    """

    def command() -> int:
        with prefect_started() as start:
            from flows.command.bill_command import BillOptions, show_bill  # noqa: PLC0415 - keeps --help quick

            return show_bill(BillOptions(since, until, csv, sandbox, as_json, debug), stderr(), start)

    end(command, debug=debug, as_json=as_json)


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

    end(lambda: show_shot(shot, manifest, as_json=as_json), debug=debug, as_json=as_json)


@ledger_app.command("import", short_help="Take over what results tables know.")
def ledger_import(
    results: ResultsTables,
    *,
    sandbox: Sandbox = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Take over what results tables know: takes of another ledger, or of one that is lost."""
    from flows.command.ledger_commands import import_results  # noqa: PLC0415 - keeps --help quick

    end(lambda: import_results(results, stderr(), sandbox=sandbox, as_json=as_json), debug=debug, as_json=as_json)


@ledger_app.command("accept", short_help="Declare a restored ledger complete.")
def ledger_accept(*, debug: Debug = False) -> None:
    """Declare a ledger complete that was restored from a backup."""
    from flows.command.ledger_commands import accept_ledger  # noqa: PLC0415 - keeps --help quick

    end(lambda: accept_ledger(stderr()), debug=debug)


@ledger_app.command("copy", short_help="Move the ledger into another database.")
def ledger_copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The ledger's URL, sqlite:///… or postgresql://….")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The URL of a database without a ledger.")],
    *,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Move the ledger into another database: every row is copied and compared, then FROM is closed.

    It is refused while a run is under way. What ends half way is begun again by the same command.
    """
    from flows.command.ledger_copies import copy  # noqa: PLC0415 - keeps --help quick

    end(lambda: copy(source, target, stderr(), as_json=as_json), debug=debug, as_json=as_json)


@ledger_app.command("backup", short_help="Copy the ledger into a new file.")
def ledger_backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The new file; one that is there is left alone.")],
    *,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Copy the ledger into a new file of SQLite, also from a server, also while runs are under way."""
    from flows.command.ledger_copies import back_up  # noqa: PLC0415 - keeps --help quick

    end(lambda: back_up(file, stderr(), as_json=as_json), debug=debug, as_json=as_json)


@ledger_app.command("verify", short_help="Read all of the ledger, or of a backup.")
def ledger_verify(
    ledger: Annotated[
        str | None,
        typer.Argument(metavar="[LEDGER]", show_default="the one of ANIMATIC_LEDGER", help="A backup, or a URL."),
    ] = None,
    *,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Read all of the ledger, or of a backup, and count what it holds. Changes nothing."""
    from flows.command.ledger_copies import verify  # noqa: PLC0415 - keeps --help quick

    end(lambda: verify(ledger, as_json=as_json), debug=debug, as_json=as_json)


@ledger_app.command("prune", short_help="Move old details out of the ledger.")
def ledger_prune(
    *,
    older_than: Annotated[
        int,
        typer.Option("--older-than", metavar="DAYS", show_default="required", help="How old, in days: 8 or more."),
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URI", show_default="LEDGER.pruned", help="The folder for the Parquet files."),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Move details that nothing depends on any more out of the ledger into Parquet files, so that it stays small.

    Each take stays, with its newest attempt, its outputs, where its clips are, and what was paid for it: what was
    bought is not bought again. Runs may go on at the same time.
    """
    from flows.command.ledger_copies import prune  # noqa: PLC0415 - keeps --help quick

    end(lambda: prune(older_than, to, as_json=as_json), debug=debug, as_json=as_json)
