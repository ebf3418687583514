"""Wait for Prefect's server: it listens before it is up."""

import time
from collections.abc import Callable
from typing import TypeVar

from prefect.client.orchestration import SyncPrefectClient, get_client

T = TypeVar("T")

ANSWERS_WITHIN_S = 10.0
ASKS_EVERY_S = 0.2


def first_answer(
    ask: Callable[[SyncPrefectClient], T], within_s: float, is_over: Callable[[], bool] = lambda: False
) -> T:
    """Ask until Prefect answers, at least once; return the answer.

    Raises:
        Exception: the last error, whatever a client raises of a server that is away, when the time or `is_over` is up.
    """
    until = time.monotonic() + within_s
    while True:
        try:
            with get_client(sync_client=True, httpx_settings={"timeout": ANSWERS_WITHIN_S}) as client:
                return ask(client)
        except Exception:
            if time.monotonic() > until or is_over():
                raise
            time.sleep(ASKS_EVERY_S)
