"""`python -m flows.server.automations`: Prefect automations that start dead runs again, and that tell people.

Safe to run again at any time: what is there and as it should be stays, what differs is changed, what is no longer asked
for goes; what tells people stays unless `--notify` or `--no-notify` is typed. Only automations whose names begin with
`animatic: ` are touched, on the server that PREFECT_API_URL names.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.settings import get_current_settings

from animatic.errors import AnimaticError, SettingsError
from animatic.results.exit_codes import DONE, INCOMPLETE, REFUSED
from flows.server.notifiers import Notifier, find_notifier, send_test
from flows.stop_request import LOST
from flows.terminal import complain, say
from tasks.alerts import APPROVAL_WANTED, BUDGET_REACHED, REPORT_WRITTEN, TAKES_HELD

PREFIX = "animatic: "
FLOWS = ("animate", "bill", "inbox", "inbox-manifest", "media", "reconcile", "reel", "review")
"""Flows that may be started again at any time, since the ledger is asked before anything is bought."""

_PARTS = frozenset({"media"})
"""Flows that work for runs of another flow, which say how it went."""

HEARTBEAT_S = 30
"""Value of PREFECT_FLOWS_HEARTBEAT_FREQUENCY where runs are watched; Prefect's own default is 180."""

LOST_AFTER_S, STARTS_WITHIN_S, MOST_STARTS = 75, 60, 10
SHORTEST_S = 10
"""Prefect looks for what is missing no sooner."""

EXPIRED = "The flow was * and never resumed."
"""Prefect's own message for a suspended run that was not resumed in time: `paused`, or `resuming` where it was late."""

_RUN = "prefect.flow-run."
_LIVES = {f"{_RUN}Running", f"{_RUN}heartbeat"}
"""Events after which a run that lives is heard of again."""

_TAKEN = {f"{_RUN}{name}" for name in ("Pending", "Submitting", "InfrastructurePending", "pull-step.executed")}
"""Events of a run that a worker has taken and not begun: each ends the wait for what comes after the one before."""

_STATE = "{{ flow_run.name }} is {{ flow_run.state.name }}: {{ flow_run.state.message }}\n{{ flow_run|ui_url }}"
_TEXT = "{{ flow_run.name }}: {{ event.payload.text }}\n{{ flow_run|ui_url }}"


@dataclass(frozen=True, slots=True)
class Alert:
    """A reason to send people a message: the events, and the text that is sent."""

    events: frozenset[str]
    subject: str
    body: str


ALERTS: Mapping[str, Alert] = {
    "finish": Alert(
        frozenset({f"{_RUN}Completed", f"{_RUN}CompletedWithFailures", f"{_RUN}Interrupted"}), "finished", _STATE
    ),
    "failure": Alert(frozenset({f"{_RUN}Failed", f"{_RUN}Refused", f"{_RUN}Crashed"}), "did not end well", _STATE),
    "held": Alert(frozenset({TAKES_HELD}), "takes are held", _TEXT),
    "budget": Alert(frozenset({BUDGET_REACHED}), "a budget is reached", _TEXT),
    "report": Alert(frozenset({REPORT_WRITTEN}), "a manifest could not be run", _TEXT),
    "approval": Alert(frozenset({APPROVAL_WANTED}), "a run waits for approval", _TEXT),
}


@dataclass(frozen=True, slots=True)
class Watch:
    """Times and bounds by which runs are watched.

    Attributes:
        lost_after_s: a run without a heartbeat for so long is taken for dead.
        starts_within_s: a run that a worker took and did not begin within so long is given to the next worker.
        most_starts: a crashed run is started again until it was started so often, by a schedule or a resume too.
    """

    lost_after_s: int = LOST_AFTER_S
    starts_within_s: int = STARTS_WITHIN_S
    most_starts: int = MOST_STARTS

    _LEAST: ClassVar[Mapping[str, int]] = {
        "lost_after_s": SHORTEST_S,
        "starts_within_s": SHORTEST_S,
        "most_starts": 1,
    }

    def __post_init__(self) -> None:
        for name, least in self._LEAST.items():
            found, option = getattr(self, name), name.removesuffix("_s").replace("_", "-")
            if found < least:
                raise SettingsError(f"--{option}: found {found}; allowed: {least} or more")


def automations(watch: Watch, alerts: Iterable[str] = (), notifiers: Sequence[Notifier] = ()) -> list[AutomationCore]:
    """Return the automations that a server should have."""
    return [*_of_dead_runs(watch), _of_expired_approvals(), *(_of(each, to) for each in alerts for to in notifiers)]


