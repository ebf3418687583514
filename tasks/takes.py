"""See takes through: the one task that may spend money.

It may be retried because it asks the ledger first: what was bought is found there, and watched instead of bought again.
"""

import logging

from prefect import task

from animatic.buying.shoot import Shoot
from animatic.planning.plan import Batch
from tasks.logs import line_logger
from tasks.policies import RETRIED


@task(
    name="shoot-takes",
    task_run_name="{batch.name}",
    **RETRIED,
)
async def shoot_takes(batch: Batch, shoot: Shoot) -> None:
    """Buy and poll the takes of a batch; their outcome is in the ledger. Logs each step of a batch of one.

    Raises:
        TryLaterError: the API was away throughout the retries; what was not sent is still planned.
        LedgerError: the ledger can't be written.
    """
    await shoot.shoot(batch.takes, line_logger(logging.INFO) if len(batch.takes) == 1 else None)
