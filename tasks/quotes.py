"""Ask the API what takes cost. Free to ask, so Prefect remembers the answer for a while."""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from prefect import task

from animatic.planning.quotes import Ask, Quote
from animatic.takes.schemas import PriceClass
from tasks.begun import begin
from tasks.policies import FREE_TO_ASK, QUOTE_EXPIRY, content_key, keyed_by_argument


async def quote_in_task(ask: Ask, account: str, price_classes: Sequence[PriceClass]) -> dict[PriceClass, Quote]:
    """Ask in a task run; Prefect remembers what this account heard.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had.
    """
    key = content_key(account, *map(str, price_classes))
    return read_quotes(price_classes, await begin(quote_prices(price_classes, ask, key)))


@task(
    name="quote-prices",
    task_run_name="quote prices",
    cache_policy=keyed_by_argument("quote"),
    cache_expiration=QUOTE_EXPIRY,
    **FREE_TO_ASK,
)
async def quote_prices(
    price_classes: Sequence[PriceClass],
    ask: Ask,
    cache_key: str,  # noqa: ARG001 - read by the cache policy
) -> list[tuple[int, bool, float]]:
    """Ask what one take of each price class costs; the parts of a `Quote`, in the same order.

    Each says when it was asked for: one that Prefect remembers is as old as it is.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had.
    """
    quotes = await ask(price_classes)
    return [astuple(quote) for quote in quotes.values()]


def read_quotes(price_classes: Sequence[PriceClass], found: Sequence[Sequence[Any]]) -> dict[PriceClass, Quote]:
    """Return what `quote_prices` found, as values, however often it went through JSON."""
    return {price_class: Quote(*parts) for price_class, parts in zip(price_classes, found, strict=True)}
