"""Pages of a run's endpoint: `/metrics` for Prometheus, `/healthz` for probes."""

import time
from collections.abc import Iterable
from http import HTTPStatus

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from animatic.progress import Progress
from flows.server.metrics.endpoint import Page
from flows.server.metrics.families import RunInfo, families
from flows.server.metrics.health import Health, health_of

MOST_TRIES = 3


class RunPages:
    """Pages of one run, with a registry of their own. `now` is the clock of its event loop."""

    def __init__(self, progress: Progress, facts: RunInfo) -> None:
        self._progress, self._facts, self._now = progress, facts, time.monotonic
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def __call__(self, path: str) -> Page | None:
        """Return the page of a path; None where there is none."""
        match path:
            case "/metrics":
                return Page(generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)
            case "/healthz":
                health = self._health()
                status = HTTPStatus.OK if health.is_well else HTTPStatus.SERVICE_UNAVAILABLE
                return Page(health.as_json(), "application/json", status)
            case _:
                return None

    def _health(self) -> Health:
        now, progress = self._now(), self._progress
        lost = progress.unreached_for(now)
        unreachable_s = 0.0 if lost is None else lost[0]
        return health_of(progress.meters, self._facts.run_id, now, progress.in_flight, unreachable_s)

    def describe(self) -> Iterable[Metric]:
        """Describe nothing: to register is not to ask."""
        return ()

    def collect(self) -> list[Metric]:
        """Return the metrics of now."""
        text = "CPU time of the thread that serves these metrics"
        return [*self._families(), CounterMetricFamily("animatic_metrics_cpu_seconds", text, time.thread_time())]

    def _families(self) -> list[Metric]:
        """Read the progress, which the run goes on to write: where a count grows in between, read again."""
        for _ in range(MOST_TRIES - 1):
            try:
                return list(families(self._progress, self._facts, self._now()))
            except RuntimeError:  # a dictionary changed its size
                continue
        return list(families(self._progress, self._facts, self._now()))
