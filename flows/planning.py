"""Steps from a manifest to a priced plan: those of `animatic.planning`, with the tasks that do them."""

import asyncio
import functools
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from animatic.errors import AccountRefusedError, KeyRefusedError, SettingsError
from animatic.errors.text import counted
from animatic.manifest import Manifest
from animatic.media.remote_stills import RemoteStills
from animatic.pace.duration import planned_duration_s
from animatic.pace.latencies import Latencies
from animatic.planning import lookup
from animatic.planning.catalogues import find_catalogue, kept_list
from animatic.planning.changes import remembered
from animatic.planning.funds import find_balance, funds_of
from animatic.planning.manifests import ManifestFile
from animatic.planning.plan import Plan
from animatic.planning.priced import PricedPlan
from animatic.planning.quotes import find_quotes, quote_all
from animatic.planning.sound import SoundPlanning
from animatic.planning.steps import Planned, Wanted, find_notes, make_sound_plan, note_lines, price_plan
from animatic.results.replaced import require_replaceable
from animatic.takes.chains import Choices
from animatic.takes.models import Catalogue
from animatic.takes.stills import FoundStill
from flows.new_ledger import require_new_ledger_allowed
from flows.order import file_of
from flows.run import Run
from tasks.logs import line_logger
from tasks.models import list_in_task
from tasks.quotes import quote_in_task
from tasks.stills import decode_in_tasks, look_in_task, probe_in_tasks


async def check_manifest(run: Run) -> Manifest:
    """Read the manifest, look at its local stills, judge every row.

    Raises:
        ManifestError: it has faults that are not to be skipped.
        LocationError: it cannot be read.
    """
    order, settings = run.order, run.session.settings
    await asyncio.to_thread(require_replaceable, order.manifest, order.results, settings.ledger)
    manifest = await asyncio.to_thread(_load, run, asyncio.get_running_loop())
    manifest.require_valid(skip_invalid=order.skip_invalid)
    for warning in manifest.warnings:
        run.warn(warning)
    return manifest


def _load(run: Run, loop: asyncio.AbstractEventLoop) -> Manifest:
    """Return the manifest as it was checked for the preview, if it is still the same, else as it is now."""
    file, known = _file_of(run, loop), run.session.checked

    def probe(paths: Sequence[str]) -> dict[str, FoundStill]:
        return asyncio.run_coroutine_threadsafe(probe_in_tasks(file.stills, paths), loop).result()

    if known is not None and known.provider == file.provider and file.is_unchanged(known, probe):
        return known
    return file.load(probe)


def _file_of(run: Run, loop: asyncio.AbstractEventLoop) -> ManifestFile:
    """Return the manifest's file, to be loaded beside the event loop, which asks for the list of models."""
    order, settings = run.order, run.session.settings
    ask = functools.partial(list_in_task, run.client.list_models, settings.asked_account)

    def find_models(named: Sequence[str]) -> Catalogue:
        kept = kept_list(settings.ledger, settings.origin)
        found = find_catalogue(named, kept, order.rows.models, ask)
        return asyncio.run_coroutine_threadsafe(found, loop).result()

    return file_of(order.manifest, settings, order.rows, find_models, run.copies)


async def plan_takes(run: Run, checked: Manifest) -> Plan:
    """Hold the manifest against the ledger, and decode the local stills of what there is to buy.

    Raises:
        SettingsError: the ledger is new, there is something to buy, and no permission to begin it was given.
        ManifestError: a still cannot be decoded, and faults are not to be skipped.
    """
    ledger, session, settings = run.ledger, run.session, run.session.settings
    await lookup.know_old_names(ledger, checked)
    beside = None if session.purchases is not None else run.order.results  # of a plan's file, only what it names counts
    wanted = Wanted(
        run.order.policy,
        choices=await asyncio.to_thread(run.order.rows.choices, beside),
        purchases=session.purchases,
        run_id=session.run_id,
    )
    planned = await make_sound_plan(ledger, checked, _sound_planning(run), wanted, settings.origin)
    plan = planned.plan
    _require_archive(run, plan)
    first_bought = plan.to_buy if planned.is_new else 0
    require_new_ledger_allowed(settings, first_bought, may_begin=session.may_begin_ledger)
    if not session.is_approved:  # an approved plan was shown with these lines
        await _warn(run, planned, wanted.choices)
    await lookup.record_planned(ledger, plan.manifest, run.order.uri)
    progress = session.progress
    progress.total = len(plan) - plan.not_chosen
    progress.cached, progress.cached_flagged = plan.settled, plan.settled_flagged
    progress.unclear, progress.limits = plan.unclear, settings.limits
    progress.waiting.update(plan.latency_classes())
    progress.latencies = Latencies(settings.usual_latency_s)
    return plan


