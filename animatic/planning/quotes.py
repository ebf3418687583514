"""Quotes of the API for the takes of a plan. Asking is free."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from animatic.errors import NeverAgainError, TryLaterError
from animatic.money.amounts import Quote, newest_quotes
from animatic.planning.plan import PriceClass
from animatic.wavespeed.client import WaveSpeedClient

Ask = Callable[[Sequence[PriceClass]], Awaitable[Mapping[PriceClass, Quote]]]


async def find_quotes(
    ask: Ask, kinds: Sequence[PriceClass], known: Mapping[PriceClass, Quote]
) -> tuple[Mapping[PriceClass, Quote], str | None]:
    """Return the newest quotes, and why there are no newer ones than those that are known, if so."""
    try:
        return newest_quotes(known, await ask(kinds)), None  # what is asked may be remembered, and older than known
    except (TryLaterError, NeverAgainError) as error:
        return known, str(error)


async def quote(client: WaveSpeedClient, kind: PriceClass) -> Quote:
    """Ask the API what one take of a kind costs.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had.
    """
    model, duration, aspect_ratio = kind
    inputs = {
        "prompt": "a quote",
        "image": "https://example.com/still.jpg",
        "duration": duration,
        "aspect_ratio": aspect_ratio,
    }
    price = await client.quote(model, inputs)
    return Quote(price.microusd, price.is_floor, time.time())


async def quote_all(client: WaveSpeedClient, kinds: Iterable[PriceClass]) -> dict[PriceClass, Quote]:
    """Ask for the price of each kind of take, one after the other.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had for one of them.
    """
    return {kind: await quote(client, kind) for kind in kinds}
