"""The plan, before anything runs: worked out without Prefect, shown on stderr, and agreed to."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from animatic import storage
from animatic.errors import AccountRefusedError, AnimaticError, SettingsError
from animatic.errors.text import counted
from animatic.ledger import dead_runs, ledger_name, look_into, open_ledger
from animatic.manifest import Manifest
from animatic.media.archive_room import find_room_note
from animatic.media.remote_stills import RemoteStills
from animatic.pace.latencies import Latencies
from animatic.planning.catalogues import find_catalogue, kept_list
from animatic.planning.changes import LookAgain, remembered
from animatic.planning.day_budget import find_day_budget
from animatic.planning.estimates import Estimate
from animatic.planning.funds import find_balance, funds_of
from animatic.planning.manifests import FindModels
from animatic.planning.plan import Plan
from animatic.planning.priced import PricedPlan
from animatic.planning.purchases import Purchases
from animatic.planning.quotes import quote_each
from animatic.planning.reasons import find_reasons
from animatic.planning.sound import SoundPlanning, with_damages
from animatic.planning.steps import Wanted, find_notes, make_sound_plan, price_plan
from animatic.storage.folder import Folder
from animatic.takes.chains import NO_CHOICES, Choices
from animatic.takes.models import Catalogue
from animatic.takes.money.amounts import Quote, dollars, read_limit
from animatic.takes.money.budgets import Allowance, DayBudget
from animatic.takes.schemas import LatencyClass, PriceClass
from animatic.takes.states import BuyingPolicy
from animatic.wavespeed.client import WaveSpeedClient
from flows.command.plan_in_words import Preview
from flows.order import RowOptions, file_of
from flows.settings import Settings
from flows.terminal import PlainConsole, complain

MOST_QUESTIONS = 3

FindAllowances = Callable[[DayBudget | None], Sequence[Allowance]]
"""From the day's budget to the amounts that a run may go as far as."""


def preview(  # noqa: PLR0913 - a manifest, and how it is read
    manifest: str,
    settings: Settings,
    policy: BuyingPolicy,
    *,
    skip_invalid: bool,
    archive_uri: str = "",
    rows: RowOptions = RowOptions(),  # noqa: B008 - frozen
    choices: Choices = NO_CHOICES,
    purchases: Purchases | None = None,
    allowances: FindAllowances | None = None,
    accepts_estimates: bool = False,
) -> Preview:
    """Read, check, look up and quote; buys nothing. With an archive, look for room in it too.

    Nothing is written, but for what was seen of stills on the web where they are looked at.

    Nothing but `purchases` is to be bought, where they are given, and no more than `allowances` go as far as.

    Raises:
        ManifestError, LocationError: as when running.
    """
    file = file_of(manifest, settings, rows, models_for(settings, rows))
    checked = file.load()
    if len(checked.faults) and not skip_invalid:
        checked = asyncio.run(with_damages(file, checked, file.stills.find_damages))
    checked.require_valid(skip_invalid=skip_invalid)
    sound = SoundPlanning(file, file.stills.find_damages, skip_invalid, log_line=complain)
    wanted = Wanted(policy, choices, purchases, is_dead=dead_runs(settings.ledger))
    look = None
    if rows.looks:
        look = functools.partial(RemoteStills(settings.base_url, settings.network).look_at, log_line=complain)
    more = (archive_uri, allowances, accepts_estimates)
    return asyncio.run(_preview(sound, checked, settings, wanted, look, *more))


def models_for(settings: Settings, rows: RowOptions, *, asks: bool = True) -> FindModels:
    """Return what finds the models that a manifest names: WaveSpeed is asked where there is a key, and it may be."""

    async def ask() -> Sequence[Any]:
        async with WaveSpeedClient(settings.base_url, settings.require_key(), network=settings.network) as client:
            return await client.list_models()

    @functools.cache
    def find(named: tuple[str, ...]) -> Catalogue:
        may_ask = asks and settings.api_key is not None
        kept = kept_list(settings.ledger, settings.origin)
        return asyncio.run(find_catalogue(named, kept, rows.models, ask if may_ask else None))

    return lambda named: find(tuple(named))


