"""The plan, before anything runs: worked out without Prefect, told on stderr, and agreed to."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

from animatic import intake
from animatic.errors import NeverAgainError, SettingsError, TryLaterError
from animatic.plan import Plan, PricedBy
from animatic.settings import Settings
from animatic.takes import BuyingPolicy
from animatic.wavespeed.client import WaveSpeedClient
from flows.terminal import PlainConsole


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan and its prices."""

    plan: Plan
    prices_usd: Mapping[PricedBy, float]

    @property
    def cost_usd(self) -> float | None:
        """What buying costs, or None where a price is missing."""
        return self.plan.cost_usd(self.prices_usd)

    def lines(self) -> list[str]:
        """The plan for people."""
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
            cost = self.cost_usd
            lines.append("  cost: not known; set ANIMATIC_PRICE_USD" if cost is None else f"  cost: ${cost:,.2f}")
        return lines + [f"  note: {warning}" for warning in manifest.warnings]

    def as_json(self) -> str:
        """The same for programs."""
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
                "cost_usd": self.cost_usd,
            }
        )


def preview(manifest: str, settings: Settings, policy: BuyingPolicy, *, skip_invalid: bool) -> Preview:
    """Read, check, look up and quote; buys nothing and writes nothing.

    Raises:
        ManifestError, LocationError: as when running.
    """
    checked = intake.load_manifest(manifest, settings.origin)
    checked.require_valid(skip_invalid=skip_invalid)
    plan = asyncio.run(intake.plan_against(settings.ledger, checked, policy))
    return Preview(plan, asyncio.run(_prices(plan, settings)))


async def _prices(plan: Plan, settings: Settings) -> dict[PricedBy, float]:
    """Quotes for what there is to buy, from the API where there is a key, else from the setting."""
    kinds = list(plan.kinds)
    if kinds and settings.api_key is not None:
        async with WaveSpeedClient(settings.base_url, settings.require_key()) as client:
            try:
                return await intake.quote_all(client, kinds)
            except (TryLaterError, NeverAgainError):
                pass
    return {kind: settings.price_usd for kind in kinds if settings.price_usd is not None}


def agree(shown: Preview, console: PlainConsole, *, yes: bool, max_usd: float | None) -> bool:
    """Whether the plan may go ahead against the real API.

    Raises:
        SettingsError: there is nobody to ask.
    """
    if not shown.plan.to_buy or yes or max_usd is not None:
        return True
    if not console.is_terminal:
        raise SettingsError("this costs money, and there is no terminal to ask at: give --yes or --max-usd")
    cost = "an unknown price" if shown.cost_usd is None else f"${shown.cost_usd:,.2f}"
    answer = console.input(f"Buy {shown.plan.to_buy:,} takes for {cost}? [y/N] ", markup=False)
    return answer.strip().lower() in {"y", "yes"}
