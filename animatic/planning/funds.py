"""The account's balance beside the cost of a plan, or of what is left of it. Asks; buys nothing."""

import asyncio
from decimal import ROUND_FLOOR

import numpy as np

from animatic.errors import NeverAgainError, TryLaterError
from animatic.ledger import Ledger
from animatic.planning.lookup import find_snapshot
from animatic.planning.plan import cost_of, price_classes_of
from animatic.planning.priced import PricedPlan
from animatic.takes.money.amounts import microusd
from animatic.takes.money.funds import Funds
from animatic.takes.states import BuyingPolicy, permission_to_buy
from animatic.wavespeed.client import WaveSpeedClient

ASKS_WITHIN_S = 10.0


async def find_balance(client: WaveSpeedClient) -> int | None:
    """Return the account's balance in millionths of a dollar, or None where it cannot be had now."""
    try:
        async with asyncio.timeout(ASKS_WITHIN_S):
            return microusd(await client.balance_usd(), rounding=ROUND_FLOOR)
    except (TryLaterError, NeverAgainError, TimeoutError):
        return None


async def funds_left(
    client: WaveSpeedClient, ledger: Ledger, priced: PricedPlan, policy: BuyingPolicy, run_id: str
) -> Funds | None:
    """Return what the account has beside the takes of a plan that are still to be bought; None without a balance."""
    balance = await find_balance(client)
    if balance is None:
        return None
    plan = priced.plan
    snapshot = await find_snapshot(ledger, plan.manifest, run_id)
    may_buy = np.array([permission_to_buy(each, policy) is not None for each in snapshot.statuses], bool)
    classes = price_classes_of(plan.manifest, plan.is_to_buy & may_buy[snapshot.status_of])
    return Funds(balance, cost_of(classes, priced.prices_of(classes)))


def funds_of(priced: PricedPlan, balance: int | None) -> Funds | None:
    """Return what the account has beside what a plan costs, at least; None without a balance."""
    if balance is None:
        return None
    cost = priced.cost
    return Funds(balance, priced.floor if cost is None else cost, is_least=cost is None)
