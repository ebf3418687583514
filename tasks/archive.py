"""Put clips into the archive, some at a time. Free to repeat: the ledger knows which are there."""

from prefect import task

from animatic.media.archive import Archive, ClipBatch
from tasks.policies import BACKOFF, JITTER, NEVER_CACHED, RETRIES, may_pass


@task(
    name="archive-clips",
    task_run_name="archive {batch.name}",
    cache_policy=NEVER_CACHED,
    persist_result=False,
    retry_condition_fn=may_pass,
    retries=RETRIES,
    retry_delay_seconds=BACKOFF,
    retry_jitter_factor=JITTER,
)
async def archive_clips(batch: ClipBatch, archive: Archive) -> None:
    """Put the clips of a batch into the archive; what cannot be had is told in the ledger, and fails nothing.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    await archive.add(batch.outputs)
