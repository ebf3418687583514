"""Batches of clips that a run hands to media workers, and the rules by which it watches them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import NamedTuple

MOST_IN_A_BATCH = 25
"""Clips of one batch: half a minute of a processor, beside the 3 s that the start of a flow run takes."""

SILENT_S = 45.0
"""A batch whose holder has written nothing for so long is given to another worker; holders write every 10 s."""

UNTAKEN_S = 60.0
"""Media workers that have written nothing for so long, of any batch, are gone: the run does their work itself."""

MOST_TIMES_TAKEN = 3
"""A batch that so many workers took and never ended is the run's own."""


class BatchState(StrEnum):
    """State of a batch. A failed one could not be worked on at all; in a done one, single clips may have failed."""

    WAITING = "waiting"
    TAKEN = "taken"
    FAILED = "failed"
    DONE = "done"


class BatchTake(NamedTuple):
    """A completed take of a batch, with what its clips are named by.

    Attributes:
        name: what messages call it.
        paths: of its local stills, by what identifies them.
    """

    fingerprint: str
    storyboard: str
    shot_id: str
    number: int
    version: int
    name: str
    paths: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Progress of the holder of a batch.

    Attributes:
        is_archived: every clip is in the archive, or could not be put there.
        kept, failed: clips that are there, and that could not be had.
        received_bytes: that were downloaded.
        checks: clips to be checked.
        checked, failing, unread: clips that were, that fail a check, and that could not be read.
    """

    is_archived: bool = False
    kept: int = 0
    failed: int = 0
    received_bytes: int = 0
    checks: int = 0
    checked: int = 0
    failing: int = 0
    unread: int = 0


@dataclass(frozen=True, slots=True)
class MediaBatch:
    """A batch as the ledger has it.

    Attributes:
        run_id: the run that handed it over.
        archive: absolute URI of the folder that its clips go to.
        mark: what that folder is told by on another machine; empty where its URI says enough.
        clip_name: template of the names of clips.
        stills: what paths of local stills start from.
        takes: none once it has ended.
        holder: the run that works on it, or that ended it.
        silent_s: since its holder last wrote; None where none did.
        problem: why it failed, or why not all of it could be done.
    """

    batch_id: str
    run_id: str
    provider: str
    archive: str
    mark: str
    clip_name: str
    stills: str
    takes: Sequence[BatchTake] = ()
    state: BatchState = BatchState.WAITING
    holder: str | None = None
    times_taken: int = 0
    silent_s: float | None = None
    counts: BatchCounts = field(default_factory=BatchCounts)
    problem: str = ""


class Fate(Enum):
    """Step of a run with a batch of its own."""

    WAIT = auto()
    AGAIN = auto()
    """Its worker is gone: it is handed over again."""
    HERE = auto()
    """The run works on it itself."""
    OVER = auto()


def fate_of(batch: MediaBatch, waited_s: float, quiet_s: float | None, *, is_held_alive: bool) -> Fate:
    """Return what a run does about a batch.

    Args:
        batch: as it stands in the ledger.
        waited_s: since the run handed it over, for the last time.
        quiet_s: since any media worker last wrote; None where none ever did.
        is_held_alive: its holder is alive.
    """
    match batch.state:
        case BatchState.DONE:
            return Fate.OVER
        case BatchState.FAILED:
            return Fate.HERE
        case BatchState.TAKEN:
            if is_held_alive and (batch.silent_s or 0.0) < SILENT_S:
                return Fate.WAIT
            return Fate.AGAIN if batch.times_taken < MOST_TIMES_TAKEN else Fate.HERE
        case BatchState.WAITING:
            is_left_alone = waited_s >= UNTAKEN_S and (quiet_s is None or quiet_s >= UNTAKEN_S)
            return Fate.HERE if is_left_alone else Fate.WAIT


def in_batches(takes: Sequence[BatchTake]) -> Iterator[Sequence[BatchTake]]:
    """Yield the takes of some clips in batches of about the same size."""
    count = -(-len(takes) // MOST_IN_A_BATCH)
    for number in range(count):
        yield takes[number * len(takes) // count : (number + 1) * len(takes) // count]
