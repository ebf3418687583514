"""Batches of clips that runs hand to media workers, and the rules by which runs and workers go about them. Pure."""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import NamedTuple

MOST_IN_A_BATCH = 25
"""Clips of one batch: some seconds of a processor."""

IN_LAST_BATCHES, MOST_IN_A_LAST_BATCH = 100, 10
"""Clips of the last batches of many, and of each of those."""

MOST_HELD = 2
"""Batches that one worker holds: while the clips of one are checked, those of the next are downloaded."""

SILENT_S = 45.0
"""A batch whose holder has written nothing for so long is given to another worker; holders write every 10 s."""

UNTAKEN_S = 60.0
"""Media workers of an account that have written nothing for so long, of any batch, are gone: the run works itself."""

MOST_TIMES_TAKEN = 3
"""A batch that so many workers took and never ended is the run's own."""

GOES_ON_S = 600.0
"""Time after which a worker's flow run takes no further batch: the next one starts with today's code and memory."""

GOES_ON_BESIDE_OTHERS_S = 60.0
"""The same while batches of other accounts wait, which it cannot serve, and which its place would serve."""

FEWEST_SCHEDULED = 4
"""Flow runs that wait for a worker while batches do: as many can begin at once, in the time between two looks."""


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
        quiet_s: since any media worker of the account last wrote; None where none ever did.
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


@dataclass(frozen=True, slots=True)
class Backlog:
    """Batches that wait or are worked on, of all runs on a ledger, without their takes.

    Attributes:
        batches: those that were handed over first come first.
        served_s: since a worker last wrote of any batch of a run, also of one that has ended; absent where none did.
    """

    batches: Sequence[MediaBatch]
    served_s: Mapping[str, float] = field(default_factory=dict[str, float])


def is_free(batch: MediaBatch) -> bool:
    """Tell if any worker may take a batch: it waits, or its worker has been silent for too long."""
    if batch.state is BatchState.WAITING:
        return True
    is_of_a_worker = batch.state is BatchState.TAKEN and batch.holder != batch.run_id
    return is_of_a_worker and (batch.silent_s or 0.0) >= SILENT_S and batch.times_taken < MOST_TIMES_TAKEN


def is_orphan(batch: MediaBatch, is_alive: Callable[[str], bool]) -> bool:
    """Tell if the holder of a batch has died after the run that handed it over, which would have given it back."""
    is_taken = batch.state is BatchState.TAKEN and batch.times_taken < MOST_TIMES_TAKEN
    return is_taken and not is_alive(batch.run_id) and not is_alive(batch.holder or batch.run_id)


def next_batch(backlog: Backlog, provider: str, passed_over: Container[str] = ()) -> MediaBatch | None:
    """Return the batch that a worker takes next: the oldest one of the run that has the fewest workers.

    Of runs that have as few, the one is next that was served least recently. So no run waits for another's last batch.

    Args:
        backlog: of all runs.
        provider: whose clips the worker can fetch.
        passed_over: ids of batches that it cannot work on, though they are of that provider.
    """
    at_work = Counter(batch.run_id for batch in backlog.batches if batch.state is BatchState.TAKEN)
    free = [each for each in backlog.batches if each.provider == provider and is_free(each)]

    def turn(batch: MediaBatch) -> tuple[int, float]:
        return at_work[batch.run_id], -backlog.served_s.get(batch.run_id, float("inf"))

    return min((each for each in free if each.batch_id not in passed_over), key=turn, default=None)


def may_take_ahead(backlog: Backlog, provider: str) -> bool:
    """Tell if a worker may take a batch before it has ended its last one: as many are free as workers are at work.

    So the last batches go to the workers that are done first, and none waits behind one that is being checked.
    """
    of_provider = [batch for batch in backlog.batches if batch.provider == provider]
    workers = {batch.holder for batch in of_provider if batch.state is BatchState.TAKEN}
    return sum(map(is_free, of_provider)) >= len(workers)


def runs_of_others(backlog: Backlog, provider: str) -> set[str]:
    """Return the runs whose batches wait for a worker of another account."""
    return {each.run_id for each in backlog.batches if each.provider != provider and each.state is BatchState.WAITING}


def goes_on(ran_s: float, *, others_wait: bool) -> bool:
    """Tell if a worker's flow run may take another batch after some time, or leaves its place to the next flow run."""
    return ran_s < (GOES_ON_BESIDE_OTHERS_S if others_wait else GOES_ON_S)


def runs_to_schedule(waiting: int, scheduled: int, at_work: int) -> int:
    """Return how many more flow runs of the deployment to schedule: as many as the pool may have room for.

    A flow run goes on to other batches. So there need be no more that wait for a worker than can begin soon: at first
    a few, then as many as have shown by beginning that there is room.

    Args:
        waiting: batches that no worker has taken.
        scheduled: flow runs that no worker has taken.
        at_work: workers that have a batch.
    """
    return max(min(waiting, max(FEWEST_SCHEDULED, at_work)) - scheduled, 0)


def in_batches(takes: Sequence[BatchTake]) -> Iterator[Sequence[BatchTake]]:
    """Yield the takes of some clips in batches of about the same size; of many clips, the last in smaller ones.

    So workers that share a long backlog come to its end at about the same time.
    """
    many = max(len(takes) - IN_LAST_BATCHES, 0)
    if many < IN_LAST_BATCHES:
        yield from _of_a_size(takes, MOST_IN_A_BATCH)
    else:
        yield from _of_a_size(takes[:many], MOST_IN_A_BATCH)
        yield from _of_a_size(takes[many:], MOST_IN_A_LAST_BATCH)


def _of_a_size(takes: Sequence[BatchTake], most: int) -> Iterator[Sequence[BatchTake]]:
    count = -(-len(takes) // most)
    for number in range(count):
        yield takes[number * len(takes) // count : (number + 1) * len(takes) // count]
