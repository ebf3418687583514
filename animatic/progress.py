"""Progress of a run, for the panel and the artifacts. Counted by take, never by row."""

from collections import Counter
from dataclasses import dataclass, field

from animatic.ledger import Reserved
from animatic.takes.states import State


@dataclass(slots=True)
class ArchiveProgress:
    """Counts of one run's archive, by output.

    Attributes:
        total: what is to be put into the archive.
        kept: what is there.
        failed: what could not be had.
        received_bytes: of clips that this run downloaded.
        problem: why nothing more is archived; empty while that is not so.
    """

    total: int = 0
    kept: int = 0
    failed: int = 0
    received_bytes: int = 0
    problem: str = ""

    @property
    def left(self) -> int:
        """Outputs that are still to come."""
        return self.total - self.kept - self.failed


@dataclass(slots=True)
class Progress:
    """Counts of one run. Written by the shoot, read by panels and artifacts.

    Attributes:
        total: takes of the manifest, shared ones counted once.
        cached: takes that were already final when the run began, by state.
        cached_flagged: completed ones among them with a flagged output.
        unclear: takes of which an earlier run left it unknown whether they were bought.
        reserved: what this run has reserved, as the ledger last said.
        not_judged: completed takes of this run whose outputs WaveSpeed did not judge.
        submissions: how many submissions the API accepted in this run.
        archive: of its clips.
    """

    total: int = 0
    cached: Counter[State] = field(default_factory=Counter[State])
    cached_flagged: int = 0
    unclear: int = 0
    reserved: Reserved = field(default_factory=Reserved)
    not_judged: int = 0
    submissions: int = 0
    archive: ArchiveProgress = field(default_factory=ArchiveProgress)
    _open: set[str] = field(default_factory=set[str])
    _watched: set[str] = field(default_factory=set[str])
    _completed: int = 0
    _flagged: int = 0
    _others: dict[bytes, State] = field(default_factory=dict[bytes, State])

    def submitted(self, fingerprint: str) -> None:
        """Record a take that the API accepted."""
        self.submissions += 1
        self._open.add(fingerprint)

    def is_open_here(self, fingerprint: str) -> bool:
        """Tell if this run submitted the take and has no answer yet."""
        return fingerprint in self._open

    def entered_flight(self, fingerprint: str) -> None:
        """Record a take in flight."""
        self._watched.add(fingerprint)

    def left_flight(self, fingerprint: str) -> None:
        """Record a take that is no longer polled."""
        self._watched.discard(fingerprint)

    def settled(self, fingerprint: str, state: State, *, is_flagged: bool = False, is_judged: bool = True) -> None:
        """Record a take's final state. A take bought again is recorded again; `completed` is never replaced.

        What is completed is only counted: there may be a hundred thousand of them.
        """
        self._open.discard(fingerprint)
        key = bytes.fromhex(fingerprint)
        if state is State.COMPLETED:
            self._others.pop(key, None)
            self._completed += 1
            self._flagged += is_flagged
            self.not_judged += not is_judged
        else:
            self._others[key] = state

    @property
    def in_flight(self) -> int:
        """Takes that are being watched now."""
        return len(self._watched)

    @property
    def settled_here(self) -> int:
        """Takes that this run brought to an end."""
        return self._completed + len(self._others)

    @property
    def done(self) -> int:
        """Takes that this run has nothing more to do for, cached ones included."""
        return self.cached.total() + self.unclear + self.settled_here

    @property
    def left(self) -> int:
        """Takes that this run still has something to do for."""
        return self.total - self.done

    @property
    def flagged(self) -> int:
        """Takes with a flagged output, cached ones included."""
        return self.cached_flagged + self._flagged

    def by_state(self) -> Counter[State]:
        """Return the number of finished takes by state, cached ones included."""
        return self.cached + Counter(self._others.values()) + Counter({State.COMPLETED: self._completed})
