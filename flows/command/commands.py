"""Commands, without how they are typed."""

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from animatic import storage
from animatic.errors import SettingsError
from animatic.machine.home import drawn_folder
from animatic.machine.start_folder import from_start
from animatic.media.clip_names import DEFAULT_CLIP_NAME
from animatic.planning.plan_file import PlanFile
from animatic.results import formats
from animatic.results.exit_codes import REFUSED
from animatic.results.other_table import note_on_other_table
from animatic.results.replaced import require_replaceable
from animatic.results.same_ledger import require_that_the_ledger_knows
from animatic.takes.canonical import EMBEDDED_SANDBOX
from animatic.takes.states import BuyingPolicy
from flows.command import embedded, launch
from flows.command.command_end import say_error
from flows.command.next_steps import Typed, as_dict, go_on_after, group_lines, next_step
from flows.command.plan_files import (
    PlanOptions,
    as_typed,
    carry_out,
    json_of,
    keep,
    kept_lines,
    notes_on,
    purchases_in,
    require_here,
    require_place,
    require_unmoved,
    rows_in,
)
from flows.command.preview import Agreement, Preview, agree, preview
from flows.new_ledger import require_new_ledger_allowed
from flows.order import Order, RowOptions, allowances_of
from flows.page_places import note_on_page_of, page_of, require_page_place
from flows.process import child_environment, child_folder
from flows.server.prefect_api import Start
from flows.session import Session, new_run_id
from flows.settings import Settings
from flows.terminal import PlainConsole, complain, say, say_json

if TYPE_CHECKING:
    from animatic.results.summary import RunSummary  # pandas, which the start of a run need not wait for
    from animatic.wavespeed.client import Wrap

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
    accept_estimates: bool = False
    plan: PlanFile | None = None
    allow_unpriced: Sequence[str] = ()
    review: str | None = None
    spend_up_to: float | None = None

    def of_plan(self, plan: PlanFile, allow_unpriced: Sequence[str]) -> Self:
        """Return the same options for the manifest of a plan, with the options that it was made with."""
        of = plan.head.options
        return replace(
            self,
            plan=plan,
            allow_unpriced=allow_unpriced,
            manifest=plan.head.manifest.uri,
            sandbox=self.sandbox or plan.head.provider == EMBEDDED_SANDBOX,
            skip_invalid=of.skip_invalid,
            retry_failed=of.retry_failed,
            attempts=of.attempts,
            rows=rows_in(plan.head),
        )

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
        return BuyingPolicy(self.retry_failed, self.attempts, self.rows.changed_stills)

    @property
    def typed(self) -> Typed:
        """Return the run as it was typed, for the commands that go on."""
        options = [
            *(["--sandbox"] if self.sandbox else []),
            *(["--skip-invalid"] if self.skip_invalid else []),
            *(["--max-usd", f"{self.max_usd:g}"] if self.max_usd is not None else []),
            *(["--spend-up-to", f"{self.spend_up_to:g}"] if self.spend_up_to is not None else []),
            *(["--attempts", str(self.attempts)] if self.attempts != 1 else []),
            *(["--no-archive"] if self.archive == "" else []),
            *(["--archive", self.archive] if self.archive else []),
            *(["--clip-name", self.clip_name] if self.clip_name != DEFAULT_CLIP_NAME else []),
            *(["--review", self.review] if self.review else []),
            *self.rows.typed,
            *(["--accept-estimates"] if self.accept_estimates else []),
            *(["--yes"] if self.yes else []),
        ]
        if self.plan is None:
            return Typed(self.manifest, self.results, tuple(options))
        of_run = [
            *(["--no-archive"] if self.archive == "" else []),
            *(["--archive", self.archive] if self.archive else []),
            *(["--clip-name", self.clip_name] if self.clip_name != DEFAULT_CLIP_NAME else []),
            *(["--review", self.review] if self.review else []),
            *(each for value in self.allow_unpriced for each in ("--allow-unpriced", value)),
            *(["--accept-estimates"] if self.accept_estimates else []),
        ]
        return Typed(as_typed(self.manifest), self.results, tuple(options), self.plan.name, tuple(of_run))

    @property
    def order(self) -> Order:
        """The request to the flow, checked.

        Raises:
            FixInputError: an option cannot be what it is.
        """
        more = (self.policy, self.archive, self.clip_name, self.rows, self.accept_estimates and self.plan is None)
        return Order(
            self.manifest,
            self.results,
            self.max_usd,
            self.skip_invalid,
            *more,
            review=self.review,
            spend_up_to=self.spend_up_to,
        )

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
            "stills": rows.stills,
            "check_stills": rows.check_stills,
            "decisions": rows.decisions,
            "follow_approved": rows.follow_approved,
            "fewer_rows": rows.fewer_rows,
            "accept_estimates": self.order.accepts_estimates,
            "changed_stills": rows.changed_stills,
            "review": self.review,
            "spend_up_to": self.spend_up_to,
        }
        return {name: getattr(self, name) for name in names} | typed


