"""Ask the API what takes cost. Free to ask, so Prefect remembers the answer for a while."""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from prefect import task

from animatic.planning.quotes import Ask, Quote
from animatic.takes.schemas import PriceClass
from tasks.policies import BACKOFF, JITTER, QUOTE_EXPIRY, content_key, keyed_by_argument, may_pass


async def quote_in_task(ask: Ask, base_url: str, kinds: Sequence[PriceClass]) -> dict[PriceClass, Quote]:
    """Ask in a task run; Prefect remembers what the API at this URL said.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had.
    """
    key = content_key(base_url, *map(str, kinds))
    return read_quotes(kinds, await quote_prices(kinds, ask, key))


@task(
    name="quote-prices",
    task_run_name="quote prices",
    cache_policy=keyed_by_argument("quote"),
    cache_expiration=QUOTE_EXPIRY,
    result_serializer="json",
    retry_condition_fn=may_pass,
    retries=1,
    retry_delay_seconds=BACKOFF,
    retry_jitter_factor=JITTER,
)
async def quote_prices(
    kinds: Sequence[PriceClass],
    ask: Ask,
    cache_key: str,  # noqa: ARG001 - read by the cache policy
) -> list[tuple[int, bool, float]]:
    """Ask what one take of each price class costs; the parts of a `Quote`, in the same order.

    Each says when it was asked for: one that Prefect remembers is as old as it is.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had.
    """
    quotes = await ask(kinds)
    return [astuple(quote) for quote in quotes.values()]


def read_quotes(kinds: Sequence[PriceClass], found: Sequence[Sequence[Any]]) -> dict[PriceClass, Quote]:
    """Return what `quote_prices` found, as values, however often it went through JSON."""
    return {kind: Quote(*parts) for kind, parts in zip(kinds, found, strict=True)}
