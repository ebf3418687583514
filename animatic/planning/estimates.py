"""Estimates of prices that WaveSpeed does not quote: the most that takes like it cost before, by the ledger.

An estimate is never a price by itself. It is shown as one, with the number of takes that it comes from, and a run goes
by it only where `--accept-estimates` says so.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from animatic.errors.text import counted
from animatic.ledger import Ledger, Paid
from animatic.planning.plan import Plan
from animatic.takes.canonical import canonical_provider
from animatic.takes.money.amounts import dollars
from animatic.takes.schemas import ModelSchema, PriceClass

NEWEST = 20
"""An estimate comes from so many takes at most."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Price that a take may have.

    Attributes:
        microusd: the most that one of the newest takes like it did, in millionths of a dollar.
        takes: how many it comes from.
        is_alike: whether those have the same price-relevant inputs; else they are any of the same model.
    """

    microusd: int
    takes: int
    is_alike: bool = True

    @property
    def source(self) -> str:
        """Its source, in words."""
        of = "" if self.is_alike else " of this model with other inputs"
        return f"estimated from {counted(self.takes, 'take')}{of}"

    def __str__(self) -> str:
        return f"about {dollars(self.microusd)}, {self.source}"


def estimates_from(
    wanted: Collection[PriceClass], paid: Sequence[Paid], schemas: Mapping[str, ModelSchema]
) -> dict[PriceClass, Estimate]:
    """Return an estimate for each price class of which takes were bought before; `paid` is newest first."""
    alike: defaultdict[PriceClass, list[int]] = defaultdict(list)
    of_model: defaultdict[str, list[int]] = defaultdict(list)
    for each in paid:
        of_model[each.model].append(each.microusd)
        if (schema := schemas.get(each.model)) is not None:
            alike[schema.price_class(each.inputs)].append(each.microusd)
    found: dict[PriceClass, Estimate] = {}
    for price_class in wanted:
        same = alike.get(price_class, [])
        if newest := (same or of_model.get(price_class.model, []))[:NEWEST]:
            found[price_class] = Estimate(max(newest), len(newest), bool(same))
    return found


async def find_estimates(
    ledger: Ledger | None, plan: Plan, unpriced: Collection[PriceClass]
) -> dict[PriceClass, Estimate]:
    """Return estimates for classes of takes whose price is not known, as far as the ledger has any like them."""
    if ledger is None or not unpriced:
        return {}
    models = sorted({each.model for each in unpriced})
    paid = await ledger.newest_paid(canonical_provider(plan.manifest.provider), models)
    return estimates_from(unpriced, paid, plan.manifest.schemas)
