"""Quotes of the API for the takes of a plan. Asking is free."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from animatic.errors import NeverAgainError, TryLaterError
from animatic.money.amounts import Quote, newest_quotes
from animatic.takes.schemas import PriceClass
from animatic.wavespeed.client import WaveSpeedClient

Ask = Callable[[Sequence[PriceClass]], Awaitable[Mapping[PriceClass, Quote]]]


async def find_quotes(
    ask: Ask, price_classes: Sequence[PriceClass], known: Mapping[PriceClass, Quote]
) -> tuple[Mapping[PriceClass, Quote], str | None]:
    """Return the newest quotes, and why there are no newer ones than those that are known, if so."""
    try:
        found = await ask(price_classes)  # may be remembered, and older than what is known
        return newest_quotes(known, found), None
    except (TryLaterError, NeverAgainError) as error:
        return known, str(error)


async def quote(client: WaveSpeedClient, price_class: PriceClass) -> Quote:
    """Ask the API what one take of a price class costs.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had.
    """
    inputs = {"prompt": "a quote", "image": "https://example.com/still.jpg", **price_class.inputs}
    price = await client.quote(price_class.model, inputs)
    return Quote(price.microusd, price.is_floor, time.time())


async def quote_all(client: WaveSpeedClient, price_classes: Iterable[PriceClass]) -> dict[PriceClass, Quote]:
    """Ask for the price of each, one after the other.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had for one of them.
    """
    return {each: await quote(client, each) for each in price_classes}
