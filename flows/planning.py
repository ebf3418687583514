"""Steps from a manifest to a priced plan: those of `animatic.planning`, with the tasks that do them."""

import asyncio
import functools
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from animatic.errors import AccountRefusedError, KeyRefusedError, SettingsError
from animatic.errors.text import counted
from animatic.manifest import Manifest
from animatic.media.remote_stills import RemoteStills
from animatic.pace.duration import planned_duration_s
from animatic.pace.latencies import Latencies
from animatic.planning import lookup
from animatic.planning.catalogues import find_catalogue, kept_list
from animatic.planning.changes import Changes, find_changes, remembered, renewed
from animatic.planning.decided import unknown_decisions
from animatic.planning.earlier import find_earlier
from animatic.planning.estimates import find_estimates
from animatic.planning.fewer_rows import find_fewer_rows
from animatic.planning.funds import find_balance, funds_of
from animatic.planning.gone_clips import find_gone
from animatic.planning.manifests import ManifestFile
from animatic.planning.plan import Plan
from animatic.planning.priced import PricedPlan
from animatic.planning.quotes import find_quotes, quote_all
from animatic.planning.sound import SoundPlanning, ending_note
from animatic.results.replaced import require_replaceable
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
    is_new = await lookup.is_new_ledger(ledger, settings.origin)
    await lookup.know_old_names(ledger, checked)
    file = _file_of(run, asyncio.get_running_loop())
    sound = SoundPlanning(
        file, functools.partial(decode_in_tasks, file.stills), run.order.skip_invalid, dict(session.damages)
    )
    if run.order.rows.looks:
        look = functools.partial(
            RemoteStills(settings.base_url, settings.network).look_at, tell=line_logger(logging.INFO)
        )
        sound.look = functools.partial(look_in_task, remembered(ledger, look))
    sound.find_gone = functools.partial(find_gone, ledger)
    beside = None if session.purchases is not None else run.order.results  # of a plan's file, only what it names counts
    choices = await asyncio.to_thread(run.order.rows.choices, beside)
    asked = functools.partial(
        lookup.plan_takes,
        ledger,
        policy=run.order.policy,
        run_id=session.run_id,
        choices=choices,
        purchases=session.purchases,
    )
    plan = await sound.plan(checked, asked)
    changes = Changes() if sound.look is None else await find_changes(ledger, plan, sound.look, sound.looked)
    plan = renewed(plan, changes, policy=run.order.policy, purchases=session.purchases)
    _require_archive(run, plan)
    require_new_ledger_allowed(settings, plan.to_buy if is_new else 0, may_begin=session.may_begin_ledger)
    if not session.is_approved:  # an approved plan was shown with these lines
        await _require_rows(run, plan)
        client = run.client if settings.is_real else None
        for line in (await find_earlier(ledger, plan, client, is_new=is_new)).lines():
            run.warn(line)
        duration_s = planned_duration_s(
            plan.to_buy, plan.resumable, settings.limits, settings.usual_latency_s, plan.following.longest
        )
        for line in await unknown_decisions(ledger, plan.manifest, choices):
            run.warn(line)
        for line in changes.lines(is_bought=run.order.policy.changed_stills):
            run.warn(line)
        if ending := ending_note(sound.looked, datetime.now(UTC), duration_s):
            run.warn(ending)
    await lookup.record_planned(ledger, plan.manifest, run.order.uri)
    progress = session.progress
    progress.total = len(plan) - plan.not_chosen
    progress.cached, progress.cached_flagged = plan.settled, plan.settled_flagged
    progress.unclear, progress.limits = plan.unclear, settings.limits
    progress.waiting.update(plan.latency_classes())
    progress.latencies = Latencies(settings.usual_latency_s)
    return plan


async def _require_rows(run: Run, plan: Plan) -> None:
    """Refuse a manifest that has lost most of its rows. Raises SettingsError."""
    if run.session.settings.is_real and not run.order.rows.fewer_rows:
        fewer = await find_fewer_rows(run.ledger, plan.manifest.name, plan.manifest.num_rows, run.order.uri)
        if fewer is not None:
            raise SettingsError(fewer.refusal)


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
    if run.order.accepts_estimates:
        estimates = await find_estimates(run.ledger, plan, priced.unpriced)
        priced = replace(priced, stand_ins={each: found.microusd for each, found in estimates.items()})
    allowances = run.order.allowances(await run.day_budget())
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
