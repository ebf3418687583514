"""Settle what is unknown by WaveSpeed's list: a task of its own, so that Prefect shows what it said, and when."""

from prefect import get_run_logger, task

from animatic.buying.reconcile import Reconciled, reconcile
from animatic.ledger.desk import Ledger
from animatic.wavespeed.client import WaveSpeedClient
from tasks.policies import NEVER_CACHED


@task(name="reconcile-takes", task_run_name="reconcile", cache_policy=NEVER_CACHED, persist_result=False)
async def reconcile_takes(
    desk: Ledger, client: WaveSpeedClient, provider: str, settle_s: float, *, adopts_by_window: bool
) -> Reconciled:
    """Settle every take that is unknown or held by WaveSpeed's list; a list that can't be read proves nothing.

    Raises:
        LedgerError: the ledger can't be written.
    """
    settled = await reconcile(desk, client, provider, settle_s, adopts_by_window=adopts_by_window)
    get_run_logger().info(settled.sentence)
    return settled
