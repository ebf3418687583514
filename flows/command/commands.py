"""Commands, without how they are typed."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from animatic import storage
from animatic.errors import SettingsError
from animatic.ledger import Open, Reserved, dead_runs, look_into
from animatic.machine.start_folder import from_start
from animatic.media.clip_names import DEFAULT_CLIP_NAME
from animatic.results import formats
from animatic.results.other_table import note_on_other_table
from animatic.results.replaced import require_replaceable
from animatic.results.same_ledger import require_that_the_ledger_knows
from animatic.settings import Settings
from animatic.takes.states import BuyingPolicy
from flows.command import embedded, launch
from flows.command.command_end import say_error
from flows.command.next_steps import Typed, as_dict, ending_lines, next_step
from flows.command.preview import Agreement, Preview, agree, models_for, preview
from flows.new_ledger import require_new_ledger_allowed
from flows.order import Order, RowOptions, file_of
from flows.process import child_environment, child_folder
from flows.server.prefect_api import Start
from flows.session import Session, new_run_id
from flows.terminal import PlainConsole, complain, say, say_json

if TYPE_CHECKING:
    from animatic.results.summary import RunSummary  # pandas, which the start of a run need not wait for
    from animatic.wavespeed.client import Wrap

REFUSED = 2
NOT_AGREED = "not agreed; nothing was bought"
UNTOLD = (
    "Prefect did not receive the end of this run ({why}): its page may show the run as running for ever. "
    "Results and exit code are what they are without it"
)
MOST_STORYBOARDS = 10
"""A table of more storyboards is not printed; `animatic.summarise` makes it of the results."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of `run`, as typed."""

    manifest: str
    results: str
    sandbox: bool = False
    max_usd: float | None = None
    yes: bool = False
    skip_invalid: bool = False
    retry_failed: bool = False
    attempts: int = 1
    as_json: bool = False
    debug: bool = False
    new_ledger: str | None = None
    archive: str | None = None
    clip_name: str = DEFAULT_CLIP_NAME
    rows: RowOptions = field(default_factory=RowOptions)

    @property
    def may_begin_ledger(self) -> bool:
        """Tell if `--new-ledger` gives today's UTC date.

        Raises:
            SettingsError: it gives anything else.
        """
        today = datetime.now(UTC).date().isoformat()
        if self.new_ledger not in {None, today}:
            raise SettingsError(
                f'--new-ledger: found "{self.new_ledger}"; allowed: nothing, or the UTC date of today, {today}, so '
                "that an option which is left in a script says it for one day only"
            )
        return self.new_ledger is not None

    @property
    def policy(self) -> BuyingPolicy:
        """Return the permission to buy takes again."""
        return BuyingPolicy(self.retry_failed, self.attempts)

    @property
    def typed(self) -> Typed:
        """Return the run as it was typed, for the commands that go on."""
        options = [
            *(["--sandbox"] if self.sandbox else []),
            *(["--skip-invalid"] if self.skip_invalid else []),
            *(["--max-usd", f"{self.max_usd:g}"] if self.max_usd is not None else []),
            *(["--attempts", str(self.attempts)] if self.attempts != 1 else []),
            *(["--no-archive"] if self.archive == "" else []),
            *(["--archive", self.archive] if self.archive else []),
            *(["--clip-name", self.clip_name] if self.clip_name != DEFAULT_CLIP_NAME else []),
            *self.rows.typed,
            *(["--yes"] if self.yes else []),
        ]
        return Typed(self.manifest, self.results, tuple(options))

    @property
    def order(self) -> Order:
        """The request to the flow, checked.

        Raises:
            FixInputError: an option cannot be what it is.
        """
        more = (self.policy, self.archive, self.clip_name, self.rows)
        return Order(self.manifest, self.results, self.max_usd, self.skip_invalid, *more)

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the flow."""
        names = ("manifest", "results", "max_usd", "skip_invalid", "retry_failed", "attempts", "archive", "clip_name")
        rows = self.rows
        typed: dict[str, object] = {
            "only": [*rows.only] or None,
            "limit": rows.limit,
            "map": [*rows.map] or None,
            "models": rows.models,
        }
        return {name: getattr(self, name) for name in names} | typed


def run_manifest(options: RunOptions, console: PlainConsole, start: Start, wrap: "Wrap | None" = None) -> int:
    """Do the main job; return the exit code. Needs `prefect_api` around it. `wrap` is as in `Session`.

    Raises:
        FixInputError: nothing was bought because the input must be changed first.
    """
    order = options.order
    may_begin = options.may_begin_ledger or console.is_terminal
    models = options.rows.models
    with embedded.provider(
        Settings.from_environment(), start.run_id, sandbox=options.sandbox, models=models
    ) as settings:
        if settings.is_real:
            settings.require_key()
        earlier = require_replaceable(options.manifest, options.results, settings.ledger)
        shown = preview(
            options.manifest,
            settings,
            options.policy,
            skip_invalid=options.skip_invalid,
            archive_uri=order.archive_uri,
            rows=order.rows,
        )
        shown = replace(shown, replaced_note=note_on_other_table(options.results, earlier, shown.plan.manifest))
        _print_lines(shown, console)
        plan = shown.plan
        of_sandbox = () if settings.is_real else ("--sandbox",)
        never_seen = (plan.never_seen(), plan.never_seen_before())
        require_that_the_ledger_knows(settings.ledger, options.results, *never_seen, of_sandbox)
        if shown.refusal is not None:
            raise SettingsError(shown.refusal)
        require_new_ledger_allowed(settings, plan.to_buy if shown.is_new else 0, may_begin=may_begin)
        shown.priced.require_budget(order.max_microusd(None))
        agreement = Agreement(is_yes=True)
        if settings.is_real:
            agreement = agree(shown, console, yes=options.yes, max_usd=options.max_usd)
            if not agreement.is_yes:
                console.print(NOT_AGREED)
                if options.as_json:
                    say_error(NOT_AGREED, REFUSED)
                return REFUSED
        is_asked = settings.is_real and not options.yes and options.max_usd is None
        session = Session(
            settings,
            is_approved=True,
            agreed=plan.fingerprints_to_buy() if is_asked else None,
            max_microusd=agreement.max_microusd,
            share_microusd=agreement.share_microusd,
            quotes=shown.priced.quotes,
            may_begin_ledger=may_begin,
            checked=plan.manifest,
            damages=shown.damages,
            run_id=start.run_id,
            wrap=wrap,
        )
        del shown, plan
        summary, untold = launch.run_flow(session, start.server, options.parameters, console, debug=options.debug)
    return tell_digest(summary, options.typed, console, untold=untold, as_json=options.as_json)


def tell_digest(
    summary: "RunSummary", typed: Typed, console: PlainConsole, *, untold: str | None = None, as_json: bool
) -> int:
    """Print the end of a run: counts, each reason with what to do about it, money and places; return its exit code."""
    from animatic.results.summary import orphan_lines  # noqa: PLC0415 - pandas, which the start of a run need not wait for

    if not as_json and len(summary.summary) <= MOST_STORYBOARDS:
        console.print(summary.as_text(console.width if console.is_terminal else None))
    console.print(summary.sentence)
    for line in (*ending_lines(summary.endings, typed), *summary.notes(), *orphan_lines(summary.orphans)):
        console.print(line)
    console.print(summary.money)
    if summary.clips:
        console.print(summary.clips)
    console.print(f"results: {summary.results}")
    if untold is not None:
        console.print(UNTOLD.format(why=untold))
    if as_json:
        say_json(summary.as_json(as_dict(next_step(summary.endings, typed))))
    return summary.exit_code


def show_plan(  # noqa: PLR0913 - the options of the command
    manifest: str, rows: RowOptions, *, sandbox: bool, skip_invalid: bool, retry_failed: bool, as_json: bool
) -> int:
    """Validate and count; 0 if the manifest can be run, 2 if there is no key to buy with, or it is refused.

    Raises:
        ManifestError: every fault of it.
    """
    with embedded.provider(Settings.from_environment(), new_run_id(), sandbox=sandbox, models=rows.models) as settings:
        shown = preview(manifest, settings, BuyingPolicy(retry_failed), skip_invalid=skip_invalid, rows=rows)
    refusal = shown.refusal
    if refusal is not None and not shown.has_key:
        complain(f"animatic: {refusal}")  # before the counts: nothing else is in the way
    if as_json:
        say_json(shown.as_json())
    else:
        say("\n".join(shown.lines()))
    if refusal is not None and shown.has_key:
        complain(f"animatic: {refusal}")
    return 0 if refusal is None else REFUSED


def rewrite_results(  # noqa: PLR0913 - the options of the command
    manifest: str,
    uri: str,
    rows: RowOptions,
    console: PlainConsole,
    *,
    sandbox: bool,
    skip_invalid: bool,
    as_json: bool,
) -> int:
    """Write the results table from the ledger alone; the exit code that the run would have had.

    Raises:
        ManifestError, LocationError: as when running.
    """
    from animatic.planning.lookup import find_open, plan_against  # noqa: PLC0415 - beside the import above
    from animatic.results.summary import run_summary_of  # noqa: PLC0415 - pandas, which `plan` need not wait for
    from animatic.results.writer import ResultsWriter  # noqa: PLC0415 - beside the import above

    formats.check_suffix(storage.name_of(uri))
    settings = Settings.from_environment()
    settings = embedded.sandbox_settings(settings) if sandbox else settings
    require_replaceable(manifest, uri, settings.ledger)
    checked = file_of(manifest, settings, rows, models_for(settings, rows, asks=False)).load()
    checked.require_valid(skip_invalid=skip_invalid)
    run_id = new_run_id()
    plan = asyncio.run(plan_against(settings.ledger, checked, BuyingPolicy()))
    of_sandbox = ("--sandbox",) if sandbox else ()
    require_that_the_ledger_knows(settings.ledger, uri, plan.never_seen(), plan.never_seen_before(), of_sandbox)
    with look_into(settings.ledger) as ledger:
        projection = ResultsWriter(plan.manifest, plan.final_attempts(), run_id, ledger, dead_runs(settings.ledger))
        stats = asyncio.run(projection.write(uri))
        beside: tuple[list[Open], list[Open]] = ([], [])
        if ledger is not None:
            where = storage.absolute_uri(manifest)
            beside = asyncio.run(find_open(ledger, checked, where, settings.ledger))
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
    return tell_digest(summary, Typed(manifest, uri, options), console, as_json=as_json)


def serve_sandbox(folder: Path | None, flags: list[str], console: PlainConsole) -> int:
    """Serve the sandbox until interrupted."""
    place = Path(from_start(str(folder))) if folder else embedded.default_folder()
    for line in (
        f"sandbox: state in {place}; stop it with Ctrl-C",
        "use it with WAVESPEED_BASE_URL=<url below> WAVESPEED_API_KEY=sandbox-key",
    ):
        console.print(line)
    command = [sys.executable, "-P", "-m", "animatic.sandbox", "--folder", str(place), "--die-with-parent", *flags]
    with subprocess.Popen(command, env=child_environment(), cwd=child_folder(), stdin=subprocess.PIPE) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.terminate()  # a terminal's Ctrl-C has reached it too; a SIGTERM was for us alone


def _print_lines(shown: Preview, console: PlainConsole) -> None:
    for line in shown.lines():
        console.print(line)
