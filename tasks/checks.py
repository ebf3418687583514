"""Check the quality of archived clips, some at a time. Free to repeat: the ledger knows which were checked."""

from prefect import task

from animatic.media.clip_checks import CheckBatch, ClipChecks
from tasks.policies import RETRIED


@task(
    name="check-clips",
    task_run_name="check {batch.name}",
    **RETRIED,
)
async def check_clips(batch: CheckBatch, checks: ClipChecks) -> None:
    """Check the clips of a batch; the ledger records each result, and the task does not fail for a bad clip.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    await checks.check(batch)
