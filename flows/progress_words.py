"""The progress of a run in words: counts that add up, money, what is left, and what it waits for."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from animatic.errors.text import duration_in_words, reason_of
from animatic.pace.duration import Forecast, Work, next_start_s, tail
from animatic.progress import ArchiveProgress, ChecksProgress, Progress
from animatic.takes.money.amounts import cost_in_words
from animatic.takes.states import State

LOOKS_EVERY_S = 0.9
SAYS_UNREACHED_AFTER_S = 5.0
LATE_AFTER_S = 120.0
SOON_S = 1.5


@dataclass(frozen=True, slots=True)
class Shown:
    """Lines of the panel beside the counts.

    Attributes:
        elapsed_s: since the run began.
        left_s: until it ends, as foreseen.
        waits_for: what it waits for, a sentence each.
    """

    elapsed_s: float
    left_s: float = 0.0
    waits_for: Sequence[str] = ()


class Observer:
    """Looks at the progress, and foresees its end, once a second."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._began, self._forecast = progress, time.monotonic(), Forecast()
        self._looked_at, self._shown = -math.inf, Shown(0.0)

    def look(self) -> Shown:
        """Return what there is to show now."""
        now, progress = time.monotonic(), self._progress
        if progress.limits is None:
            return Shown(now - self._began, 0.0, unreached(progress, now))
        if now - self._looked_at >= LOOKS_EVERY_S:
            work, self._looked_at = progress.work(now), now
            left_s = self._forecast.update(work, progress.limits)
            self._shown = Shown(now - self._began, left_s, waits_for(progress, work, now))
        return self._shown


def line(progress: Progress, shown: Shown) -> str:
    """Return the progress in one line of plain text."""
    parts = [f"{progress.done:,}/{progress.total:,} done", *(part for part, _ in counts(progress))]
    parts += [cost_in_words(*progress.reserved), f"{per_minute(progress, shown.elapsed_s):,.1f}/min"]
    parts += [left_in_words(shown.left_s)] if progress.left else []
    parts += [archive_in_words(progress.archive)] if progress.archive.total else []
    parts += [checks_in_words(progress.checks)] if progress.checks.total else []
    return ", ".join(parts) + "".join(f"; {part}" for part in shown.waits_for)


def counts(progress: Progress) -> list[tuple[str, str]]:
    """Return the counts that add up to the total, each with a colour; those that are 0 only if they are expected."""
    found, here = progress.cached.total(), progress.by_state() - progress.cached
    made, failed = here[State.COMPLETED], here[State.FAILED] + here[State.REJECTED]
    unclear = progress.unclear + here.total() - made - failed
    queued = f" ({progress.queued:,} queued at WaveSpeed)" if progress.queued else ""
    found_counts = [
        (found, f"{found:,} from earlier runs", "dim"),
        (1, f"{made:,} made", "green"),
        (failed, f"{failed:,} failed", "red"),
        (unclear, f"{unclear:,} unknown", "bold red"),
        (1, f"{progress.in_flight:,} in flight{queued}", "blue"),
        (progress.to_start, f"{progress.to_start:,} waiting", ""),
        (progress.passed_on, f"{progress.passed_on:,} left to the next run", "yellow"),
        (progress.flagged, f"{progress.flagged:,} NSFW", "magenta"),
        (progress.not_judged, f"{progress.not_judged:,} not judged", "magenta"),
    ]
    return [(text, style) for count, text, style in found_counts if count]


def archive_in_words(archive: ArchiveProgress) -> str:
    """Return the progress of the archive, such as `12/40 clips archived (60 MB)`."""
    received = f" ({archive.received_bytes / 1e6:,.0f} MB)" if archive.received_bytes >= 500_000 else ""
    failed = f", {archive.failed:,} failed" if archive.failed else ""
    problem = f"; {archive.problem}" if archive.problem else ""
    at_work, waiting = archive.batches_at_work, archive.batches_waiting
    workers = f", batches with media workers: {at_work:,} at work, {waiting:,} waiting" if at_work or waiting else ""
    return f"{archive.kept:,}/{archive.total:,} clips archived{received}{failed}{workers}{problem}"


def checks_in_words(checks: ChecksProgress) -> str:
    """Return the progress of quality checks, such as `12/40 clips checked, 1 fails`."""
    failing = f", {checks.failing:,} fail{'s' if checks.failing == 1 else ''}" if checks.failing else ""
    unread = f", {checks.unread:,} not readable" if checks.unread else ""
    return f"{checks.done:,}/{checks.total:,} clips checked{failing}{unread}"


def per_minute(progress: Progress, elapsed_s: float) -> float:
    """Return how many takes this run has finished per minute so far."""
    return 60.0 * progress.finished_here / elapsed_s if elapsed_s > 0 else 0.0


def left_in_words(seconds: float) -> str:
    """Return the time that is left, such as `about 12 min left`; a take that should be there by now has no forecast."""
    return "due any moment" if seconds < SOON_S else f"about {duration_in_words(seconds)} left"


def waits_for(progress: Progress, work: Work, now: float) -> list[str]:
    """Return what the run waits for, the most important first; nothing where it has all that it needs.

    `work` is the state of the run at this moment.
    """
    found = [*([f"nothing more is bought: {progress.spent}"] if progress.spent else []), *unreached(progress, now)]
    if progress.limits is None or not progress.total:
        return found
    start_s = next_start_s(work, progress.limits)
    allowed = work.allowed_per_minute
    if work.to_start and allowed is not None and allowed < progress.limits.starts_per_minute:
        limit = f"{progress.limits.starts_per_minute:,} of ANIMATIC_ACCOUNT_LEVEL"
        found.append(f"WaveSpeed allows about {allowed:.0f} starts a minute (429), not the {limit}")
    elif work.to_start and start_s >= 1:
        pace = f"{progress.limits.starts_per_minute:,} a minute"
        found.append(f"the account's next start is in {start_s:.0f} s ({pace})")
    elif work.to_start and len(work.ages_s) >= progress.limits.max_in_flight:
        found.append(f"all {progress.limits.max_in_flight:,} slots of the account are in use")
    oldest = progress.oldest(now)
    if oldest and oldest.age_s > max(oldest.usual_s * tail(len(work.ages_s), work.spread), LATE_AFTER_S):
        since, usual = duration_in_words(oldest.age_s), duration_in_words(oldest.usual_s)
        is_left = math.isfinite(oldest.leaves_in_s)
        left = f"; left to the next run in {duration_in_words(oldest.leaves_in_s)}" if is_left else ""
        found.append(f"{oldest.name} is late: submitted {since} ago, usual are {usual}{left}")
    return found


def unreached(progress: Progress, now: float) -> list[str]:
    """Return for how long WaveSpeed could not be reached, and why; nothing where it can."""
    lost = progress.unreached_for(now)
    if lost is None or lost[0] < SAYS_UNREACHED_AFTER_S:
        return []
    return [f"cannot reach WaveSpeed for {lost[0]:.0f} s; trying again, nothing is lost ({reason_of(lost[1])})"]
