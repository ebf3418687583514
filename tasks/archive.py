"""Put clips into the archive, some at a time. Free to repeat: the ledger knows which are there."""

from prefect import task

from animatic.media.archive import Archive, ClipBatch
from tasks.policies import RETRIED


@task(
    name="archive-clips",
    task_run_name="archive {batch.name}",
    **RETRIED,
)
async def archive_clips(batch: ClipBatch, archive: Archive) -> None:
    """Put the clips of a batch into the archive; the ledger records each failure, and the task does not fail for it.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    await archive.add(batch.outputs)
