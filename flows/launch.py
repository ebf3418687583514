"""Run the flow in this process: with Prefect's embedded server if no other is set, a panel, and a proper end."""

import asyncio
import gc
import importlib
import os
import secrets
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from animatic.errors import AnimaticError
from flows.companions import Companion, prefect_server
from flows.imports import uncollected
from flows.logs import log_path, quieten
from flows.panel import panel
from flows.session import SESSION, Session
from flows.terminal import PlainConsole

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

CATCHES_UP_WITHIN_S = 60.0
_IMPORTED_LATE = ("fastapi.encoders", "prefect.flow_engine", "prefect.task_engine", "encodings.idna")
"""What a flow's first steps import, each while everybody waits for it; we import it while we wait for the server."""

_COLLECTED_AFTER = 10_000
"""Objects that live on, before the youngest are looked through: thousands of takes wait at once, none is garbage."""

_SERVERS_CSRF = "PREFECT_SERVER_CSRF_PROTECTION_ENABLED"
_SERVERS_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"  # noqa: S105 - the name of a variable


class FlowError(AnimaticError):
    """The flow ended in a way that nobody foresaw."""


@contextmanager
def prefect_api(
    run_id: str, *, port: int = 0, settings: Mapping[str, str] | None = None
) -> Generator[Companion | None]:
    """Prefect's API for the length of the block: the server that is set, else an embedded one, with these settings.

    The embedded one wants a password, which is set, or made for the occasion: on loopback alone, any web page and any
    user of this machine could read the Secret block with the key, and start runs.
    """
    if os.environ.get("PREFECT_API_URL"):
        yield None
        return
    password = os.environ.get(_SERVERS_PASSWORD) or f"animatic:{secrets.token_urlsafe(24)}"
    asked = {**(settings or {}), _SERVERS_PASSWORD: password}
    with prefect_server(log_path(f"{run_id}-prefect-server"), port=port, settings=asked) as server:
        ours = {
            "PREFECT_API_URL": server.url,
            "PREFECT_API_AUTH_STRING": password,
            "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",  # it is the Prefect of this installation
        }
        if not os.environ.get(_SERVERS_CSRF):  # a client that expects no token need not ask for one
            ours["PREFECT_CLIENT_CSRF_SUPPORT_ENABLED"] = "false"
        before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        try:
            yield server
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                os.environ.update({name: value} if value is not None else {})


def run_flow(session: Session, parameters: dict[str, Any], console: PlainConsole, *, debug: bool) -> None:
    """Run `flows.animate` to its end; what came of it is in the session. Needs `prefect_api` around it.

    Raises:
        FixInputError: nothing was bought because the input must be changed first.
        FlowError: anything unforeseen; the message is one line.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with uncollected():
        from flows.animate import animate  # noqa: PLC0415 - imports Prefect, which only a run should wait for

        for name in _IMPORTED_LATE:
            importlib.import_module(name)
    gc.set_threshold(_COLLECTED_AFTER)
    log = log_path(session.run_id)
    quieten(log, debug=debug)
    token = SESSION.set(session)
    try:
        with panel(console, session.tally, Path(parameters["manifest"]).name):
            ending: Any = animate(**parameters, return_state=True)  # Prefect's types forget that this is awaitable
            state: State[Any] = asyncio.run(ending)
    finally:
        SESSION.reset(token)
    if session.flow_run_id is not None:
        wait_until_recorded(UUID(session.flow_run_id), session.task_runs)
    if session.refusal is not None:
        raise session.refusal
    if not session.is_judged:
        problem = asyncio.run(state.aresult(raise_on_failure=False)) if state.is_failed() else state.message
        if isinstance(problem, AnimaticError):
            raise problem
        said = " ".join(str(state.message or problem or state.name).split())
        raise FlowError(f"the run ended unforeseen: {said[:500]} (the whole story is in {log})")


def wait_until_recorded(flow_run_id: UUID, task_runs: int) -> bool:
    """Wait until the server has every task run of the flow run in its final state; False if it did not in time.

    Task runs reach the server as events, which it records in its own time; one that is stopped before has lost them.
    """
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - Prefect is imported by the run, not before
    from prefect.events.worker import EventsWorker  # noqa: PLC0415
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    EventsWorker.drain_all(timeout=CATCHES_UP_WITHIN_S)
    APILogWorker.drain_all(timeout=10)
    deadline = time.monotonic() + CATCHES_UP_WITHIN_S
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            if _recorded(client, flow_run_id) >= task_runs:
                return True
            time.sleep(0.1)
    return False


def _recorded(client: Any, flow_run_id: UUID) -> int:
    """How many task runs of the flow run the server has in a final state."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, TaskRunFilter  # noqa: PLC0415

    final = TaskRunFilter.model_validate({"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}})
    found, page = 0, 200
    while True:
        runs = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
            task_run_filter=final,
            limit=page,
            offset=found,
        )
        found += len(runs)
        if len(runs) < page:
            return found
