"""A plan with what its takes cost. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from animatic.money.amounts import Quote, price_of
from animatic.planning.plan import Plan
from animatic.takes.schemas import PriceClass


@dataclass(frozen=True, slots=True)
class PricedPlan:
    """A plan, and the prices at which its takes are reserved.

    Attributes:
        quotes: what the API says, by price_class of take.
        setting_microusd: price of a take where no quote can be had, as set.
        share_microusd: price of a take without any other, out of a limit that a person agreed to.
    """

    plan: Plan
    quotes: Mapping[PriceClass, Quote]
    setting_microusd: int | None = None
    share_microusd: int | None = None

    @property
    def prices(self) -> dict[PriceClass, int | None]:
        """Prices at which takes are reserved."""
        return self.prices_of(self.plan.price_classes)

    def prices_of(self, price_classes: Iterable[PriceClass]) -> dict[PriceClass, int | None]:
        """Return the prices at which takes of these classes would be reserved."""
        setting, share = self.setting_microusd, self.share_microusd
        return {each: price_of(self.quotes.get(each), setting, share) for each in price_classes}

    @property
    def cost(self) -> int | None:
        """Cost of one attempt at each take, in millionths of a dollar; None where a price is missing."""
        return self.plan.cost(self.prices)

    @property
    def floor(self) -> int | None:
        """Least cost, where only base prices are known."""
        known = {
            price_class: price or (self.quotes[price_class].microusd if price_class in self.quotes else None)
            for price_class, price in self.prices.items()
        }
        return self.plan.cost(known)

    def require_budget(self, max_microusd: int | None) -> None:
        """Refuse a plan that costs more than it may. Raises BudgetError."""
        self.plan.require_budget(self.prices, max_microusd)
