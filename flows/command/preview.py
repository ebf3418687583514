"""The plan, before anything runs: worked out without Prefect, shown on stderr, and agreed to."""

import asyncio
import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from animatic import storage
from animatic.errors import AccountRefusedError, AnimaticError, NeverAgainError, SettingsError, TryLaterError
from animatic.ledger import dead_runs, ledger_name, look_into
from animatic.manifest import Manifest
from animatic.media.archive_room import find_room_note
from animatic.models import Catalogue
from animatic.money.amounts import Quote, dollars, read_limit
from animatic.pace.latencies import Latencies
from animatic.planning.catalogues import find_catalogue, kept_list
from animatic.planning.earlier import find_earlier
from animatic.planning.lookup import is_new_ledger, plan_takes
from animatic.planning.manifests import FindModels
from animatic.planning.plan import Plan
from animatic.planning.priced import PricedPlan
from animatic.planning.quotes import quote_each
from animatic.planning.reasons import find_reasons
from animatic.planning.sound import SoundPlanning, with_damages
from animatic.settings import Settings
from animatic.storage.folder import Folder
from animatic.takes.schemas import LatencyClass, PriceClass
from animatic.takes.states import BuyingPolicy
from animatic.text import counted
from animatic.wavespeed.client import WaveSpeedClient
from flows.command.plan_in_words import Preview
from flows.order import RowOptions, file_of
from flows.terminal import PlainConsole, complain

MOST_QUESTIONS = 3


def preview(  # noqa: PLR0913 - a manifest, and how it is read
    manifest: str,
    settings: Settings,
    policy: BuyingPolicy,
    *,
    skip_invalid: bool,
    archive_uri: str = "",
    rows: RowOptions = RowOptions(),  # noqa: B008 - frozen
) -> Preview:
    """Read, check, look up and quote; buys nothing and writes nothing. With an archive, look for room in it too.

    Raises:
        ManifestError, LocationError: as when running.
    """
    file = file_of(manifest, settings, rows, models_for(settings, rows))
    checked = file.load()
    if len(checked.faults) and not skip_invalid:
        checked = asyncio.run(with_damages(file, checked, file.stills.find_damages))
    checked.require_valid(skip_invalid=skip_invalid)
    sound = SoundPlanning(file, file.stills.find_damages, skip_invalid, tell=complain)
    return asyncio.run(_preview(sound, checked, settings, policy, archive_uri))


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


async def _preview(
    sound: SoundPlanning, checked: Manifest, settings: Settings, policy: BuyingPolicy, archive_uri: str
) -> Preview:
    with look_into(settings.ledger) as ledger:
        is_dead = dead_runs(settings.ledger)
        plan = await sound.plan(checked, functools.partial(plan_takes, ledger, policy=policy, is_dead=is_dead))
        is_new = await is_new_ledger(ledger, settings.origin)
        quotes, problems = dict[PriceClass, Quote](), dict[PriceClass, AnimaticError]()
        client, balance_usd = None, None
        async with contextlib.AsyncExitStack() as stack:
            wanted = list({**plan.price_classes, **plan.retriable_classes})
            if wanted and settings.api_key is not None:
                opened = WaveSpeedClient(settings.base_url, settings.require_key(), network=settings.network)
                client = await stack.enter_async_context(opened)
                quotes, problems = await quote_each(client, wanted)
                if plan.to_buy and quotes:
                    balance_usd = await _balance_usd(client)
            is_refused = any(isinstance(each, AccountRefusedError) for each in problems.values())
            asked = client if settings.is_real and not is_refused else None
            earlier = await find_earlier(ledger, plan, asked, is_new=is_new)
        history = {} if ledger is None else await ledger.inference_history(settings.origin)
        room = await find_room_note(Folder(archive_uri), ledger, plan.to_do) if archive_uri else None
        return Preview(
            PricedPlan(plan, quotes, settings.price_microusd),
            ledger_name(settings.ledger),
            is_new,
            earlier,
            policy.attempts,
            has_key=settings.api_key is not None,
            room_note=room,
            problems=problems,
            reasons=await find_reasons(ledger, plan, storage.absolute_uri(sound.file.uri)),
            balance_usd=balance_usd,
            level=settings.account_level,
            limits=settings.limits,
            damages=sound.known,
            latency_s=_latencies(plan, history, settings).fitted().mean_of(plan.latency_classes()),
        )


def _latencies(plan: Plan, history: Mapping[LatencyClass, Sequence[float]], settings: Settings) -> Latencies:
    lengths_s = {each: each.length_s for each in {*plan.latency_classes(), *history} if each.length_s}
    return Latencies.after(history, settings.usual_latency_s, lengths_s)


async def _balance_usd(client: WaveSpeedClient) -> float | None:
    """Return the account's balance, or None where it cannot be had now."""
    with contextlib.suppress(TryLaterError, NeverAgainError):
        return await client.balance_usd()
    return None


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
    if not shown.plan.to_buy or yes:
        return Agreement(is_yes=True)
    if shown.earlier.moved and console.is_terminal:
        takes = counted(len(shown.earlier.moved), "take")
        question = f"Buy {takes} that may have been bought at another address? [y/N] "
        if not _says_yes(console, question):
            return Agreement(is_yes=False)
    if max_usd is not None:
        return Agreement(is_yes=True)
    if not console.is_terminal:
        raise SettingsError("this costs money, and there is no terminal to ask at; give --yes or --max-usd")
    if shown.priced.cost is None:
        return _agree_to_a_limit(shown, console)
    most = shown.priced.cost * shown.attempts
    times = f", at most {dollars(most)} with --attempts {shown.attempts}" if shown.attempts > 1 else ""
    question = f"Buy {counted(shown.plan.to_buy, 'take')} for {dollars(shown.priced.cost)}{times}? [y/N] "
    return Agreement(_says_yes(console, question), most)


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