def run_manifest(options: RunOptions, console: PlainConsole, start: Start, wrap: "Wrap | None" = None) -> int:
    """Do the main job; return the exit code. Needs `prefect_api` around it. `wrap` is as in `Session`.

    Raises:
        FixInputError: nothing was bought because the input must be changed first.
    """
    order = options.order
    if options.review is not None:
        require_page_place(options.review)
        other_page = note_on_page_of(options.review, (storage.absolute_uri(options.results),))
        if other_page is not None:
            console.print(f"note: {other_page}")
    may_begin = options.may_begin_ledger or console.is_terminal
    models, archives = options.rows.models, options.archive != ""
    with embedded.provider(
        Settings.from_environment(), start.run_id, sandbox=options.sandbox, models=models, renders_ahead=archives
    ) as settings:
        if settings.is_real:
            settings.require_key()
        earlier = require_replaceable(options.manifest, options.results, settings.ledger)
        shown, agreement = _previewed(options, order, settings)
        shown = replace(
            shown,
            replaced_note=note_on_other_table(options.results, earlier, shown.plan.manifest),
            fewer=None if order.rows.fewer_rows or options.plan is not None else shown.fewer,
        )
        _print_lines(shown, console)
        plan = shown.plan
        formats.require_room_for(storage.name_of(options.results), plan.manifest.num_lines)
        of_sandbox = () if settings.is_real else ("--sandbox",)
        never_seen = (plan.never_seen(), plan.never_seen_before())
        require_that_the_ledger_knows(settings.ledger, options.results, *never_seen, of_sandbox)
        if shown.refusal is not None:
            raise SettingsError(shown.refusal)
        require_new_ledger_allowed(settings, plan.to_buy if shown.is_new else 0, may_begin=may_begin)
        shown.priced.require_prices(order.allowances(shown.day))
        shown.priced.require_budget(order.refuses_beyond_microusd(None))
        if shown.fewer is not None and settings.is_real and not console.is_terminal:
            raise SettingsError(shown.fewer.refusal)
        if settings.is_real and options.plan is None:
            limit = options.spend_up_to if options.max_usd is None else options.max_usd
            agreement = agree(shown, console, yes=options.yes, max_usd=limit)
            if not agreement.is_yes:
                console.print(NOT_AGREED)
                if options.as_json:
                    say_error(NOT_AGREED, REFUSED)
                return REFUSED
        is_limited = options.max_usd is not None or options.spend_up_to is not None
        is_asked = settings.is_real and not options.yes and not is_limited and options.plan is None
        session = Session(
            settings,
            is_approved=True,
            agreed=plan.fingerprints_to_buy() if is_asked else None,
            max_microusd=agreement.max_microusd,
            share_microusd=agreement.share_microusd,
            quotes=shown.priced.quotes,
            purchases=None if options.plan is None else purchases_in(options.plan),
            stand_ins=shown.priced.stand_ins,
            may_begin_ledger=may_begin,
            checked=plan.manifest,
            damages=shown.damages,
            still_copies=shown.still_copies,
            run_id=start.run_id,
            wrap=wrap,
        )
        del shown, plan
        summary, untold = launch.run_flow(session, start.server, options.parameters, console, debug=options.debug)
    return tell_summary(summary, options.typed, console, untold=untold, as_json=options.as_json)


def _previewed(options: RunOptions, order: Order, settings: Settings) -> tuple[Preview, Agreement]:
    """Return the plan of a run and the consent to it: that of a plan's file is its sum, any other is still to come.

    Raises:
        FixInputError: the plan's file cannot be carried out here and now; it says what moved.
    """
    file = options.plan
    if file is not None:
        require_here(file, settings)
    shown = preview(
        options.manifest,
        settings,
        options.policy,
        skip_invalid=options.skip_invalid,
        archive_uri=order.archive_uri,
        rows=order.rows,
        choices=order.rows.choices(order.results if file is None else None),
        purchases=None if file is None else purchases_in(file),
        allowances=order.allowances if file is None else None,
        accepts_estimates=options.accept_estimates and file is None,
    )
    if file is None:
        return shown, Agreement(is_yes=True)
    if shown.refusal is not None:
        raise SettingsError(shown.refusal)
    agreed = require_unmoved(file, shown, settings, PlanOptions(options.allow_unpriced, options.accept_estimates))
    priced = replace(shown.priced, stand_ins=agreed.stand_ins)
    shown = replace(shown, priced=priced, estimates={}, notes=[*shown.notes, *notes_on(file, shown)])
    return shown, Agreement(is_yes=True, max_microusd=agreed.max_microusd)


