"""Quotes of the API for the takes of a plan. Asking is free."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from animatic.errors import AccountRefusedError, AnimaticError, ApiRefusedError, NeverAgainError, TryLaterError
from animatic.takes.money.amounts import Quote, newest_quotes
from animatic.takes.schemas import ANY_FILE, PriceClass
from animatic.wavespeed.client import WaveSpeedClient

Ask = Callable[[Sequence[PriceClass]], Awaitable[Mapping[PriceClass, Quote]]]


async def find_quotes(
    ask: Ask, price_classes: Sequence[PriceClass], known: Mapping[PriceClass, Quote]
) -> tuple[Mapping[PriceClass, Quote], str | None]:
    """Return the newest quotes, and why there are no newer ones than those that are known, if so.

    Raises:
        AccountRefusedError: the key or the account is refused, so that nothing could be bought either.
    """
    try:
        found = await ask(price_classes)  # may be remembered, and older than what is known
        return newest_quotes(known, found), None
    except AccountRefusedError:
        raise
    except (TryLaterError, NeverAgainError) as error:
        return known, str(error)


async def quote(client: WaveSpeedClient, price_class: PriceClass) -> Quote:
    """Ask the API what one take of a price class costs.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had.
    """
    inputs = {"prompt": "a quote", "image": ANY_FILE, **price_class.inputs}
    price = await client.quote(price_class.model, inputs)
    return Quote(price.microusd, price.is_floor, time.time())


async def quote_each(
    client: WaveSpeedClient, price_classes: Sequence[PriceClass]
) -> tuple[dict[PriceClass, Quote], dict[PriceClass, AnimaticError]]:
    """Ask for the price of each; return the quotes, and the error of each that has none.

    A refusal is that of one price class. After any other error no more are asked for.
    """
    quotes, problems = dict[PriceClass, Quote](), dict[PriceClass, AnimaticError]()
    for number, price_class in enumerate(price_classes):
        try:
            quotes[price_class] = await quote(client, price_class)
        except ApiRefusedError as error:
            problems[price_class] = error
        except (TryLaterError, NeverAgainError) as error:
            problems |= dict.fromkeys(price_classes[number:], error)
            break
    return quotes, problems


async def quote_all(client: WaveSpeedClient, price_classes: Iterable[PriceClass]) -> dict[PriceClass, Quote]:
    """Ask for the price of each, one after the other.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had for one of them.
    """
    return {each: await quote(client, each) for each in price_classes}
