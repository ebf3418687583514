"""The two ends of a run at which Prefect could hold it up: before it may buy, and after its results are written.

In between, Prefect's own threads report to it, and `flows.stop_request` asks it; neither can stop a run by failing.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, TaskRunFilter
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from animatic.errors import SettingsError
from flows.flow_states import run_state
from flows.server.child_processes import ServerProcess
from flows.session import RunEnd, Session
from flows.terminal import PlainConsole, error_line, without_passwords

IS_REACHED_WITHIN_S = 60.0
"""Longest wait for a server that `PREFECT_API_URL` names, before anything is bought."""

STARTS_WITHIN_S = 60.0
"""Longest wait for the server to begin the run; nothing is bought before it has."""

TELLS_WITHIN_S = 30.0
RECORDS_WITHIN_S = 45.0
"""Longest that Prefect may hold up a run whose results are written: until it knows the end, until it has all records.

Beside them it gets some seconds for the summary (`flows.run`) and the last progress (`tasks.results`): a minute in all.
"""

HURRIES_WITHIN_S = 2.0
ANSWERS_WITHIN_S = 10.0
ASKS_EVERY_S = 1.0
SAYS_SO_AFTER_S = 3.0

LASTING = frozenset({400, 401, 403, 404, 405, 422})
"""Answers that another minute will not change."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a flow run, as Prefect's engine left it.

    Attributes:
        problem: the exception that ended it, if one did.
        message: of its final state.
        untold: why the server does not know how it ended, in words; None where it knows.
    """

    problem: BaseException | None = None
    message: str | None = None
    untold: str | None = None


def require_reachable(url: str, console: PlainConsole) -> None:
    """Wait until the server at `PREFECT_API_URL` answers, for a minute at most.

    Raises:
        SettingsError: it does not answer, or refuses us.
    """
    began, is_said, why, shown = time.monotonic(), False, "no answer", without_passwords(url)
    while (waited_s := time.monotonic() - began) < IS_REACHED_WITHIN_S:
        refusal, why = ask_prefect()
        if why is None:
            return
        if refusal:
            raise SettingsError(
                f"PREFECT_API_URL: {shown} answered {why}; nothing was bought. Correct the variable, or set "
                "PREFECT_API_AUTH_STRING or PREFECT_API_KEY to what that server wants"
            )
        if waited_s > SAYS_SO_AFTER_S and not is_said:
            console.print(f"waiting for Prefect at {shown} ({why}), for {IS_REACHED_WITHIN_S:.0f} s at most")
            is_said = True
        time.sleep(ASKS_EVERY_S)
    raise SettingsError(
        f"PREFECT_API_URL: {shown} cannot be reached within {IS_REACHED_WITHIN_S:.0f} s ({why}); nothing was "
        "bought. Start that server, correct the variable, or unset it: then animatic starts a server of its own"
    )


def ask_prefect() -> tuple[bool, str | None]:
    """Ask the server once for something that needs a right; (whether it is a lasting no, why not), or (False, None)."""

    async def asked() -> None:
        async with (
            asyncio.timeout(ANSWERS_WITHIN_S),
            get_client(httpx_settings={"timeout": ANSWERS_WITHIN_S}) as client,
        ):
            await client.request("POST", "/flow_runs/count", json={})

    try:
        asyncio.run(asked())
    except TimeoutError:
        return False, f"no answer within {ANSWERS_WITHIN_S:.0f} s"
    except Exception as error:  # noqa: BLE001 - whatever a client raises of a server that is away
        response = getattr(error, "response", None)
        if response is not None:
            return response.status_code in LASTING, f"HTTP {response.status_code}"
        return False, error_line(error)
    return False, None


def conclude(
    ending: Awaitable[State[Any]], session: Session, server: ServerProcess | None, console: PlainConsole
) -> End:
    """Run the flow in a new event loop until it has ended and the server knows, within the bounds above."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    patience = _Patience(session, server, console)
    engine = asyncio.ensure_future(ending, loop=loop)
    try:
        loop.run_until_complete(_ended_or_impatient(engine, patience))
    except KeyboardInterrupt:
        if not session.is_concluded:
            raise
        patience.give_up()
    end = _end_of(engine, loop)
    if not engine.done() and not session.is_begun:
        return End(TimeoutError(f"it did not begin the run within {STARTS_WITHIN_S:.0f} s"))
    run, untold = session.end.result() if session.end.done() else RunEnd(), None
    if run.summary is not None:
        untold = _told(loop, end, run, patience)
    if engine.done():
        with suppress(Exception):
            loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), 1))
    if untold is None:
        _wait_until_recorded_within(run, patience)
    return End(end.problem, end.message, untold)


