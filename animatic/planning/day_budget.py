"""The day's budget, as the ledger has it. Buys nothing."""

from datetime import date

from animatic.ledger import Ledger
from animatic.takes.money.budgets import DayBudget


async def find_day_budget(
    ledger: Ledger | None, provider: str, limit_microusd: int | None, day: date
) -> DayBudget | None:
    """Return what all runs together may reserve on a UTC day, and have so far; None where there is no limit."""
    if limit_microusd is None:
        return None
    if ledger is None:
        return DayBudget(day, limit_microusd)
    return DayBudget(day, limit_microusd, *await ledger.spent_on(provider, day))
