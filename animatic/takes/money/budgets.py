"""Budgets that end a purchase early and leave the rest for a later run. Pure."""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from animatic.takes.money.amounts import as_number, dollars

SPEND_UP_TO, MAX_USD, MAX_USD_PER_DAY = "--spend-up-to", "--max-usd", "ANIMATIC_MAX_USD_PER_DAY"
"""Names of limits, as people set them."""


class Reserved(NamedTuple):
    """Sums that a run has reserved so far.

    Attributes:
        cost_microusd: millionths of a dollar, of all its submissions whose price is known.
        unpriced: how many submissions there are whose price is not.
    """

    cost_microusd: int = 0
    unpriced: int = 0

    @property
    def known_microusd(self) -> int | None:
        """The cost, or None where something was submitted and no price is known at all."""
        return None if self.unpriced and not self.cost_microusd else self.cost_microusd


@dataclass(frozen=True, slots=True)
class Allowance:
    """An amount that a run may go as far as.

    Attributes:
        microusd: millionths of a dollar; below zero where more was reserved already.
        name: of the option or variable that sets it.
        words: for people, the amount included.
    """

    microusd: int
    name: str
    words: str


def spent_up_to(microusd: int) -> Allowance:
    """Return the allowance of `--spend-up-to`."""
    return Allowance(microusd, SPEND_UP_TO, f"{SPEND_UP_TO} {dollars(microusd)}")


@dataclass(frozen=True, slots=True)
class DayBudget:
    """The most that all runs together may reserve on a UTC day at one provider, and what they have so far.

    Attributes:
        unpriced: submissions of that day whose price is not known; they are not in `reserved`.
    """

    day: date
    limit_microusd: int
    reserved_microusd: int = 0
    unpriced: int = 0

    @property
    def left_microusd(self) -> int:
        """Amount that is left; 0 where more was reserved than the limit is now."""
        return max(self.limit_microusd - self.reserved_microusd, 0)

    @property
    def allowance(self) -> Allowance:
        """Allowance of a run: all that is left."""
        return Allowance(self.left_microusd, MAX_USD_PER_DAY, f"{MAX_USD_PER_DAY}, with {self._left},")

    @property
    def words(self) -> str:
        """The budget in a line."""
        more = f"; {self.unpriced:,} more at a price that is not known" if self.unpriced else ""
        return f"{self._left}{more}"

    @property
    def _left(self) -> str:
        return f"{dollars(self.left_microusd)} of {dollars(self.limit_microusd)} left for {self.day} (UTC)"

    def as_dict(self) -> dict[str, object]:
        """Return it as `--json` has it."""
        return {
            "day": self.day.isoformat(),
            "limit_usd": as_number(self.limit_microusd),
            "reserved_usd": as_number(self.reserved_microusd),
            "left_usd": as_number(self.left_microusd),
        }
