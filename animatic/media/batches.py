"""Batches of clips for media workers, between the takes that they name and the outputs that an archive takes."""

from animatic.errors import LocationError
from animatic.ledger import Ledger
from animatic.media.archive import Output, outputs_of
from animatic.media.clip_names import ClipIdentity
from animatic.storage.folder import Folder
from animatic.takes.media_batches import BatchTake, MediaBatch
from animatic.takes.shots import Take
from animatic.takes.states import State


def as_take(take: Take, version: int) -> BatchTake:
    """Return a take as a batch names it."""
    shot = take.shot
    paths = {identity: str(path) for identity, path in shot.paths.items()}
    return BatchTake(take.fingerprint, shot.storyboard, shot.shot_id, take.number, version, take.name, paths)


async def outputs_in(ledger: Ledger, batch: MediaBatch) -> list[Output]:
    """Return the outputs of a batch's takes as the ledger knows them now.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    records = await ledger.look_up_made([take.fingerprint for take in batch.takes])
    found: list[Output] = []
    for take in batch.takes:
        record = records.get(take.fingerprint)
        if record is not None and record.state is State.COMPLETED:
            identity = ClipIdentity(
                take.fingerprint, take.storyboard, take.shot_id, take.number, take.version, prediction_id=""
            )
            found += outputs_of(record, identity, take.name)
    return found


def paths_in(batch: MediaBatch) -> dict[str, str]:
    """Return the paths of local stills, by what identifies them."""
    return {identity: path for take in batch.takes for identity, path in take.paths.items()}


def require_same_folder(folder: Folder, batch: MediaBatch) -> None:
    """Refuse a folder that is not the one which the run has, though it has the same path.

    Raises:
        LocationError: it is another one, or cannot be looked into.
    """
    try:
        found = folder.find_mark()
    except OSError as error:
        raise LocationError(f"archive {folder.uri}: cannot be looked into on this machine: {error.strerror}") from None
    if found != batch.mark:
        what = "that is another folder on this machine" if folder.path.is_dir() else "this machine has no such folder"
        raise LocationError(
            f"archive {folder.uri}: {what}; mount the run's at that path, or give the run an --archive that both "
            "reach, such as s3://"
        )
