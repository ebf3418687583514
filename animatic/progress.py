"""Progress of a run, for the panel and the artifacts. Counted by take, never by row."""

import math
from collections import Counter
from dataclasses import dataclass, field

from animatic.pace.duration import Work
from animatic.pace.latencies import Latencies
from animatic.pace.limits import Limits
from animatic.pace.meters import Meters
from animatic.pace.seen_pace import SeenPace
from animatic.takes.money.budgets import Reserved
from animatic.takes.schemas import LatencyClass
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
        batches_at_work: batches of clips that media workers have.
        batches_waiting: batches that wait for a media worker.
    """

    total: int = 0
    kept: int = 0
    failed: int = 0
    received_bytes: int = 0
    problem: str = ""
    batches_at_work: int = 0
    batches_waiting: int = 0

    @property
    def left(self) -> int:
        """Outputs that are still to come."""
        return self.total - self.kept - self.failed


@dataclass(slots=True)
class ChecksProgress:
    """Counts of one run's quality checks, by clip.

    Attributes:
        total: what is to be checked.
        done: what was checked.
        failing: clips among them that fail a check.
        unread: what could not be checked now.
    """

    total: int = 0
    done: int = 0
    failing: int = 0
    unread: int = 0

    @property
    def left(self) -> int:
        """Clips that are still to be checked."""
        return self.total - self.done - self.unread


@dataclass(slots=True)
class TakeInFlight:
    """A take in flight.

    Attributes:
        leaves_at: when it is left to the next run.
        not_done_at: when it was last seen not to be done.
        is_queued: whether WaveSpeed has not begun to make it.
    """

    name: str
    submitted_at: float
    latency_class: LatencyClass | None
    leaves_at: float
    not_done_at: float
    is_queued: bool = False


@dataclass(frozen=True, slots=True)
class Oldest:
    """The take in flight that was submitted first.

    Attributes:
        age_s: since it was submitted.
        usual_s: what takes like it need.
        leaves_in_s: until it is left to the next run.
    """

    name: str
    age_s: float
    usual_s: float
    leaves_in_s: float


@dataclass(slots=True)
class Progress:
    """Counts of one run. Written by the shoot, read by panels and artifacts.

    Attributes:
        total: takes of the manifest, shared ones counted once.
        cached: takes that were already final when the run began, by state.
        cached_flagged: completed ones among them with a flagged output.
        unclear: takes of which an earlier run left it unknown whether they were bought.
        reserved: what this run has reserved, as the ledger last said.
        max_microusd: the most that it may reserve, once that is known; None where nothing bounds it.
        not_judged: completed takes of this run whose outputs WaveSpeed did not judge.
        submissions: how many submissions the API accepted in this run.
        archive: of its clips.
        checks: of their quality.
        limits: of the account; None while the run is being planned.
        latencies: of the takes that this run saw end.
        pace: starts that WaveSpeed accepted, and refused.
        waiting: takes that were not submitted when the run began, by latency class.
        passed_on: takes that are not final and that the next run goes on with.
        chained: takes in the longest row of those that wait for one another.
        page_problem: why its review page is not up to date; empty while it is.
        metrics_problem: why its metrics are not served; empty where they are, or were not asked for.
        meters: of its engine.
        spent: why nothing more is bought, where a limit is reached; empty while it is not.
    """

    total: int = 0
    cached: Counter[State] = field(default_factory=Counter[State])
    cached_flagged: int = 0
    unclear: int = 0
    reserved: Reserved = field(default_factory=Reserved)
    max_microusd: int | None = None
    not_judged: int = 0
    submissions: int = 0
    archive: ArchiveProgress = field(default_factory=ArchiveProgress)
    checks: ChecksProgress = field(default_factory=ChecksProgress)
    limits: Limits | None = None
    latencies: Latencies = field(default_factory=Latencies)
    pace: SeenPace = field(default_factory=SeenPace)
    waiting: Counter[LatencyClass | None] = field(default_factory=Counter[LatencyClass | None])
    passed_on: int = 0
    chained: int = 0
    page_problem: str = ""
    metrics_problem: str = ""
    meters: Meters = field(default_factory=Meters)
    spent: str = ""
    _open: set[str] = field(default_factory=set[str])
    _watched: dict[str, TakeInFlight] = field(default_factory=dict[str, TakeInFlight])
    _lost: tuple[float, str] | None = None
    _completed: int = 0
    _flagged: int = 0
    _others: dict[bytes, State] = field(default_factory=dict[bytes, State])

    def submitted(self, fingerprint: str, now: float | None = None) -> None:
        """Record a take that the API accepted, at a moment of the run's clock where that is known."""
        self.submissions += 1
        self._open.add(fingerprint)
        if now is not None:
            self.pace.started(now)

    def is_open_here(self, fingerprint: str) -> bool:
        """Tell if this run submitted the take and has no answer yet."""
        return fingerprint in self._open

    def began_polling(
        self,
        fingerprint: str,
        name: str = "",
        submitted_at: float = 0.0,
        latency_class: LatencyClass | None = None,
        leaves_at: float = math.inf,
    ) -> None:
        """Record a take that is polled from now on: which others take as long, and when it is left to the next run."""
        self._watched[fingerprint] = TakeInFlight(name, submitted_at, latency_class, leaves_at, submitted_at)
        if self.waiting[latency_class] > 0:
            self.waiting[latency_class] -= 1

    def polled(self, fingerprint: str, status: str, now: float = 0.0, *, is_final: bool = False) -> None:
        """Record an answer about a take in flight: WaveSpeed can be reached, and it is queued there, made, or done."""
        self._lost, self.meters.polled_at = None, now
        watched = self._watched.get(fingerprint)
        if watched is not None:
            watched.is_queued = status.lower() == "created"
            watched.not_done_at = watched.not_done_at if is_final else max(now, watched.not_done_at)

    def unreached(self, now: float, problem: str) -> None:
        """Record that WaveSpeed could not be reached; it counts from the first time in a row."""
        self._lost = (self._lost[0] if self._lost else now, problem)

    def note_answer(self, now: float, problem: str | None) -> None:
        """Record that WaveSpeed answered a request, or why it did not."""
        if problem is None:
            self._lost = None
        else:
            self.unreached(now, problem)

    def stopped_polling(self, fingerprint: str) -> None:
        """Record a take that is no longer polled."""
        self._watched.pop(fingerprint, None)

    def finished(self, fingerprint: str, state: State, *, is_flagged: bool = False, is_judged: bool = True) -> None:
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

    def cleared(self, fingerprint: str) -> None:
        """Record that it is known now whether a take was bought: this run goes on with it."""
        if self._others.pop(bytes.fromhex(fingerprint), None) is None:
            self.unclear = max(self.unclear - 1, 0)

    @property
    def in_flight(self) -> int:
        """Takes that are being watched now."""
        return len(self._watched)

    @property
    def queued(self) -> int:
        """Takes in flight that WaveSpeed has not begun to make."""
        return sum(each.is_queued for each in list(self._watched.values()))

    def states(self) -> dict[str, str]:
        """Return what WaveSpeed does with each take in flight, as last polled: `queued` or `making`."""
        watched = list(self._watched.items())
        return {fingerprint: "queued" if each.is_queued else "making" for fingerprint, each in watched}

    @property
    def to_start(self) -> int:
        """Takes that wait to be submitted."""
        return max(self.left - self.in_flight, 0)

    def oldest(self, now: float) -> Oldest | None:
        """Return the take in flight that was submitted first."""
        first = min(list(self._watched.values()), key=lambda each: each.submitted_at, default=None)
        if first is None:
            return None
        usual_s = self.latencies.fitted().made_s(first.latency_class)
        return Oldest(first.name, now - first.submitted_at, usual_s, first.leaves_at - now)

    def unreached_for(self, now: float) -> tuple[float, str] | None:
        """Return for how many seconds WaveSpeed could not be reached, and why; None where it can."""
        return None if self._lost is None else (now - self._lost[0], self._lost[1])

    def work(self, now: float) -> Work:
        """Return the state of the run at this moment, for a forecast."""
        watched: dict[LatencyClass | None, list[TakeInFlight]] = {}
        for each in list(self._watched.values()):
            watched.setdefault(each.latency_class, []).append(each)
        ages_s = {
            latency_class: [each.not_done_at - each.submitted_at for each in takes]
            for latency_class, takes in watched.items()
        }
        fitted = self.latencies.fitted(ages_s)
        waiting = {each: count for each, count in self.waiting.items() if count > 0} or dict.fromkeys(ages_s, 1)
        return Work(
            to_start=self.to_start,
            ages_s=[now - each.submitted_at for takes in watched.values() for each in takes],
            started_ago_s=self.pace.ago_s(now),
            latency_s=fitted.mean_of(waiting),
            spread=fitted.spread,
            usual_s=[usual for each, takes in watched.items() for usual in [fitted.made_s(each)] * len(takes)],
            leaves_in_s=[each.leaves_at - now for takes in watched.values() for each in takes],
            longest_s=max((fitted.mean_s(each) for each in waiting), default=0.0),
            allowed_per_minute=self.pace.allowed_per_minute(now),
            chained=self.chained,
        )

    @property
    def finished_here(self) -> int:
        """Takes that this run brought to an end."""
        return self._completed + len(self._others)

    @property
    def done(self) -> int:
        """Takes that this run has nothing more to do for, cached ones included."""
        return self.cached.total() + self.unclear + self.finished_here + self.passed_on

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
        return self.cached + Counter(list(self._others.values())) + Counter({State.COMPLETED: self._completed})
