"""Policies of our tasks in Prefect: which it retries, and which results it may remember.

Retries are for what may pass, and only for tasks that ask the ledger first or cost nothing. Caches are for what is free
to repeat, under keys that we write ourselves: Prefect's own include the source text, or forget which task they are for.
"""

import hashlib
from datetime import timedelta
from typing import Any

from prefect.cache_policies import NO_CACHE, CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from animatic.errors import TryLaterError

NEVER_CACHED = NO_CACHE
RETRIES = 4
BACKOFF = exponential_backoff(2)
JITTER = 0.5
"""Waits of about 2, 4, 8 and 16 s, each up to half longer."""

QUOTE_EXPIRY = timedelta(minutes=10)
PROBE_EXPIRY = timedelta(days=7)


async def may_pass(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell if a task failed for a reason that may pass."""
    return isinstance(await state.aresult(raise_on_failure=False), TryLaterError)


RETRIED: dict[str, Any] = {
    "cache_policy": NEVER_CACHED,
    "persist_result": False,
    "retry_condition_fn": may_pass,
    "retries": RETRIES,
    "retry_delay_seconds": BACKOFF,
    "retry_jitter_factor": JITTER,
}
"""Options of a task that asks the ledger first: nothing is remembered, and what may pass is tried again."""


FREE_TO_ASK: dict[str, Any] = {
    "result_serializer": "json",
    "retry_condition_fn": may_pass,
    "retries": 1,
    "retry_delay_seconds": BACKOFF,
    "retry_jitter_factor": JITTER,
}
"""Options of a task that asks the API what costs nothing: its answer is JSON, and what may pass is tried once more."""


def keyed_by_argument(name: str) -> CacheKeyFnPolicy:
    """Return a cache policy whose key is the task's own `cache_key` argument, behind the task's name and version."""
    return CacheKeyFnPolicy(cache_key_fn=lambda _context, arguments: f"animatic-{name}-1-{arguments['cache_key']}")


def content_key(*parts: str) -> str:
    """Return a short key for any number of parts, in this order."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]