def tell_summary(
    summary: "RunSummary", typed: Typed, console: PlainConsole, *, untold: str | None = None, as_json: bool
) -> int:
    """Print the end of a run: counts, each reason with what to do about it, money and places; return its exit code."""
    from animatic.results.summary import orphan_lines  # noqa: PLC0415 - pandas, which the start of a run need not wait for

    if not as_json and len(summary.summary) <= MOST_STORYBOARDS:
        console.print(summary.as_text(console.width if console.is_terminal else None))
    console.print(summary.sentence)
    typed = replace(typed, go_on=go_on_after(summary.spent))
    for line in (*group_lines(summary.reason_groups, typed), *summary.notes(), *orphan_lines(summary.orphans)):
        console.print(line)
    console.print(summary.money)
    if summary.clips:
        console.print(summary.clips)
    console.print(f"results: {summary.results}")
    if summary.review:
        console.print(f"review page: {page_of(summary.review)}")
    if untold is not None:
        console.print(UNTOLD.format(why=untold))
    if as_json:
        say_json(summary.as_json(as_dict(next_step(summary.reason_groups, typed))))
    return summary.exit_code


def show_plan(  # noqa: PLR0913 - the options of the command
    manifest: str,
    rows: RowOptions,
    *,
    sandbox: bool,
    skip_invalid: bool,
    policy: BuyingPolicy,
    output: str | None,
    as_json: bool,
    spend_up_to: float | None = None,
) -> int:
    """Validate and count; 0 if the manifest can be run, 2 if there is no key to buy with, or it is refused.

    With `output` a plan that can be run is kept in that file.

    Raises:
        ManifestError: every fault of it.
        LocationError: the plan cannot be kept there.
        SettingsError: it is to be kept, and to go as far as some money does.
    """
    if output is not None and spend_up_to is not None:
        raise SettingsError("--spend-up-to: found beside -o; allowed: one of them, since a plan's file is bought whole")
    if output is not None:
        require_place(output)
    head, following = None, None
    with embedded.provider(Settings.from_environment(), new_run_id(), sandbox=sandbox, models=rows.models) as settings:
        choices = rows.choices()
        shown = preview(
            manifest,
            settings,
            policy,
            skip_invalid=skip_invalid,
            rows=rows,
            choices=choices,
            allowances=None if output is not None else functools.partial(allowances_of, spend_up_to),
        )
        if output is not None and shown.refusal is None:
            head = keep(output, manifest, shown, settings, policy, rows, skip_invalid=skip_invalid)
            following = carry_out(output, manifest, head) if shown.plan.to_do else None
    refusal = shown.refusal
    if refusal is not None and not shown.has_key:
        complain(f"animatic: {refusal}")  # before the counts: nothing else is in the way
    if as_json:
        say_json(shown.as_json(None if head is None or output is None else json_of(output, head), following))
    else:
        say("\n".join(shown.lines()))
        if head is not None and output is not None:
            say("\n".join(kept_lines(output, head, following)))
    if refusal is not None and shown.has_key:
        complain(f"animatic: {refusal}")
    return 0 if refusal is None else REFUSED


def serve_sandbox(folder: Path | None, flags: list[str], console: PlainConsole) -> int:
    """Serve the sandbox until interrupted."""
    place = Path(from_start(str(folder))) if folder else embedded.default_folder()
    for line in (
        f"sandbox: state in {place}; stop it with Ctrl-C",
        "use it with WAVESPEED_BASE_URL=<url below> WAVESPEED_API_KEY=sandbox-key"
        + (", and with the authority of its certificate in SSL_CERT_FILE" if "--tls-cert" in flags else ""),
    ):
        console.print(line)
    own = ["--folder", str(place), "--drawn", str(drawn_folder(os.environ)), "--die-with-parent"]
    command = [sys.executable, "-P", "-m", "animatic.sandbox", *own, *flags]
    with subprocess.Popen(command, env=child_environment(), cwd=child_folder(), stdin=subprocess.PIPE) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.terminate()  # a terminal's Ctrl-C has reached it too; a SIGTERM was for us alone


def _print_lines(shown: Preview, console: PlainConsole) -> None:
    for line in shown.lines():
        console.print(line)
