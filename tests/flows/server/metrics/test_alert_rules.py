"""Prometheus's own tool reads the alert rules, plays their tests, and finds nothing odd in our metrics."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from animatic.pace.limits import Limits
from animatic.pace.meters import Meters
from animatic.progress import Progress
from flows.server.metrics.families import RunInfo
from flows.server.metrics.pages import RunPages

DEPLOYMENTS = Path(__file__).parents[4] / "deployments"
RULES = DEPLOYMENTS / "animatic.rules.yml"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool on the PATH; Debian's package prometheus has it"
)


def told(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, cwd=DEPLOYMENTS, check=False)


def metrics() -> bytes:
    """Return the page of a run with each family in it."""
    meters = Meters()
    meters.requested("submit", "busy", 0.1)
    meters.ledger_at = 1.0
    progress = Progress(limits=Limits(2, 2), meters=meters, max_microusd=1)
    page = RunPages(progress, RunInfo("run-1", "0.1.0"))("/metrics")
    assert page is not None
    return page.body


@needs_promtool
def test_the_rules_can_be_read_and_fire_when_they_should() -> None:
    for arguments in (("check", "rules", RULES.name), ("test", "rules", "animatic.rules.test.yml")):
        ended = told(*arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr


@needs_promtool
def test_the_metrics_follow_prometheus_own_rules() -> None:
    ended = told("check", "metrics", stdin=metrics())
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("rule", yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"])
def test_each_rule_speaks_of_metrics_that_there_are(rule: dict[str, str]) -> None:
    named = set(re.findall(r"animatic_\w+", rule["expr"]))
    assert named
    text = metrics().decode()
    assert all(re.search(rf"^{name}(?:_bucket)?\b", text, re.MULTILINE) for name in named)
