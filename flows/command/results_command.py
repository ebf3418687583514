"""The `results` command: the table written again from the ledger, and a database of it."""

import asyncio

from animatic import storage
from animatic.errors.text import counted
from animatic.ledger import Open, dead_runs, look_into
from animatic.planning.lookup import find_open, plan_against
from animatic.results import formats
from animatic.results.database import require_database_place, write_database
from animatic.results.replaced import require_replaceable
from animatic.results.same_ledger import require_that_the_ledger_knows
from animatic.results.summary import run_summary_of
from animatic.results.writer import ResultsWriter
from animatic.takes.money.budgets import Reserved
from animatic.takes.states import BuyingPolicy
from flows.command import embedded
from flows.command.clip_checking import check_plan
from flows.command.commands import tell_summary
from flows.command.next_steps import Typed
from flows.command.preview import models_for
from flows.order import RowOptions, file_of
from flows.session import new_run_id
from flows.settings import Settings
from flows.terminal import PlainConsole


def rewrite_results(  # noqa: PLR0913 - the options of the command
    manifest: str,
    uri: str,
    rows: RowOptions,
    console: PlainConsole,
    *,
    sandbox: bool,
    skip_invalid: bool,
    as_json: bool,
    duckdb: str | None = None,
) -> int:
    """Write the results table from the ledger alone; the exit code that the run would have had.

    With `duckdb` a database of it is made in that file.

    Raises:
        ManifestError, LocationError: as when running.
        SettingsError: a database is wanted and DuckDB is not installed.
    """
    formats.check_suffix(storage.name_of(uri))
    settings = Settings.from_environment()
    settings = embedded.sandbox_settings(settings) if sandbox else settings
    require_replaceable(manifest, uri, settings.ledger)
    if duckdb is not None:
        require_database_place(duckdb)
    file = file_of(manifest, settings, rows, models_for(settings, rows, asks=False))
    checked = file.load()
    checked.require_valid(skip_invalid=skip_invalid)
    run_id = new_run_id()
    plan = asyncio.run(plan_against(settings.ledger, checked, BuyingPolicy(), rows.choices(uri)))
    of_sandbox = ("--sandbox",) if sandbox else ()
    require_that_the_ledger_knows(settings.ledger, uri, plan.never_seen(), plan.never_seen_before(), of_sandbox)
    with look_into(settings.ledger) as ledger:
        is_dead, reasons = dead_runs(settings.ledger), plan.blocked()
        writer = ResultsWriter(plan.manifest, plan.final_attempts(), run_id, ledger, is_dead, reasons=reasons)
        stats = asyncio.run(writer.write(uri))
        beside: tuple[list[Open], list[Open]] = ([], [])
        if ledger is not None:
            where = storage.absolute_uri(manifest)
            beside = asyncio.run(find_open(ledger, plan.manifest, where, settings.ledger))
            if stats.unchecked and check_plan(ledger, settings, plan, file.stills, console):
                stats = asyncio.run(writer.write(uri))
    if duckdb is not None:
        console.print(f"duckdb: {duckdb}: {counted(write_database(uri, duckdb), 'row')}")
    summary = run_summary_of(
        stats,
        run_id=run_id,
        results=uri,
        submitted=0,
        reserved=Reserved(),
        dropped=beside[0],
        open_elsewhere=beside[1],
        is_of_sandbox=not settings.is_real,
    )
    options = (*(["--sandbox"] if sandbox else []), *(["--skip-invalid"] if skip_invalid else []), *rows.typed)
    return tell_summary(summary, Typed(manifest, uri, options), console, as_json=as_json)
