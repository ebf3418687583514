"""Runs in virtual seconds: an account, takes with their latencies, and what a run sees of them.

The account starts so many takes in any minute and refuses more (429); of those that it took it makes so many at once,
the others wait in its queue. The run starts takes as early as the limits allow that it believes in, waits after a
refusal, and sees the end of a take at its next poll.
"""

import heapq
import math
import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from animatic.pace.latencies import USUAL_LATENCY_S, Latencies
from animatic.pace.limits import LEVELS, MINUTE_S, penalty_s
from animatic.progress import Progress
from animatic.takes.schemas import LatencyClass
from animatic.takes.states import State

MODEL = "wavespeed-ai/veo2-i2v"
POLL_FLOOR_S, POLLS = 5.0, 8
"""A take is polled so often while it is made, but not sooner than the floor after the poll before."""


@dataclass(frozen=True)
class Shot:
    """A take as the account makes it."""

    length_s: int
    latency_s: float
    ends_as: State = State.COMPLETED

    @property
    def polled_every_s(self) -> float:
        return max(self.latency_s / POLLS, POLL_FLOOR_S)

    @property
    def latency_class(self) -> LatencyClass:
        return LatencyClass(MODEL, f"{self.length_s}s")


def shots(
    takes: int, median_s: Mapping[int, float], seed: int, spread: float = 0.2, failures: float = 0.0
) -> list[Shot]:
    """Takes of one or more lengths, by turns; some fail early."""
    chance, lengths = random.Random(seed), list(median_s)
    found: list[Shot] = []
    for number in range(takes):
        length = lengths[number % len(lengths)]
        latency_s = median_s[length] * math.exp(chance.gauss(0, spread))
        is_failed = chance.random() < failures
        found.append(
            Shot(length, latency_s / 5 if is_failed else latency_s, State.FAILED if is_failed else State.COMPLETED)
        )
    return found


@dataclass(frozen=True)
class Story:
    """One run.

    Attributes:
        shots: what there is to buy, in this order.
        level: the account's level as the run believes it.
        true_level: as it is.
        history: latencies of earlier runs, by length of the clip.
        cached: takes that are final already.
        retry_after_s: what the account says with a refusal.
    """

    shots: Sequence[Shot]
    level: str
    true_level: str = ""
    history: Mapping[int, float] = field(default_factory=dict[int, float])
    cached: int = 0
    retry_after_s: float | None = None

    def play(self) -> Iterator[tuple[float, Progress]]:
        """Yield the progress of the run each time that something happens, and at least once a second."""
        return _Run(self).play()


class _Run:
    def __init__(self, story: Story) -> None:
        self.story, self.now = story, 0.0
        self.limits, self.account = LEVELS[story.level], LEVELS[story.true_level or story.level]
        classes = [each.latency_class for each in story.shots]
        history = {LatencyClass(MODEL, f"{length}s"): [median_s] * 50 for length, median_s in story.history.items()}
        self.progress = Progress(
            total=len(story.shots) + story.cached,
            cached=Counter({State.COMPLETED: story.cached}),
            limits=self.limits,
            latencies=Latencies.after(history, USUAL_LATENCY_S, {each: each.length_s for each in {*classes, *history}}),
            waiting=Counter(classes),
        )
        self.waiting = deque(enumerate(story.shots))
        self.polls: list[tuple[float, int, Shot, float]] = []
        self.makers = [0.0] * min(self.account.max_in_flight, len(story.shots))
        self.accepted: deque[float] = deque()
        self.paused_until, self.refusals, self.in_flight = 0.0, 0, 0
        self.chance = random.Random(len(story.shots))

    def play(self) -> Iterator[tuple[float, Progress]]:
        while self.waiting or self.polls:
            while self._starts_one():
                pass
            yield self.now, self.progress
            self.now = min(self._next_s(), self.now + 1.0)
            while self.polls and self.polls[0][0] <= self.now:
                self._poll(*heapq.heappop(self.polls)[1:])

    def _starts_one(self) -> bool:
        """Try to start the next take; False where that must wait."""
        while self.accepted and self.accepted[0] <= self.now - MINUTE_S:
            self.accepted.popleft()
        if not self.waiting or self.now < self.paused_until or self.in_flight >= self.limits.max_in_flight:
            return False
        if len(self.accepted) >= self.limits.starts_per_minute:
            return False
        if len(self.accepted) >= self.account.starts_per_minute:
            self.progress.pace.refused(self.now)
            self.paused_until = self.now + penalty_s(self.refusals, self.story.retry_after_s)
            self.refusals += 1
            return False
        number, shot = self.waiting.popleft()
        self.refusals = 0
        self.accepted.append(self.now)
        fingerprint = f"{number:064x}"
        self.progress.submitted(fingerprint, self.now)
        self.progress.began_polling(fingerprint, f"shot {number}", self.now, shot.latency_class)
        self.in_flight += 1
        begins_at = max(self.now, heapq.heappop(self.makers))
        heapq.heappush(self.makers, begins_at + shot.latency_s)
        heapq.heappush(
            self.polls, (self.now + self.chance.uniform(0.5, 1.0) * shot.polled_every_s, number, shot, begins_at)
        )
        return True

    def _poll(self, number: int, shot: Shot, begins_at: float) -> None:
        """Poll a take: its end is seen now, or it is polled again."""
        fingerprint, is_done = f"{number:064x}", begins_at + shot.latency_s <= self.now
        status = "completed" if is_done else "processing" if begins_at <= self.now else "created"
        self.progress.polled(fingerprint, status, self.now, is_final=is_done)
        if not is_done:
            heapq.heappush(self.polls, (self.now + shot.polled_every_s, number, shot, begins_at))
            return
        is_failure = shot.ends_as is State.FAILED
        self.progress.latencies.add(shot.latency_s, shot.latency_class, is_failure=is_failure)
        self.progress.finished(fingerprint, shot.ends_as)
        self.progress.stopped_polling(fingerprint)
        self.in_flight -= 1

    def _next_s(self) -> float:
        """Return the second at which something may happen next."""
        found = [self.polls[0][0]] if self.polls else []
        if self.waiting:
            found += [self.paused_until] if self.now < self.paused_until else []
            least = min(self.limits.starts_per_minute, self.account.starts_per_minute)
            if len(self.accepted) >= least:
                found.append(self.accepted[0] + MINUTE_S)
        return min((each for each in found if each > self.now), default=self.now + 1.0)
