"""Ask for WaveSpeed's list of models. Free to ask, so Prefect remembers the answer for a day."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from prefect import task

from animatic.planning.catalogues import AskForList
from tasks.begun import begin
from tasks.policies import FREE_TO_ASK, content_key, keyed_by_argument

MODELS_EXPIRY = timedelta(days=1)


async def list_in_task(ask: AskForList, account: str) -> Sequence[Any]:
    """Ask in a task run; Prefect remembers what this account heard.

    Raises:
        TryLaterError, NeverAgainError: the list cannot be had.
    """
    return await begin(list_models(ask, content_key(account)))


@task(
    name="list-models",
    task_run_name="list models",
    cache_policy=keyed_by_argument("models"),
    cache_expiration=MODELS_EXPIRY,
    **FREE_TO_ASK,
)
async def list_models(
    ask: AskForList,
    cache_key: str,  # noqa: ARG001 - read by the cache policy
) -> Sequence[Any]:
    """Ask for the entries of the list of models, as they are.

    Raises:
        TryLaterError, NeverAgainError: the list cannot be had.
    """
    return await ask()
