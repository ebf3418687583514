"""Put clips into the archive, some at a time. Free to repeat: the ledger knows which are there."""

from prefect import task

from animatic.ledger import Ledger
from animatic.media.archive import Archive, ClipBatch
from animatic.media.dataset import describe
from animatic.storage.folder import Folder
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


@task(name="describe-archive", task_run_name="describe {folder.uri}", **RETRIED)
async def describe_archive(folder: Folder, ledger: Ledger) -> str | None:
    """Write the table of a folder's clips beside them; return why it could not be written.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    return await describe(folder, ledger)
