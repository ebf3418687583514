"""The `bill` command: what WaveSpeed charged beside the ledger. Prefect shows it too, and cannot hold it up."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from animatic.results.billing.bill import Bill
from animatic.results.billing.words import as_json, lines_of
from flows.bill import READ, BillOrder, bill, read_and_compare
from flows.command.embedded import provider
from flows.command.next_steps import NextStep, as_dict, reconcile_argv
from flows.command.shown import show_in_prefect
from flows.server.prefect_api import Start
from flows.settings import Settings
from flows.terminal import PlainConsole, begin, say, say_json


@dataclass(frozen=True, slots=True)
class BillOptions:
    """The options of `bill`, as typed."""

    since: str | None = None
    until: str | None = None
    csv: str | None = None
    sandbox: bool = False
    as_json: bool = False
    debug: bool = False


def show_bill(options: BillOptions, console: PlainConsole, start: Start) -> int:
    """Read the bill, print it, and show it in Prefect; 0 where bill and ledger agree, else 3.

    Raises:
        SettingsError: an option, or the key.
        TryLaterError, NeverAgainError: the bill cannot be read at all.
    """
    order = BillOrder.read(options.since, options.until, options.csv, datetime.now(UTC))
    begin("reading WaveSpeed's bill …")
    with provider(Settings.from_environment(), start.run_id, sandbox=options.sandbox) as settings:
        found = asyncio.run(read_and_compare(settings, order))
    step = next_step_of(found, is_of_sandbox=options.sandbox)
    if not options.as_json:
        say("\n".join([*lines_of(found), *(step.lines() if step else [])]))
    untold = show_in_prefect(READ, found, lambda: _flow_run(options), start, debug=options.debug)
    if untold is not None:
        console.print(f"note: Prefect does not show this bill ({untold})")
    if options.as_json:
        say_json(as_json(found, {"csv": options.csv, **as_dict(step)}))
    return found.exit_code


def next_step_of(found: Bill, *, is_of_sandbox: bool) -> NextStep | None:
    """Return what settles takes that the bill leaves open; None where there are none."""
    if not found.unsettled:
        return None
    return NextStep(
        "settle takes of which it is not known if they were bought", reconcile_argv(is_of_sandbox=is_of_sandbox)
    )


def _flow_run(options: BillOptions) -> Any:
    return bill(options.since, options.until, options.csv, return_state=True)
