"""Metrics of a run, made of its progress when they are asked for; no I/O, and no clock.

Names follow Prometheus: base units, `_total` for what only grows. A run starts at 0: its counters are its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from animatic.pace.meters import Durations, Meters
from animatic.progress import Progress
from animatic.takes.states import State

_MICROUSD = 1_000_000


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Facts of a run that do not change.

    Attributes:
        version: of animatic.
    """

    run_id: str
    version: str


def families(progress: Progress, facts: RunInfo, now: float) -> Iterator[Metric]:
    """Yield the metrics of a run at a moment of its clock."""
    yield InfoMetricFamily("animatic_run", "The run", {"run_id": facts.run_id, "version": facts.version})
    yield from _takes(progress, now)
    yield from _money(progress)
    yield from _pace(progress, now)
    yield from _media(progress)
    yield from _engine(progress.meters, now)


def _takes(progress: Progress, now: float) -> Iterator[Metric]:
    ended = progress.by_state()
    ended[State.UNKNOWN] += progress.unclear
    counts = {state.value: ended[state] for state in _ENDS}
    counts |= {"in_flight": progress.in_flight, "waiting": progress.to_start, "left": progress.passed_on}
    yield _by("animatic_takes", "Takes of the run by state; they add up to all takes of the manifest", "state", counts)
    cached = {state.value: progress.cached[state] for state in _ENDS}
    yield _by("animatic_takes_cached", "Takes among them that were final when the run began", "state", cached)
    yield _gauge("animatic_takes_queued", "Takes in flight that WaveSpeed has not begun to make", progress.queued)
    yield _gauge("animatic_takes_flagged", "Completed takes with an output that is flagged NSFW", progress.flagged)
    oldest = progress.oldest(now)
    age_s = 0.0 if oldest is None else oldest.age_s
    yield _gauge("animatic_oldest_take_seconds", "Age of the take in flight that was submitted first", age_s)


_ENDS = (State.COMPLETED, State.FAILED, State.REJECTED, State.UNKNOWN, State.HELD)


def _money(progress: Progress) -> Iterator[Metric]:
    reserved = progress.reserved
    text = "Sum of the prices at which this run has reserved its submissions"
    yield _gauge("animatic_reserved_usd", text, reserved.cost_microusd / _MICROUSD)
    text = "Submissions of this run whose price is not known"
    yield _gauge("animatic_reserved_unpriced", text, reserved.unpriced)
    if progress.max_microusd is not None:
        text = "The most that this process may reserve, once its plan is approved or needs no approval"
        yield _gauge("animatic_budget_usd", text, progress.max_microusd / _MICROUSD)


def _pace(progress: Progress, now: float) -> Iterator[Metric]:
    limits, meters = progress.limits, progress.meters
    yield _counter("animatic_submissions", "Submissions that WaveSpeed accepted", progress.submissions)
    yield _counter("animatic_starts_granted", "Starts that the account's limits granted", meters.starts_granted)
    if limits is not None:
        yield _gauge("animatic_starts_per_minute_limit", "Starts a minute of the account", limits.starts_per_minute)
        yield _gauge("animatic_in_flight_limit", "Takes in flight of the account", limits.max_in_flight)
    lost = progress.unreached_for(now)
    text = "Time for which WaveSpeed could not be reached; 0 while it can"
    yield _gauge("animatic_unreachable_seconds", text, 0.0 if lost is None else lost[0])


def _media(progress: Progress) -> Iterator[Metric]:
    archive, checks = progress.archive, progress.checks
    backlog = {"archive": max(archive.left, 0), "checks": max(checks.left, 0)}
    yield _by("animatic_media_backlog", "Clips still to be archived, or checked", "step", backlog)
    batches = {"at_work": archive.batches_at_work, "waiting": archive.batches_waiting}
    yield _by("animatic_media_batches", "Batches of clips with media workers, by state", "state", batches)
    done = {"archive": archive.kept, "checks": checks.done}
    yield _by("animatic_media_done", "Clips that are archived, or checked", "step", done)
    failed = {"archive": archive.failed, "checks": checks.unread}
    yield _by("animatic_media_failed", "Clips that could not be archived, or checked", "step", failed)
    yield _counter("animatic_media_received_bytes", "Bytes of clips that were downloaded", archive.received_bytes)


def _engine(meters: Meters, now: float) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "animatic_requests",
        "Requests to WaveSpeed by call and outcome: ok, busy (429), refused (other 4xx), failed (5xx and the rest), "
        "unsent (no byte left), lost (no whole answer)",
        labels=["call", "outcome"],
    )
    for (call, outcome), count in sorted(meters.requests.copy().items()):
        requests.add_metric([call, outcome], count)
    yield requests
    seconds = HistogramMetricFamily("animatic_request_seconds", "Time of requests to WaveSpeed", labels=["call"])
    for call, durations in sorted(meters.request_s.copy().items()):
        seconds.add_metric([call], _buckets(durations), durations.sum_s)
    yield seconds
    text = "Transactions of the ledger, from the first statement to the end of the commit"
    yield _histogram("animatic_ledger_commit_seconds", text, meters.commits)
    text = "Transactions of the ledger of which nothing was committed"
    yield _counter("animatic_ledger_failures", text, meters.commits_failed)
    if meters.ledger_at is not None:
        text = "Time since the ledger answered; a run asks it every 15 s at least"
        yield _gauge("animatic_ledger_silent_seconds", text, max(now - meters.ledger_at, 0.0))
    yield _histogram("animatic_poll_lag_seconds", "Polls: from when one is due to its release", meters.poll_lag)
    yield _histogram("animatic_loop_lag_seconds", "Event loop: how late it woke up", meters.loop_lag)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value)


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family


def _histogram(name: str, text: str, durations: Durations) -> Metric:
    return HistogramMetricFamily(name, text, _buckets(durations), durations.sum_s)


def _buckets(durations: Durations) -> list[tuple[str, float]]:
    return [("+Inf" if bound == float("inf") else str(bound), count) for bound, count in durations.buckets()]
