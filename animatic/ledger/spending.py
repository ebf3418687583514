"""Money that was reserved on each UTC day, by provider: all runs on the ledger count together.

A price counts from its intent on, in the same transaction, so that many processes together cannot reserve more than a
day may have. It is given back, to the day that it was reserved on, where it is proven that nothing was bought. A take
that failed still counts: the ledger does not wait for a refund. The embedded sandbox is never counted.
"""

from datetime import date
from typing import Any

import sqlalchemy as sa

from animatic.errors import DayBudgetError
from animatic.ledger.records import Intent
from animatic.ledger.schema import SPENDING
from animatic.ledger.statements import SPEND, SPEND_WITHIN, insert_missing
from animatic.takes.canonical import EMBEDDED_SANDBOX
from animatic.takes.money.amounts import dollars
from animatic.takes.money.budgets import MAX_USD_PER_DAY, Reserved


def day_of(intent: Intent) -> date | None:
    """Return the day that an intent counts for; None for the embedded sandbox."""
    return None if intent.provider == EMBEDDED_SANDBOX else intent.spends_on


def spend(db: sa.Connection, intent: Intent, microusd: int, unpriced: int) -> None:
    """Add the prices of an intent, and of others like it, to its day; `unpriced` of them have none.

    Raises:
        DayBudgetError: the day would have more than it may.
    """
    day = day_of(intent)
    if day is None:
        return
    asked = _asked(intent.provider, day, microusd, unpriced)
    if intent.day_microusd is None:
        statement = SPEND
    else:
        statement, asked = SPEND_WITHIN, asked | {"most_microusd": intent.day_microusd}
    if statement.rows(db, asked):
        return
    db.execute(insert_missing(SPENDING, db.dialect.name), {"provider": intent.provider, "day": day})
    if not statement.rows(db, asked):
        spent = spent_on(db, intent.provider, day)
        raise DayBudgetError(
            f"{MAX_USD_PER_DAY}: buying this take ({dollars(microusd)}) would exceed the limit "
            f"of {dollars(intent.day_microusd or 0)} for {day} (UTC), of which all runs together have reserved "
            f"{dollars(spent.cost_microusd)}; run again on the next day, or raise {MAX_USD_PER_DAY} to go on"
        )


def give_back(db: sa.Connection, provider: str, day: date | None, quoted_microusd: int | None) -> None:
    """Take a price off the day that it was reserved on."""
    if day is not None:
        SPEND.rows(db, _asked(provider, day, -(quoted_microusd or 0), -int(quoted_microusd is None)))


def spent_on(db: sa.Connection, provider: str, day: date) -> Reserved:
    """Return what all runs together have reserved on a UTC day."""
    found = db.execute(
        sa.select(SPENDING.c.reserved_microusd, SPENDING.c.unpriced).where(
            SPENDING.c.provider == provider, SPENDING.c.day == day
        )
    ).first()
    return Reserved(*found) if found else Reserved()


def _asked(provider: str, day: date, microusd: int, unpriced: int) -> dict[str, Any]:
    return {"at_provider": provider, "on_day": day, "price_microusd": microusd, "unpriced_more": unpriced}