async def _preview(  # noqa: PLR0913, PLR0917 - what is looked up, and where
    sound: SoundPlanning,
    checked: Manifest,
    settings: Settings,
    wanted: Wanted,
    look: LookAgain | None,
    archive_uri: str,
    allowances: FindAllowances | None,
    accepts_estimates: bool,
) -> Preview:
    uri = storage.absolute_uri(sound.file.uri)
    with look_into(settings.ledger) if look is None else open_ledger(settings.ledger) as ledger:
        if ledger is not None and look is not None:
            sound.look = remembered(ledger, look)
        planned = await make_sound_plan(ledger, checked, sound, wanted, settings.origin)
        plan = planned.plan
        quotes, problems = dict[PriceClass, Quote](), dict[PriceClass, AnimaticError]()
        client, balance = None, None
        async with contextlib.AsyncExitStack() as stack:
            price_classes = list({**plan.price_classes, **plan.retriable_classes})
            if price_classes and settings.api_key is not None:
                opened = WaveSpeedClient(settings.base_url, settings.require_key(), network=settings.network)
                client = await stack.enter_async_context(opened)
                quotes, problems = await quote_each(client, price_classes)
                if plan.to_buy and quotes:
                    balance = await find_balance(client)
            is_refused = any(isinstance(each, AccountRefusedError) for each in problems.values())
            asked = client if settings.is_real and not is_refused else None
            notes = await find_notes(ledger, planned, uri, wanted.choices, asked)
        priced, estimates = PricedPlan(plan, quotes, settings.price_microusd), dict[PriceClass, Estimate]()
        if not is_refused:
            priced, estimates = await price_plan(ledger, priced, accepts_estimates=accepts_estimates)
        today = datetime.now(UTC).date()
        day = await find_day_budget(ledger, settings.origin, settings.day_microusd, today)
        if allowances is not None:
            priced = priced.within(allowances(day))
        plan = priced.plan
        history = {} if ledger is None else await ledger.inference_history(settings.origin)
        room = await find_room_note(Folder(archive_uri), ledger, plan.to_do) if archive_uri else None
        return Preview(
            priced,
            ledger_name(settings.ledger),
            planned.is_new,
            notes.earlier,
            wanted.policy.attempts,
            has_key=settings.api_key is not None,
            room_note=room,
            problems=problems,
            funds=funds_of(priced, balance),
            changes=planned.changes,
            reasons=await find_reasons(ledger, plan, planned.changes.reasons, uri),
            level=settings.account_level,
            limits=settings.limits,
            damages=sound.known,
            still_copies=sound.file.copies,
            looked=planned.looked,
            fewer=notes.fewer,
            notes=notes.unknown,
            estimates=estimates,
            day=day,
            latency_s=_latencies(plan, history, settings).fitted().mean_of(plan.latency_classes()),
        )


def _latencies(plan: Plan, history: Mapping[LatencyClass, Sequence[float]], settings: Settings) -> Latencies:
    lengths_s = {each: each.length_s for each in {*plan.latency_classes(), *history} if each.length_s}
    return Latencies.after(history, settings.usual_latency_s, lengths_s)


@dataclass(slots=True)
class Agreement:
    """Consent of a person to a purchase.

    Attributes:
        is_yes: whether the plan may go ahead at all.
        max_microusd: the sum; None where no limit is needed.
        share_microusd: what a take is reserved at whose price is not known.
    """

    is_yes: bool
    max_microusd: int | None = None
    share_microusd: int | None = None
    notes: list[str] = field(default_factory=list[str])


def agree(shown: Preview, console: PlainConsole, *, yes: bool, max_usd: float | None) -> Agreement:
    """Ask whether the plan may go ahead where it costs money. A yes is to a sum, which is the run's limit.

    Raises:
        SettingsError: there is no terminal to ask at.
    """
    if yes:
        return Agreement(is_yes=True)
    if console.is_terminal and not all(_says_yes(console, question) for question in _doubts(shown)):
        return Agreement(is_yes=False)
    if max_usd is not None or not shown.plan.to_buy:
        return Agreement(is_yes=True)
    if not console.is_terminal:
        raise SettingsError("this costs money, and there is no terminal to ask at; give --yes or --max-usd")
    if shown.priced.cost is None:
        return _agree_to_a_limit(shown, console)
    most = shown.priced.cost * shown.attempts
    times = f", at most {dollars(most)} with --attempts {shown.attempts}" if shown.attempts > 1 else ""
    lacks = (
        f", {dollars(missing)} more than the account has" if shown.funds and (missing := shown.funds.missing) else ""
    )
    question = f"Buy {counted(shown.plan.to_buy, 'take')} for {dollars(shown.priced.cost)}{times}{lacks}? [y/N] "
    return Agreement(_says_yes(console, question), most)


def _doubts(shown: Preview) -> Iterator[str]:
    """Return what to ask before the price."""
    if shown.fewer is not None:
        now, before = counted(shown.fewer.now, "row"), f"{shown.fewer.before:,}"
        yield f"Go on with {now} where there were {before}? The results lose the others. [y/N] "
    if shown.earlier.moved and shown.plan.to_buy:
        takes = counted(len(shown.earlier.moved), "take")
        yield f"Buy {takes} that may have been bought at another address? [y/N] "


def _says_yes(console: PlainConsole, question: str) -> bool:
    return console.ask(question).lower() in {"y", "yes"}


def _agree_to_a_limit(shown: Preview, console: PlainConsole) -> Agreement:
    """Ask for the most that takes may cost whose price is not known; a plain yes is to no sum."""
    takes = shown.plan.to_buy
    least = f", from {dollars(shown.priced.floor)}" if shown.priced.floor is not None else ""
    them = "it may cost" if takes == 1 else "they may cost together"
    question = (
        f"The price of {counted(takes, 'take')} is not known{least}. Type the most that {them}, in dollars "
        "(Enter buys nothing): "
    )
    for _ in range(MOST_QUESTIONS):
        answer = console.ask(question)
        if answer.lower() in {"", "n", "no"}:
            break
        limit = read_limit(answer)
        share = None if limit is None else limit // (takes * shown.attempts)
        if limit is None or not share:
            console.print(f'found "{answer}"; allowed: an amount of dollars such as 40 or 40.50')
        elif shown.priced.floor is not None and limit < shown.priced.floor:
            console.print(f"{dollars(limit)} is less than the base prices come to ({dollars(shown.priced.floor)})")
        else:
            return Agreement(is_yes=True, max_microusd=limit, share_microusd=share)
    return Agreement(is_yes=False)