class _Patience:
    """The time that Prefect has left, from the moment at which the results are written."""

    def __init__(self, session: Session, server: ServerProcess | None, console: PlainConsole) -> None:
        self._session, self._server, self._console = session, server, console
        self._starts_until = time.monotonic() + STARTS_WITHIN_S
        self._began: float | None = None
        self._is_given_up = self._is_said = False

    def left_s(self, within_s: float) -> float:
        """Return the seconds left; without end while the run is at work."""
        if self._began is None:
            if not self._session.is_concluded:
                return float("inf") if self._session.is_begun else max(self._starts_until - time.monotonic(), 0.0)
            self._began = time.monotonic()
        waited_s = time.monotonic() - self._began
        if self._is_given_up or (self._server is not None and self._server.is_dead):
            return 0.0
        if waited_s > SAYS_SO_AFTER_S and not self._is_said:
            self._is_said = True
            self._console.print(f"results are written; waiting for Prefect, for {within_s:.0f} s at most")
        return max((HURRIES_WITHIN_S if self._session.end.result().is_hurried else within_s) - waited_s, 0.0)

    def give_up(self) -> None:
        """Wait no longer."""
        self._is_given_up = True


async def _ended_or_impatient(engine: "asyncio.Future[State[Any]]", patience: _Patience) -> None:
    while patience.left_s(TELLS_WITHIN_S) > 0 and not engine.done():
        await asyncio.wait({engine}, timeout=0.2)


def _end_of(engine: "asyncio.Future[State[Any]]", loop: asyncio.AbstractEventLoop) -> End:
    if not engine.done():
        return End()
    problem = asyncio.CancelledError() if engine.cancelled() else engine.exception()
    if problem is not None:
        return End(problem)
    state = engine.result()
    if state.is_failed() or state.is_crashed():
        with suppress(Exception):
            problem = loop.run_until_complete(asyncio.wait_for(state.aresult(raise_on_failure=False), ANSWERS_WITHIN_S))
    return End(problem if isinstance(problem, BaseException) else None, state.message or state.name)


def _told(loop: asyncio.AbstractEventLoop, end: End, run: RunEnd, patience: _Patience) -> str | None:
    """See to it that the server knows how the run ended; why it does not, if so."""
    if end.message is not None and end.problem is None:
        return None  # the engine got through
    why = _why(end.problem)
    while (left_s := patience.left_s(TELLS_WITHIN_S)) > 0 and run.flow_run_id is not None:
        try:
            loop.run_until_complete(_tell(run, min(left_s, ANSWERS_WITHIN_S)))
        except Exception as error:  # noqa: BLE001 - see `ask_prefect`
            why = _why(error)
            time.sleep(ASKS_EVERY_S)
        else:
            return None
    return why


async def _tell(run: RunEnd, within_s: float) -> None:
    """Set the final state ourselves, unless the server has one."""
    assert run.summary is not None  # noqa: S101 - asked above
    async with asyncio.timeout(within_s), get_client(httpx_settings={"timeout": within_s}) as client:
        known = await client.read_flow_run(UUID(run.flow_run_id))
        if known.state is None or not known.state.is_final():
            await client.set_flow_run_state(known.id, run_state(run.summary), force=True)


def _why(error: BaseException | None) -> str:
    if error is None:
        return "it does not answer"
    response = getattr(error, "response", None)
    if response is not None:
        return f"it answers HTTP {response.status_code}"
    return type(error).__name__


def _wait_until_recorded_within(run: RunEnd, patience: _Patience) -> None:
    """Give the server the time to record the task runs, in a thread that can be left behind."""
    if run.flow_run_id is None:
        return
    left_s = patience.left_s(RECORDS_WITHIN_S)
    recording = threading.Thread(
        target=wait_until_recorded, args=(UUID(run.flow_run_id), run.task_runs, left_s), daemon=True
    )
    recording.start()
    while recording.is_alive() and patience.left_s(RECORDS_WITHIN_S) > 0:
        with suppress(KeyboardInterrupt):
            recording.join(0.2)


def wait_until_recorded(flow_run_id: UUID, task_runs: int, within_s: float = RECORDS_WITHIN_S) -> bool:
    """Wait until the server has every task run of the flow run in its final state; False if it did not in time.

    Task runs reach the server as events, which it records in its own time; one that is stopped before has lost them.
    """
    deadline = time.monotonic() + within_s
    with suppress(Exception):
        EventsWorker.drain_all(timeout=within_s)
        APILogWorker.drain_all(timeout=max(min(10.0, deadline - time.monotonic()), 0.1))
        with get_client(sync_client=True, httpx_settings={"timeout": ANSWERS_WITHIN_S}) as client:
            while time.monotonic() < deadline:
                if _recorded(client, flow_run_id) >= task_runs:
                    return True
                time.sleep(0.1)
    return False


def _recorded(client: Any, flow_run_id: UUID) -> int:
    """Count the task runs of the flow run that the server has in a final state."""
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
