"""A plan with what its takes cost. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from animatic.planning.plan import Plan
from animatic.planning.reach import within
from animatic.takes.money.amounts import Quote, price_of
from animatic.takes.money.budgets import Allowance
from animatic.takes.schemas import PriceClass


@dataclass(frozen=True, slots=True)
class PricedPlan:
    """A plan, and the prices at which its takes are reserved.

    Attributes:
        quotes: what the API says, by price_class of take.
        setting_microusd: price of a take where no quote can be had, as set.
        share_microusd: price of a take without any other, out of a limit that a person agreed to.
        stand_ins: the most that a take may cost where no quote can be had, by price class: estimates that were
            accepted, or what was allowed by name.
    """

    plan: Plan
    quotes: Mapping[PriceClass, Quote]
    setting_microusd: int | None = None
    share_microusd: int | None = None
    stand_ins: Mapping[PriceClass, int] = field(default_factory=dict[PriceClass, int])

    @property
    def prices(self) -> dict[PriceClass, int | None]:
        """Prices at which takes are reserved."""
        return self.prices_of(self.plan.price_classes)

    @property
    def unpriced(self) -> list[PriceClass]:
        """Classes of takes to buy whose price is not known."""
        return [each for each, price in self.prices.items() if price is None]

    def prices_of(self, price_classes: Iterable[PriceClass]) -> dict[PriceClass, int | None]:
        """Return the prices at which takes of these classes would be reserved."""
        setting, share, named = self.setting_microusd, self.share_microusd, self.stand_ins
        return {each: price_of(self.quotes.get(each), setting, named.get(each, share)) for each in price_classes}

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

    def within(self, allowances: Sequence[Allowance]) -> "PricedPlan":
        """Return the plan that buys as far as these amounts go, and leaves the rest for a later run.

        The same where a price is not known.
        """
        return self if self.cost is None else replace(self, plan=within(self.plan, self.prices, allowances))

    def require_prices(self, allowances: Sequence[Allowance]) -> None:
        """Refuse a plan of which a price is not known, if it is to go as far as some money does. Raises BudgetError."""
        if self.cost is None:
            for allowance in allowances:
                self.plan.require_budget(self.prices, allowance.microusd, allowance.name)

    def require_budget(self, max_microusd: int | None) -> None:
        """Refuse a plan that costs more than it may. Raises BudgetError."""
        self.plan.require_budget(self.prices, max_microusd)
