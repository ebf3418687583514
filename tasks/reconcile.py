"""Settle what is unknown by WaveSpeed's list: a task of its own, so that Prefect shows the result and its time."""

from collections.abc import Awaitable, Callable

from prefect import get_run_logger, task

from animatic.buying.reconcile import Reconciled
from tasks.policies import NEVER_CACHED


@task(name="reconcile-takes", task_run_name="reconcile", cache_policy=NEVER_CACHED, persist_result=False)
async def reconcile_takes(reconcile: Callable[[], Awaitable[Reconciled]]) -> Reconciled:
    """Settle every take that is unknown or held by WaveSpeed's list; a list that can't be read proves nothing.

    Raises:
        LedgerError: the ledger can't be written.
    """
    settled = await reconcile()
    get_run_logger().info(settled.sentence)
    return settled