def _sound_planning(run: Run) -> SoundPlanning:
    """Return the way to a sound plan whose stills are decoded, and looked at, in task runs."""
    settings = run.session.settings
    file = _file_of(run, asyncio.get_running_loop())
    decode = functools.partial(decode_in_tasks, file.stills)
    sound = SoundPlanning(file, decode, run.order.skip_invalid, dict(run.session.damages))
    if run.order.rows.looks:
        stills = RemoteStills(settings.base_url, settings.network)
        look = functools.partial(stills.look_at, log_line=line_logger(logging.INFO))
        sound.look = functools.partial(look_in_task, remembered(run.ledger, look))
    return sound


async def _warn(run: Run, planned: Planned, choices: Choices) -> None:
    """Say what a person should know of a plan. Raises SettingsError if the manifest has lost most of its rows."""
    settings, plan = run.session.settings, planned.plan
    client = run.client if settings.is_real else None
    notes = await find_notes(run.ledger, planned, run.order.uri, choices, client)
    if notes.fewer is not None and settings.is_real and not run.order.rows.fewer_rows:
        raise SettingsError(notes.fewer.refusal)
    duration_s = planned_duration_s(
        plan.to_buy, plan.resumable, settings.limits, settings.usual_latency_s, plan.following.longest
    )
    is_bought = run.order.policy.changed_stills
    for line in note_lines(planned, notes, datetime.now(UTC), duration_s, is_bought=is_bought):
        run.warn(line)


def _require_archive(run: Run, plan: Plan) -> None:
    """Refuse to buy takes that start from clips where no clip is kept."""
    followers = int(plan.following.is_follower.sum())
    if followers and not run.order.archive_uri:
        raise SettingsError(
            f"--no-archive: found {counted(followers, 'take')} that start from the last frame of another clip, which "
            "is taken from the archive; allowed: a run with an archive. Nothing was bought"
        )


async def price(run: Run, plan: Plan) -> PricedPlan:
    """Quote what there is to buy, hold it against the limit, and leave for later what goes beyond a budget.

    Raises:
        BudgetError: the plan costs more than it may, or its price cannot be known.
        SettingsError: it costs money, and no limit was given. KeyRefusedError is one: WaveSpeed refuses the key.
    """
    session, settings = run.session, run.session.settings
    price_classes, quotes = list(plan.price_classes), session.quotes
    if price_classes:
        if settings.is_real and not session.is_approved and not run.order.is_limited:
            raise SettingsError(
                "max_usd: not set; a run that cannot ask needs it, or spend_up_to: the most dollars that it may commit"
            )
        ask = functools.partial(quote_in_task, functools.partial(quote_all, run.client), settings.asked_account)
        try:
            quotes, problem = await find_quotes(ask, price_classes, quotes)
        except AccountRefusedError as error:
            raise KeyRefusedError(f"{error} Nothing was bought.") from None
        if problem is not None:
            run.warn(f"no quote: {problem}")
    priced = PricedPlan(plan, quotes, settings.price_microusd, session.share_microusd, session.stand_ins)
    priced, _ = await price_plan(run.ledger, priced, accepts_estimates=run.order.accepts_estimates)
    allowances = run.order.allowances(await run.day_budget(), run.reserved_before)
    priced.require_prices(allowances)
    priced = priced.within(allowances)
    priced.require_budget(run.refuses_beyond_microusd)
    _leave_for_later(run, priced.plan)
    if price_classes and not session.is_approved:  # an approved plan was shown with the balance
        funds = funds_of(priced, await find_balance(run.client))
        if funds is not None and funds.note is not None:
            run.warn(funds.note)
    return priced


def _leave_for_later(run: Run, plan: Plan) -> None:
    """Count the takes that a budget leaves for a later run as such, and say how far it goes."""
    if plan.later is None:
        return
    progress = run.session.progress
    progress.passed_on += plan.later.count
    progress.waiting.clear()
    progress.waiting.update(plan.latency_classes())
    if not run.session.is_approved:  # an approved plan was shown with it
        run.warn(plan.later.reason)
