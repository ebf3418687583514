"""Metrics of real runs: served while a run works, gone when it ends, and never in its way."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

PROMPT = "[sandbox:slow=10] canary-prompt of a slow push in over the water"
STILL = "https://stills.example/a.png?X-Amz-Signature=canary-signature"
CANARIES = ("canary-prompt", "canary-signature", "canary-key")


@dataclass(frozen=True)
class Story:
    """A run with metrics and a JSON log, and another that found the port taken."""

    port: int
    metrics: str
    health: dict[str, Any]
    ended: Any
    other: Any
    log: Path


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, sandbox: Any, prefect_server: Any, tools: Any) -> Story:
    port = free_port()
    shell = tools.new_shell(tmp_path_factory.mktemp("metrics") / "home", sandbox, prefect_server)
    shell.more |= {"ANIMATIC_METRICS_PORT": str(port), "ANIMATIC_LOG_FORMAT": "json"}
    slow, quick = shell.home / "slow.csv", shell.home / "quick.csv"
    tools.write_manifest(slow, [{"image": STILL, "prompt": PROMPT, "takes": 2}])
    tools.write_manifest(quick, [{"image": STILL, "prompt": "canary-prompt quick"}])
    process = shell.start("run", str(slow), "--results", "slow.csv.parquet")
    try:
        tools.wait_until(lambda: 'animatic_takes{state="in_flight"} 2.0' in asked(port, "/metrics"), 60.0)
        metrics, health = asked(port, "/metrics"), json.loads(asked(port, "/healthz"))
        other = shell.run("run", str(quick), "--results", "quick.csv.parquet")
        stdout, stderr = process.communicate(timeout=60)
    except BaseException:
        tools.kill_group(process)
        raise
    log = next(each for each in shell.logs() if health["run_id"] == each.stem)
    return Story(port, metrics, health, (process.returncode, stdout + stderr), other, log)


def asked(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return ""


def test_a_run_serves_its_metrics_and_its_health(story: Story) -> None:
    assert story.ended[0] == 0, story.ended[1]
    assert 'animatic_requests_total{call="submit",outcome="ok"} 2.0' in story.metrics
    assert "animatic_starts_granted_total 2.0" in story.metrics
    assert story.health["status"] == "ok"
    assert story.health["in_flight"] == 2


def test_a_second_run_on_the_port_is_told_and_goes_on(story: Story) -> None:
    assert story.other.code == 0
    assert f"metrics: 127.0.0.1:{story.port} cannot be listened on" in story.other.stdout + story.other.stderr


def test_the_port_is_free_when_the_run_has_ended(story: Story) -> None:
    assert asked(story.port, "/metrics") == ""


def test_no_prompt_signature_or_key_is_served_or_logged(story: Story) -> None:
    texts = (story.metrics, json.dumps(story.health), story.log.read_text(encoding="utf-8"))
    assert not any(canary in text for canary in CANARIES for text in texts)


def test_each_log_line_is_json_and_names_shot_take_and_prediction(story: Story) -> None:
    lines = [json.loads(line) for line in story.log.read_text(encoding="utf-8").splitlines()]
    submitted = [line for line in lines if "submitted as" in line["message"]]
    assert len(submitted) == 2
    assert {line["take"] for line in submitted} == {1, 2}
    assert all(line["prediction_id"] in line["message"] for line in submitted)
    assert all(line["shot_id"] in line["message"] and line["flow_run_id"] for line in submitted)
    finished = [line for line in lines if line.get("task_run_id") and "Finished in state" in line["message"]]
    assert any(line.get("prediction_id") for line in finished)
