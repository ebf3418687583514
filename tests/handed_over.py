"""Batches of clips in a ledger, as runs that have ended since have handed them over."""

from collections.abc import Sequence
from pathlib import Path

from animatic.ledger import open_ledger
from animatic.storage.folder import Folder
from animatic.takes.media_batches import BatchTake, MediaBatch
from flows.settings import Settings


async def waiting_batches(settings: Settings, batches: Sequence[Sequence[str]], folder: Path) -> list[str]:
    """Hand over takes by their fingerprints, each batch by a run of its own; return the ids of the batches."""
    archive = Folder(str(folder))
    mark, ids = archive.mark(), [f"run-{number}-0001" for number in range(len(batches))]
    with open_ledger(settings.ledger) as ledger:
        for batch_id, names in zip(ids, batches, strict=True):
            takes = [BatchTake(name, "storm", name[:8], 1, 1, name[:8], {}) for name in names]
            of_run = (batch_id[:-5], settings.origin, archive.uri, mark, "{shot_id}", "/")
            await ledger.batches.hand_over(MediaBatch(batch_id, *of_run, takes))
    return ids
