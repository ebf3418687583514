"""Steps from a manifest to a priced plan: those of `animatic.planning`, with the tasks that do them."""

import asyncio
import functools
from collections.abc import Sequence

from animatic.errors import AccountRefusedError, SettingsError
from animatic.manifest import Manifest
from animatic.models import Catalogue
from animatic.pace.latencies import Latencies
from animatic.planning import lookup
from animatic.planning.catalogues import find_catalogue, kept_list
from animatic.planning.earlier import find_earlier
from animatic.planning.manifests import ManifestFile, is_unchanged
from animatic.planning.plan import Plan
from animatic.planning.priced import PricedPlan
from animatic.planning.quotes import find_quotes, quote_all
from animatic.planning.sound import SoundPlanning
from animatic.results.replaced import require_replaceable
from animatic.takes.stills import FoundStill
from flows.new_ledger import require_new_ledger_allowed
from flows.order import file_of
from flows.run import Run
from tasks.models import list_in_task
from tasks.quotes import quote_in_task
from tasks.stills import decode_in_tasks, probe_in_tasks


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

    if known is not None and known.provider == file.provider and is_unchanged(known, file.stills, probe):
        return known
    return file.load(probe)


def _file_of(run: Run, loop: asyncio.AbstractEventLoop) -> ManifestFile:
    """Return the manifest's file, to be loaded beside the event loop, which asks for the list of models."""
    order, settings = run.order, run.session.settings
    ask = functools.partial(list_in_task, run.client.list_models, settings.base_url)

    def find_models(named: Sequence[str]) -> Catalogue:
        kept = kept_list(settings.ledger, settings.origin)
        found = find_catalogue(named, kept, order.rows.models, ask)
        return asyncio.run_coroutine_threadsafe(found, loop).result()

    return file_of(order.manifest, settings, order.rows, find_models)


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
    asked = functools.partial(lookup.plan_takes, ledger, policy=run.order.policy, run_id=session.run_id)
    plan = await sound.plan(checked, asked)
    require_new_ledger_allowed(settings, plan.to_buy if is_new else 0, may_begin=session.may_begin_ledger)
    if not session.is_approved:  # an approved plan was shown with these lines
        client = run.client if settings.is_real else None
        for line in (await find_earlier(ledger, plan, client, is_new=is_new)).lines():
            run.warn(line)
    await lookup.record_planned(ledger, plan.manifest, run.order.uri)
    progress = session.progress
    progress.total = len(plan) - plan.not_chosen
    progress.cached, progress.cached_flagged = plan.settled, plan.settled_flagged
    progress.unclear, progress.limits = plan.unclear, settings.limits
    progress.waiting.update(plan.latency_classes())
    progress.latencies = Latencies(settings.usual_latency_s)
    return plan


async def price(run: Run, plan: Plan) -> PricedPlan:
    """Quote what there is to buy and hold it against the limit.

    Raises:
        BudgetError: the plan costs more than it may, or its price cannot be known.
        SettingsError: it costs money, and no limit was given; or WaveSpeed refuses the key or the account.
    """
    session, settings = run.session, run.session.settings
    price_classes, quotes = list(plan.price_classes), session.quotes
    if price_classes:
        if settings.is_real and not session.is_approved and run.order.max_usd is None:
            raise SettingsError("max_usd: not set; a run that cannot ask needs it: the most dollars that it may commit")
        ask = functools.partial(quote_in_task, functools.partial(quote_all, run.client), settings.base_url)
        try:
            quotes, problem = await find_quotes(ask, price_classes, quotes)
        except AccountRefusedError as error:
            raise SettingsError(f"{error} Nothing was bought.") from None
        if problem is not None:
            run.warn(f"no quote: {problem}")
    priced = PricedPlan(plan, quotes, settings.price_microusd, session.share_microusd)
    priced.require_budget(run.max_microusd)
    return priced
