"""Metrics are made from the progress of a run; Prometheus can read them."""

from typing import Any

import pytest
from asked import shot_of, takes_of
from prometheus_client.parser import text_string_to_metric_families

from animatic.pace.limits import Limits
from animatic.progress import Progress
from animatic.takes.money.budgets import Reserved
from animatic.takes.states import State
from flows.server.metrics.families import RunInfo, families
from flows.server.metrics.pages import RunPages

PROMPT = "canary prompt: push in slowly"
FACTS = RunInfo("20261127T120220Z-685f", "0.1.0")


def busy_progress() -> Progress:
    """Progress of a run with takes in every state."""
    progress = Progress(total=10, unclear=1, passed_on=1, reserved=Reserved(17_500_000, 1), limits=Limits(60, 100))
    progress.max_microusd = 40_000_000
    progress.cached[State.COMPLETED] = 2
    take, other = takes_of(shot_of(1, prompt=PROMPT, takes=2), "sandbox")
    for each in (take, other):
        progress.submitted(each.fingerprint, 1.0)
        progress.began_polling(each.fingerprint, each.name, 1.0)
    progress.stopped_polling(take.fingerprint)
    progress.finished(take.fingerprint, State.COMPLETED, is_flagged=True)
    progress.finished("ab" * 32, State.FAILED)
    progress.finished("cd" * 32, State.HELD)
    progress.unreached(4.0, "POST /api/v3/predictions: cannot connect to api.wavespeed.ai")
    progress.archive.total, progress.archive.kept, progress.archive.failed = 9, 4, 1
    progress.meters.starts_granted = 5
    progress.meters.requested("submit", "ok", 0.2)
    progress.meters.requested("submit", "busy", 0.1)
    progress.meters.committed(0.02, 3.0, is_done=True)
    return progress


def samples_of(progress: Progress, now: float = 10.0) -> dict[Any, float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(progress, FACTS, now)
        for sample in family.samples
    }


def test_states_of_takes_add_up_to_the_takes_of_the_manifest() -> None:
    progress = busy_progress()
    found = samples_of(progress)
    by_state = {name[1]: value for name, value in found.items() if name[0] == "animatic_takes"}
    assert sum(by_state.values()) == progress.total
    assert by_state == {
        "completed": 3, "failed": 1, "rejected": 0, "unknown": 1, "held": 1, "in_flight": 1, "waiting": 2, "left": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (("animatic_reserved_usd",), 17.5),
        (("animatic_reserved_unpriced",), 1),
        (("animatic_budget_usd",), 40),
        (("animatic_submissions_total",), 2),
        (("animatic_starts_granted_total",), 5),
        (("animatic_requests_total", "submit", "busy"), 1),
        (("animatic_request_seconds_count", "submit"), 2),
        (("animatic_ledger_commit_seconds_bucket", "0.025"), 1),
        (("animatic_ledger_commit_seconds_bucket", "0.01"), 0),
        (("animatic_oldest_take_seconds",), 9),
        (("animatic_unreachable_seconds",), 6),
        (("animatic_media_backlog", "archive"), 4),
        (("animatic_takes_flagged",), 1),
        (("animatic_starts_per_minute_limit",), 60),
        (("animatic_takes_cached", "completed"), 2),
        (("animatic_takes_cached", "failed"), 0),
        (("animatic_ledger_silent_seconds",), 7),
    ],
)
def test_each_metric_is_what_the_progress_knows(name: tuple[str, ...], value: float) -> None:
    assert samples_of(busy_progress())[name] == value


def test_a_take_that_is_settled_at_the_end_is_counted_once() -> None:
    progress = busy_progress()
    for fingerprint in ("cd" * 32, "ef" * 32):  # held by this run, and unknown since an earlier one
        progress.cleared(fingerprint)
        progress.began_polling(fingerprint, "late", 2.0)
        progress.finished(fingerprint, State.COMPLETED)
        progress.stopped_polling(fingerprint)
    found = samples_of(progress)
    by_state = {name[1]: value for name, value in found.items() if name[0] == "animatic_takes"}
    assert (by_state["unknown"], by_state["held"], by_state["completed"]) == (0, 0, 5)
    assert sum(by_state.values()) == progress.total


def test_a_run_that_is_being_planned_has_metrics_too() -> None:
    assert samples_of(Progress())["animatic_takes", "waiting"] == 0


def test_the_page_is_prometheus_text_without_prompts_and_urls() -> None:
    page = RunPages(busy_progress(), FACTS)("/metrics")
    assert page is not None
    text = page.body.decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"animatic_takes", "animatic_requests", "process_cpu_seconds", "animatic_metrics_cpu_seconds"} <= names
    assert not any(each in text for each in (PROMPT, "://", "wavespeed.ai"))


def test_each_run_has_a_registry_of_its_own() -> None:
    one, other = (RunPages(progress, FACTS)("/metrics") for progress in (busy_progress(), Progress()))
    assert one is not None
    assert other is not None
    assert b'animatic_takes{state="completed"} 3.0' in one.body
    assert b'animatic_takes{state="completed"} 0.0' in other.body
