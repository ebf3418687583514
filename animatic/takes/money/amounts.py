"""Amounts: whole millionths of a dollar inside, `Decimal` dollars at the edges; and which prices to believe. Pure.

Sums of integers are exact, whatever their order; a dollar that is added up in two places comes to the same in both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any, TypeVar

Key = TypeVar("Key")

MICROUSD_PER_USD = 1_000_000
MIN_PRICE_USD, MAX_PRICE_USD = Decimal("0.001"), Decimal(100_000)
"""No take costs less or more; a number beyond them in a quote is a mistake."""

MOST_USD = 10_000_000
"""Limits go up to this; a ledger on a server holds no amount of any size."""

_MEASURES = re.compile(r"second|minute|hour|frame|token|pixel", re.IGNORECASE)

FRESH_S = 600.0
"""Prices are no older than this when money is reserved."""

GOES_ON_S = 3_600.0
"""Seconds that a run with a limit goes on at the last quote while a fresh one cannot be had."""

_PLAIN_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12})?")


def microusd(amount: Decimal | float | str, *, rounding: str = ROUND_CEILING) -> int:
    """Return an amount of dollars in millionths, rounded up: what is reserved is never less than what is charged.

    Raises:
        ValueError: it is not a finite number.
    """
    try:
        return int((Decimal(str(amount)) * MICROUSD_PER_USD).to_integral_value(rounding=rounding))
    except (ArithmeticError, ValueError):
        raise ValueError(f"found {amount!r} as an amount of dollars; allowed: a finite number") from None


def limit_microusd(amount: float) -> int:
    """Return a limit in millionths of a dollar, rounded down."""
    return microusd(amount, rounding=ROUND_FLOOR)


def usd(amount_microusd: int) -> Decimal:
    """Return the dollars of an amount, with six decimals."""
    return Decimal(amount_microusd).scaleb(-6)


def dollars(amount_microusd: int) -> str:
    """Format an amount for people: `$7.50`, with more decimals only where they are needed."""
    amount = usd(amount_microusd)
    return f"${amount:,.2f}" if amount_microusd % 10_000 == 0 else f"${amount.normalize():,f}"


def cost_in_words(cost_microusd: int, unpriced: int) -> str:
    """Say what was reserved: `$7.50`, `$7.50 and 2 at a price that is not known`, `price not known`."""
    if not unpriced:
        return dollars(cost_microusd)
    if not cost_microusd:
        return "price not known"
    return f"{dollars(cost_microusd)} and {unpriced:,} at a price that is not known"


def as_number(amount_microusd: int | None) -> float | None:
    """Return the dollars of an amount as JSON can hold them."""
    return None if amount_microusd is None else amount_microusd / MICROUSD_PER_USD


def believed(value: Any) -> int | None:
    """Return a price from a reply in millionths of a dollar, or None for one that cannot be right.

    Zero, negative, not finite, beyond `MIN_PRICE_USD` or `MAX_PRICE_USD`, or no number at all: not believed.
    """
    if isinstance(value, str) and _PLAIN_NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    if not amount.is_finite() or not MIN_PRICE_USD <= amount <= MAX_PRICE_USD:
        return None
    return microusd(amount)


def quoted_price(data: Mapping[str, Any]) -> int | None:
    """Return the price that a quote names, in millionths of a dollar, or None where it names none to be believed.

    A discounted price counts where it is believable and no higher than the price. One above the price contradicts it:
    the whole quote is then not believed; nor is one in another currency, or by the second.

    Source: the replies of WaveSpeed's `/model/price` (`price`, `discounted_price`) and `/model/pricing`
    (`unit_price`); not tried live.
    """
    if str(data.get("currency") or "USD").strip().upper() != "USD" or _MEASURES.search(str(data.get("unit") or "")):
        return None
    price = believed(data.get("price"))
    if price is None:
        price = believed(data.get("unit_price"))
    discounted = believed(data.get("discounted_price"))
    if price is None or discounted is None:
        return price
    return discounted if discounted <= price else None


def read_limit(text: str) -> int | None:
    """Read an amount that a person typed (`40`, `$40.50`), in millionths of a dollar; None for anything else."""
    plain = text.strip().removeprefix("$").replace(",", "")
    if not _PLAIN_NUMBER.fullmatch(plain):
        return None
    return microusd(Decimal(plain), rounding=ROUND_FLOOR)


@dataclass(frozen=True, slots=True)
class Quote:
    """Price of one take, as quoted by the API.

    Attributes:
        microusd: millionths of a dollar.
        is_floor: it costs at least this much: a base price, where no quote could be had.
        asked_at_s: when it was asked for, in seconds since 1970 by this machine's clock.
    """

    microusd: int
    is_floor: bool = False
    asked_at_s: float = 0.0

    def age_s(self, now_s: float) -> float:
        """Return how old it is; one from the future is of unknown age, and too old for anything."""
        age_s = now_s - self.asked_at_s
        return age_s if age_s >= 0 else float("inf")


def price_of(quote: Quote | None, setting_microusd: int | None, share_microusd: int | None = None) -> int | None:
    """Return the price at which a take is reserved, or None where none is known.

    A quote counts. A floor alone is none: then what the user set as the price counts, else an equal share of the
    limit that a person typed for takes whose price is not known; neither may be below the floor.
    """
    if quote is not None and not quote.is_floor:
        return quote.microusd
    said = setting_microusd if setting_microusd is not None else share_microusd
    return said if quote is None or said is None else max(said, quote.microusd)


def newest_quotes(first: Mapping[Key, Quote], second: Mapping[Key, Quote]) -> dict[Key, Quote]:
    """Return of each price class the quote that was asked for last; a real one before a floor."""
    newest = dict(first)
    for price_class, quote in second.items():
        before = newest.get(price_class)
        if before is None or (not quote.is_floor, quote.asked_at_s) >= (not before.is_floor, before.asked_at_s):
            newest[price_class] = quote
    return newest