def _of_dead_runs(watch: Watch) -> list[AutomationCore]:
    """Return the chain from a missing heartbeat to the next process.

    A run is made Lost first, which Prefect allows of a running run only: a heartbeat that comes in after the run was
    suspended, or is over, must not crash it.
    """
    silent = (
        f"no heartbeat for {watch.lost_after_s} s: its process or its machine is gone, it could not reach Prefect, or "
        f"PREFECT_FLOWS_HEARTBEAT_FREQUENCY is not {HEARTBEAT_S} there"
    )
    lost, crashed = _change(StateType.PAUSED, LOST, silent), _change(StateType.CRASHED, "Crashed", silent)
    again = _change(StateType.SCHEDULED, "AwaitingRetry", "it crashed, and is started again by an automation")
    late = _change(StateType.SCHEDULED, "Scheduled", f"it did not begin within {watch.starts_within_s} s of its start")
    found = [
        _automation(
            "a run without heartbeats is lost",
            _missing(_LIVES, watch.lost_after_s),
            lost,
        ),
        _automation("a lost run has crashed", _seen({f"{_RUN}{LOST}"}), crashed),
        _automation("a run that does not begin waits again", _missing(_TAKEN, watch.starts_within_s), late),
    ]
    if counts := [str(count) for count in range(1, watch.most_starts)]:
        crash = _seen({f"{_RUN}Crashed"}, {"prefect.run-count": counts})
        found.append(_automation("a crashed run is started again", crash, again))
    return found


def _of_expired_approvals() -> AutomationCore:
    message = "it was suspended, and neither approved nor resumed in time; nothing more was bought"
    trigger = _seen({f"{_RUN}Failed"}, {"prefect.state-message": EXPIRED})
    return _automation(
        "an approval that nobody gave is a refusal", trigger, _change(StateType.FAILED, "Refused", message)
    )


def _of(name: str, notifier: Notifier) -> AutomationCore:
    alert = ALERTS[name]
    match = {"prefect.state-message": f"!{EXPIRED}"} if name == "failure" else {}
    action = SendNotification(
        block_document_id=notifier.block_id, subject=f"animatic: {alert.subject}", body=alert.body
    )
    return _automation(f"{name} to {notifier.name}", _seen(set(alert.events), match, _TOLD_OF), action)


def _automation(name: str, trigger: EventTrigger, action: Any) -> AutomationCore:
    return AutomationCore(name=f"{PREFIX}{name}", description=_DESCRIPTION, trigger=trigger, actions=[action])


_DESCRIPTION = "Made by `python -m flows.server.automations`, which changes it back."


def _seen(
    events: set[str],
    labels: Mapping[str, str | list[str]] | None = None,
    related: Sequence[Mapping[str, str | list[str]]] = (),
) -> EventTrigger:
    """Return a trigger for each of these events of a run of ours, or of what is related to all of these."""
    return EventTrigger(
        expect=events,
        match={"prefect.resource.id": f"{_RUN}*", **(labels or {})},  # pyright: ignore[reportArgumentType] - coerced
        match_related=list(related) or _OURS,  # pyright: ignore[reportArgumentType] - the same
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )


def _missing(after: set[str], within_s: int) -> EventTrigger:
    """Return a trigger for a run of ours of which nothing is heard after such events."""
    return EventTrigger(
        after=after,
        expect={f"{_RUN}*"},
        match={"prefect.resource.id": f"{_RUN}*"},  # pyright: ignore[reportArgumentType] - coerced
        match_related=_OURS,  # pyright: ignore[reportArgumentType] - the same
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=within_s),
    )


_OURS = {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}
_TOLD_OF = (
    {"prefect.resource.role": "flow", "prefect.resource.name": [each for each in FLOWS if each not in _PARTS]},
    {"prefect.resource.role": "deployment"},
)
"""Runs that people hear of: of a deployment, so not those inside another one, which speaks for them."""


def _change(state: StateType, name: str, message: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=state, name=name, message=message, force=False)


@dataclass(slots=True)
class Changes:
    """Changes that were made to the server's automations, by name."""

    made: list[str] = field(default_factory=list[str])
    changed: list[str] = field(default_factory=list[str])
    kept: list[str] = field(default_factory=list[str])
    removed: list[str] = field(default_factory=list[str])

    def lines(self) -> list[str]:
        """Return one line for each automation."""
        named = {"made": self.made, "changed": self.changed, "as it was": self.kept, "removed": self.removed}
        return [f"{how}: {name}" for how, names in named.items() for name in names]


