"""Automations that start dead runs again, as values: what they wait for."""

from prefect.events.schemas.automations import EventTrigger
from prefect.states import InfrastructurePending, Pending, Submitting

from flows.server.automations import Watch, automations


def test_a_run_stuck_at_any_step_before_starting_gets_the_next_worker() -> None:
    found = next(each for each in automations(Watch()) if "does not begin" in each.name)
    assert isinstance(found.trigger, EventTrigger)
    names = {str(state().name) for state in (Pending, Submitting, InfrastructurePending)}
    assert found.trigger.after == {f"prefect.flow-run.{name}" for name in (*names, "pull-step.executed")}


def test_a_run_that_dies_before_its_first_heartbeat_is_lost_too() -> None:
    found = next(each for each in automations(Watch()) if "without heartbeats" in each.name)
    assert isinstance(found.trigger, EventTrigger)
    assert found.trigger.after == {"prefect.flow-run.Running", "prefect.flow-run.heartbeat"}
