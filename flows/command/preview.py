"""The plan, before anything runs: worked out without Prefect, shown on stderr, and agreed to."""

import asyncio
import contextlib
import functools
import json
from dataclasses import dataclass, field

from animatic.errors import SettingsError
from animatic.ledger import dead_runs, ledger_name, look_into
from animatic.manifest import Manifest
from animatic.media.archive_room import find_room_note
from animatic.money.amounts import Quote, as_number, dollars, read_limit
from animatic.planning.earlier import Earlier, find_earlier
from animatic.planning.lookup import is_new_ledger, plan_takes
from animatic.planning.manifests import load_manifest
from animatic.planning.plan import Plan
from animatic.planning.priced import PricedPlan
from animatic.planning.quotes import find_quotes, quote_all
from animatic.settings import Settings
from animatic.storage.folder import Folder
from animatic.takes.schemas import PriceClass
from animatic.takes.states import BuyingPolicy
from animatic.wavespeed.client import WaveSpeedClient
from flows.terminal import PlainConsole

MOST_QUESTIONS = 3


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan, what it costs, and which ledger it was held against.

    Attributes:
        ledger: where the ledger is.
        is_new: whether it holds no take of this provider.
        earlier: takes to buy that were bought before, by the account's list or under another address.
        has_key: whether WaveSpeed could be asked.
        room_note: that the clips would not fit into the archive; None where they do.
    """

    priced: PricedPlan
    ledger: str
    is_new: bool
    earlier: Earlier
    attempts: int = 1
    has_key: bool = True
    room_note: str | None = None

    @property
    def plan(self) -> Plan:
        """The plan without its prices."""
        return self.priced.plan

    def lines(self) -> list[str]:
        """Return the plan for people."""
        plan, manifest = self.plan, self.plan.manifest
        shared = plan.rows_asking - len(plan)
        head = f"{manifest.name}: {manifest.num_rows:,} rows, {plan.rows_asking:,} takes asked for"
        if shared:
            head += f", {shared:,} of them shared with another row"
        if manifest.num_invalid:
            head += f", {manifest.num_invalid:,} invalid rows"
        counts = f"{plan.to_buy:,} new, {plan.settled.total():,} cached, {plan.resumable:,} resumable"
        lines = [head, f"  {counts}, {plan.unclear + plan.underway:,} unknown or held"]
        if plan.to_buy:
            lines.append(f"  cost: {self._cost_in_words()}")
        lines.append(f"  ledger: {self.ledger}{' (new: it holds no take of this provider)' if self.is_new else ''}")
        return lines + [f"  note: {line}" for line in self._notes()]

    def _notes(self) -> list[str]:
        room = [] if self.room_note is None else [self.room_note]
        return [*self.earlier.lines(), *room, *self.plan.manifest.warnings]

    def _cost_in_words(self) -> str:
        cost, floor = self.priced.cost, self.priced.floor
        if cost is not None:
            return dollars(cost)
        if not self.has_key:
            return "not known, since WAVESPEED_API_KEY is not set and WaveSpeed was not asked"
        if floor is not None:
            return f"from {dollars(floor)} (base prices); set ANIMATIC_PRICE_USD to what one take costs at most"
        return "not known; set ANIMATIC_PRICE_USD"

    def as_json(self) -> str:
        """Return the plan for programs."""
        plan = self.plan
        return json.dumps(
            {
                "rows": plan.manifest.num_rows,
                "takes": len(plan),
                "shared": plan.rows_asking - len(plan),
                "invalid": plan.manifest.num_invalid,
                "new": plan.to_buy,
                "cached": plan.settled.total(),
                "resumable": plan.resumable,
                "unknown": plan.unclear + plan.underway,
                "cost_usd": as_number(self.priced.cost),
                "cost_from_usd": as_number(self.priced.floor),
                "ledger": self.ledger,
                "ledger_is_new": self.is_new,
                "made_already": self.earlier.found.takes if self.earlier.found else [],
                "bought_at_another_address": list(self.earlier.moved),
            }
        )


def preview(
    manifest: str, settings: Settings, policy: BuyingPolicy, *, skip_invalid: bool, archive_uri: str = ""
) -> Preview:
    """Read, check, look up and quote; buys nothing and writes nothing. With an archive, look for room in it too.

    Raises:
        ManifestError, LocationError: as when running.
    """
    checked = load_manifest(manifest, settings.origin, settings.written_origin, settings.network)
    checked.require_valid(skip_invalid=skip_invalid)
    return asyncio.run(_preview(checked, settings, policy, archive_uri))


async def _preview(checked: Manifest, settings: Settings, policy: BuyingPolicy, archive_uri: str) -> Preview:
    with look_into(settings.ledger) as ledger:
        plan = await plan_takes(ledger, checked, policy, is_dead=dead_runs(settings.ledger))
        is_new = await is_new_ledger(ledger, settings.origin)
        async with contextlib.AsyncExitStack() as stack:
            quotes, client = dict[PriceClass, Quote](), None
            if plan.to_buy and settings.api_key is not None:
                opened = WaveSpeedClient(settings.base_url, settings.require_key(), network=settings.network)
                client = await stack.enter_async_context(opened)
                quotes, _ = await find_quotes(functools.partial(quote_all, client), list(plan.price_classes), quotes)
            earlier = await find_earlier(ledger, plan, client if settings.is_real else None, is_new=is_new)
        room = await find_room_note(Folder(archive_uri), ledger, plan.to_do) if archive_uri else None
    return Preview(
        PricedPlan(plan, quotes, settings.price_microusd),
        ledger_name(settings.ledger),
        is_new,
        earlier,
        policy.attempts,
        settings.api_key is not None,
        room,
    )


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
        question = f"Buy {len(shown.earlier.moved):,} takes that may have been bought at another address? [y/N] "
        if not _says_yes(console, question):
            return Agreement(is_yes=False)
    if max_usd is not None:
        return Agreement(is_yes=True)
    if not console.is_terminal:
        raise SettingsError("this costs money, and there is no terminal to ask at: give --yes or --max-usd")
    if shown.priced.cost is None:
        return _agree_to_a_limit(shown, console)
    most = shown.priced.cost * shown.attempts
    times = f", at most {dollars(most)} with --attempts {shown.attempts}" if shown.attempts > 1 else ""
    question = f"Buy {shown.plan.to_buy:,} takes for {dollars(shown.priced.cost)}{times}? [y/N] "
    return Agreement(_says_yes(console, question), most)


def _says_yes(console: PlainConsole, question: str) -> bool:
    return console.ask(question).lower() in {"y", "yes"}


def _agree_to_a_limit(shown: Preview, console: PlainConsole) -> Agreement:
    """Ask for the most that takes may cost whose price is not known; a plain yes is to no sum."""
    takes = shown.plan.to_buy
    least = f", from {dollars(shown.priced.floor)}" if shown.priced.floor is not None else ""
    question = (
        f"The price of {takes:,} takes is not known{least}. Type the most that they may cost together, in dollars "
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
