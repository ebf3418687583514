"""Rules of approvals, of automations, and of a process that Prefect has taken for dead, without a server."""

from typing import Any

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.server.events.schemas.automations import EventTrigger
from prefect.server.events.schemas.events import RelatedResource, Resource, ResourceSpecification

from animatic.errors import SettingsError
from animatic.takes.states import BuyingPolicy
from flows.approval import approved_by, require_deployment
from flows.order import ApprovalRule, Order
from flows.server.automations import ALERTS, PREFIX, Watch, automations
from flows.server.notifiers import Notifier
from flows.stop_request import LOST, StopRequest, is_stop


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"decision": "refuse", "max_usd": 5, "note": "too\ndear"}, r"approval: refused \(too\\ndear\)"),
        ({"decision": "approve"}, "allowed: decision"),
        ({"decision": "approve", "max_usd": -1}, "allowed: decision"),
        ({"decision": "approve", "max_usd": float("inf")}, "allowed: decision"),
        ({"decision": "approve", "max_usd": 1e308}, "allowed: decision"),
        ({"decision": "approve", "max_usd": 5, "more": 1}, "allowed: decision"),
    ],
)
def test_an_answer_that_is_no_approval_buys_nothing(answer: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        approved_by(answer)


def test_an_answer_without_a_sum_means_the_suggested_one() -> None:
    assert approved_by({"decision": "approve"}, 20.0) == 20_000_000
    assert approved_by({"decision": "approve", "max_usd": 7}, 20.0) == 7_000_000
    with pytest.raises(SettingsError, match=r"approval: refused \(no money\)"):
        approved_by({"decision": "refuse", "note": "no money"}, 20.0)


def test_an_approved_sum_is_rounded_down() -> None:
    assert approved_by({"decision": "approve", "max_usd": 7.5000009}) == 7_500_000


@pytest.mark.parametrize(
    ("above", "hours"), [(-1.0, 24.0), (1e308, 24.0), (float("inf"), 24.0), (float("nan"), 24.0), (1.0, 0.0)]
)
def test_a_rule_that_no_run_can_follow_is_refused(above: float, hours: float) -> None:
    with pytest.raises(SettingsError, match="allowed: "):
        ApprovalRule(above, hours)


def test_a_run_without_a_deployment_says_why_it_cannot_ask() -> None:
    order = Order("a.csv", "a.parquet", None, False, BuyingPolicy(), approval=ApprovalRule(5.0))
    with pytest.raises(SettingsError, match="without a deployment, which Prefect cannot"):
        require_deployment(order)


@pytest.mark.parametrize(
    ("kind", "name"), [(StateType.PAUSED, LOST), (StateType.CRASHED, "Crashed"), (StateType.SCHEDULED, "AwaitingRetry")]
)
def test_a_process_taken_for_dead_leaves_the_run_to_the_next(kind: StateType, name: str) -> None:
    state: State[Any] = State(type=kind, name=name)
    assert is_stop(state)
    assert StopRequest.of(state).is_suspension


def test_each_automation_is_of_our_flows_and_has_its_own_name() -> None:
    to = Notifier("custom-webhook/film", "00000000-0000-0000-0000-000000000001")  # pyright: ignore[reportArgumentType]
    found = automations(Watch(), list(ALERTS), [to])
    assert len({each.name for each in found}) == len(found) == 5 + len(ALERTS)
    for each in found:
        assert each.name.startswith(PREFIX)
        assert "animate" in str(each.trigger.model_dump()["match_related"])


@pytest.mark.parametrize(
    ("flow", "has_deployment", "is_heard_of"),
    [("animate", True, True), ("inbox-manifest", True, True), ("bill", True, True), ("animate", False, False),
     ("media", True, False), ("etl", True, False)],
)  # fmt: skip
def test_people_hear_of_runs_of_deployments_and_not_of_parts(
    flow: str, has_deployment: bool, is_heard_of: bool
) -> None:
    to = Notifier("custom-webhook/film", "00000000-0000-0000-0000-000000000001")  # pyright: ignore[reportArgumentType]
    (finish,) = [
        each for each in automations(Watch(), ["finish"], [to]) if each.name.endswith("finish to custom-webhook/film")
    ]
    trigger = EventTrigger.model_validate(finish.trigger.model_dump(mode="json", exclude={"id"}))
    roles = [("flow", flow), *([("deployment", "nightly")] if has_deployment else [])]
    related = [
        RelatedResource(
            {"prefect.resource.id": f"prefect.{role}.1", "prefect.resource.role": role, "prefect.resource.name": name}
        )
        for role, name in roles
    ]
    run = Resource({"prefect.resource.id": "prefect.flow-run.1", "prefect.resource.name": "shots"})
    assert trigger.covers_resources(run, related) is is_heard_of


@pytest.mark.parametrize("doing", ["paused", "resuming"])
def test_an_approval_that_comes_too_late_is_a_refusal_and_no_failure(doing: str) -> None:
    to = Notifier("custom-webhook/film", "00000000-0000-0000-0000-000000000001")  # pyright: ignore[reportArgumentType]
    found = automations(Watch(), ["failure"], [to])
    labels = {
        "prefect.resource.id": "prefect.flow-run.1",
        "prefect.state-message": f"The flow was {doing} and never resumed.",
    }
    matched = [
        each.name for each in found if "prefect.state-message" in each.trigger.model_dump()["match"]
        and ResourceSpecification.model_validate(each.trigger.model_dump()["match"]).matches(Resource(labels))
    ]  # fmt: skip
    assert matched == [f"{PREFIX}an approval that nobody gave is a refusal"]


def test_what_earlier_processes_reserved_comes_off_what_a_run_may_spend() -> None:
    order = Order("a.csv", "a.parquet", None, False, BuyingPolicy(), spend_up_to=25.0)
    assert [each.microusd for each in order.allowances()] == [25_000_000]
    assert [each.microusd for each in order.allowances(None, 15_000_000)] == [10_000_000]
    assert [each.microusd for each in order.allowances(None, 30_000_000)] == [0]


def test_a_run_is_started_again_a_bounded_number_of_times() -> None:
    def counts(watch: Watch) -> list[str]:
        (again,) = [each for each in automations(watch) if each.name.endswith("is started again")]
        return again.trigger.model_dump()["match"]["prefect.run-count"]

    assert counts(Watch(most_starts=4)) == ["1", "2", "3"], "0: it died before it began, and would again"
    assert len(automations(Watch(most_starts=1))) == len(automations(Watch())) - 1


def test_a_window_that_prefect_cannot_watch_is_refused() -> None:
    with pytest.raises(SettingsError, match="--lost-after: found 9; allowed: 10 or more"):
        Watch(lost_after_s=9)
