"""Ask the API what takes cost. Free to ask, so Prefect remembers the answer for a while."""

from collections.abc import Sequence

from prefect import task

from animatic import intake
from animatic.plan import PricedBy
from animatic.wavespeed.client import WaveSpeedClient
from tasks.policies import BACKOFF, JITTER, QUOTE_EXPIRY, keyed_by_argument, may_pass


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
    kinds: Sequence[PricedBy],
    client: WaveSpeedClient,
    cache_key: str,  # noqa: ARG001 - read by the cache policy
) -> list[float]:
    """What one take of each (model, duration, aspect ratio) costs in USD, in the same order.

    Raises:
        TryLaterError, NeverAgainError: there is no quote to be had.
    """
    return list((await intake.quote_all(client, kinds)).values())
