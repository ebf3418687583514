"""See takes through: the one task that may spend money.

It may be retried because it asks the ledger first: what was bought is found there, and watched instead of bought again.
"""

import logging
from typing import Any

from prefect import task
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.types._datetime import now

from animatic.buying.ends import SILENT, TakeLog
from animatic.buying.shoot import Shoot
from animatic.planning.plan import Batch
from animatic.takes.logged import logged
from tasks.ends import final_state, tags_of
from tasks.logs import line_logger
from tasks.policies import RETRIED


@task(
    name="shoot-takes",
    task_run_name="{batch.name}",
    **RETRIED,
)
async def shoot_takes(batch: Batch, shoot: Shoot) -> State[None]:
    """Buy and poll the takes of a batch; their outcome is in the ledger, and the task run ends in a state like theirs.

    Logs each step of a batch of one, whose task run begins, as Prefect shows it, when the take has waited long enough.

    Raises:
        TryLaterError: the API was away throughout the retries; what was not sent is still planned.
        LedgerError: the ledger can't be written.
    """
    is_one = len(batch.takes) == 1
    if is_one:
        logged(batch.takes[0])  # also for what Prefect logs of this task run
    log = TakeLog(line_logger(logging.INFO), begin_bar) if is_one else SILENT
    ends = await shoot.shoot(batch.takes, log)
    if (context := TaskRunContext.get()) is not None and (tags := tags_of(ends)):
        context.task_run.tags = sorted({*context.task_run.tags, *tags})
    return final_state(ends)


def begin_bar() -> None:
    """Let this task run begin now, where Prefect shows how long it took: until now its take waited for a slot."""
    if (context := TaskRunContext.get()) is None:
        return
    run: Any = context.task_run  # its times have types of Prefect's own
    if run.state is not None and run.start_time is not None and run.start_time <= run.state.timestamp:
        run.start_time = now("UTC")
        run.total_run_time -= run.start_time - run.state.timestamp
