"""News for people: about the run of a deployment, also where that runs others inside it."""

from types import SimpleNamespace
from typing import Any

import pytest

from tasks import alerts


def run_of(deployment: str | None) -> Any:
    return SimpleNamespace(
        flow_run=SimpleNamespace(id="run", name="inbox", flow_id="flow", deployment_id=deployment), flow=None
    )


def test_a_run_of_a_deployment_speaks_for_those_that_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(alerts, "emit_event", lambda **event: sent.append(event))
    monkeypatch.setattr(alerts.FlowRunContext, "get", lambda: run_of("nightly"))
    with alerts.speaking_for_others("shots.csv: "):
        monkeypatch.setattr(alerts.FlowRunContext, "get", lambda: run_of(None))
        alerts.alert(alerts.TAKES_HELD, "1 take is held", pytest.fail)
    alerts.alert(alerts.TAKES_HELD, "of a run by hand", pytest.fail)
    ((payload, resource),) = [(each["payload"], each["resource"]) for each in sent]
    assert payload == {"text": "shots.csv: 1 take is held"}
    assert resource["prefect.resource.id"] == "prefect.flow-run.run"