async def put(
    client: PrefectClient,
    wanted: Sequence[AutomationCore],
    *,
    only_missing: bool = False,
    keeps_alerts: bool = False,
) -> Changes:
    """Make the server's automations of ours those that are wanted.

    With `only_missing` what is there is left alone, with `keeps_alerts` those that tell people are.
    """
    changes, names = Changes(), {each.name for each in wanted}
    there: dict[str, Any] = {}
    for each in await client.read_automations():
        if not each.name.startswith(PREFIX):
            continue
        is_kept = only_missing or (keeps_alerts and _tells_people(each.name))
        is_unwanted = each.name not in names and not is_kept
        if each.name in there or is_unwanted:  # two that set up at once may have made one twice
            await client.delete_automation(each.id)
            changes.removed.append(each.name)
        else:
            there[each.name] = each
    for each in wanted:
        found = there.get(each.name)
        if found is None:
            await client.create_automation(each)
            changes.made.append(each.name)
        elif not only_missing and _values(found) != _values(each):
            await client.update_automation(found.id, each)
            changes.changed.append(each.name)
        else:
            changes.kept.append(each.name)
    return changes


def _tells_people(name: str) -> bool:
    return name.removeprefix(PREFIX).partition(" to ")[0] in ALERTS


def _values(automation: AutomationCore) -> Any:
    found = automation.model_dump(mode="json", include={"name", "description", "enabled", "trigger", "actions"})
    return _plain(found)


def _plain(value: Any) -> Any:
    """Return JSON with lists that are sets in a fixed order, single values as lists, and without ids."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items() if name != "id"}
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return sorted(value) if len(value) != 1 else value[0]
    return [_plain(each) for each in value] if isinstance(value, list) else value


async def set_up(
    watch: Watch,
    alerts: Sequence[str] = (),
    blocks: Sequence[str] = (),
    *,
    tests: bool = False,
    keeps_alerts: bool = False,
) -> int:
    """Put the automations on the server, and say what was done; return the exit code. For `keeps_alerts` see `put`.

    Raises:
        SettingsError: there is no such block, or it sends no notifications.
    """
    async with get_client() as client:
        notifiers = [await find_notifier(client, each) for each in blocks]
        wanted = automations(watch, alerts, notifiers)
        for line in (await put(client, wanted, keeps_alerts=keeps_alerts)).lines():
            say(line)
    problems = [problem for each in notifiers if tests and (problem := await send_test(each)) is not None]
    for problem in problems:
        complain(problem)
    return INCOMPLETE if problems else DONE


def main(arguments: Sequence[str]) -> int:
    """Put the automations on the server; the exit code: 3 if a test message was not taken."""
    parser = _parser()
    typed = parser.parse_args(arguments)
    alerts = [each.strip() for value in typed.on for each in value.split(",")] if typed.on else list(ALERTS)
    try:
        if unknown := [each for each in alerts if each not in ALERTS]:
            raise SettingsError(f'--on: found "{unknown[0]}"; allowed: {", ".join(ALERTS)}')
        if get_current_settings().api.url is None:
            raise SettingsError("PREFECT_API_URL: not set; export the address of the Prefect server, as its /api")
        watch = Watch(typed.lost_after, typed.starts_within, typed.most_starts)
        keeps = not typed.notify and not typed.no_notify
        return asyncio.run(set_up(watch, alerts, typed.notify, tests=typed.test, keeps_alerts=keeps))
    except AnimaticError as error:
        complain(f"animatic: {error}")
        return REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flows.server.automations", description=(__doc__ or "").strip())
    parser.add_argument(
        "--notify", metavar="TYPE/NAME", action="append", default=[],
        help="a Prefect block that messages go to, such as custom-webhook/film or slack-webhook/film; repeated",
    )  # fmt: skip
    parser.add_argument(
        "--no-notify", action="store_true", help="remove what tells people; without this or --notify, it stays"
    )
    parser.add_argument(
        "--on", metavar="WHAT", action="append", help=f"what to tell of, any of {','.join(ALERTS)} (default: all)"
    )
    parser.add_argument("--test", action="store_true", help="send one message through each block now")
    parser.add_argument(
        "--lost-after", type=int, default=LOST_AFTER_S, metavar="S",
        help=f"seconds without a heartbeat after which a run is dead (default: {LOST_AFTER_S})",
    )  # fmt: skip
    parser.add_argument(
        "--starts-within", type=int, default=STARTS_WITHIN_S, metavar="S",
        help=f"seconds within which a worker begins a run (default: {STARTS_WITHIN_S}; more where it pulls an image)",
    )  # fmt: skip
    parser.add_argument(
        "--most-starts", type=int, default=MOST_STARTS, metavar="N",
        help=f"start a crashed run again until it was started N times, resumes included (default: {MOST_STARTS})",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
