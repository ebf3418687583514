"""Suspend and cancel, said in Prefect's UI or by its command: asked for every two seconds while a run may buy.

Prefect itself delivers them late or not at all: to a run started in a terminal never, to one that waits in our own loop
only at its next task.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext

ASKS_EVERY_S = 2.0
ANSWERS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A state of the flow run that ends buying.

    Attributes:
        reason: for the summary, `suspended in Prefect`.
        state: as the server has it.
        is_suspension: Prefect will start the run again, in another process, when it is resumed; or has taken this one
            for dead and will start, or has started, another.
    """

    reason: str
    state: State[Any]
    is_suspension: bool

    @classmethod
    def of(cls, state: State[Any]) -> "StopRequest":
        """Make one of a state for which `is_stop` is true."""
        if state.name == LOST or state.type == StateType.CRASHED:
            return cls("taken for dead by Prefect", state, is_suspension=True)
        is_paused = state.type in {StateType.PAUSED, StateType.SCHEDULED}
        is_suspension = is_paused and (state.type == StateType.SCHEDULED or bool(state.state_details.pause_reschedule))
        return cls("suspended in Prefect" if is_paused else "cancelled in Prefect", state, is_suspension)


LOST = "Lost"
"""Name of the state of a run whose heartbeats are missing, before automations make it Crashed."""

_STOPS = frozenset({
    StateType.PAUSED, StateType.CANCELLING, StateType.CANCELLED, StateType.SCHEDULED, StateType.CRASHED,
})  # fmt: skip
"""Scheduled: it was suspended and resumed before we saw it, and another process will carry it on. Crashed: no heartbeat
of ours came through, and another process will."""


def is_stop(state: State[Any]) -> bool:
    """Tell a state in which this process may buy nothing more."""
    return state.type in _STOPS


async def watch_for_stop(flow_run_id: str | None, stop: Callable[[StopRequest], None]) -> None:
    """Ask until the server says stop, then call `stop` once. A server that does not answer says nothing."""
    begun: int | None = None
    while flow_run_id is not None:
        with suppress(Exception):  # Prefect only shows: the next answer may come
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                client = await _entered()
            try:
                while True:
                    async with asyncio.timeout(ANSWERS_WITHIN_S):
                        run = await client.read_flow_run(UUID(flow_run_id))
                    state = _seen_by_prefect() or run.state
                    if state is not None and is_stop(state):
                        stop(StopRequest.of(state))
                        return
                    begun = run.run_count if begun is None else begun
                    if state is not None and run.run_count > begun:
                        stop(StopRequest("taken over by another process", state, is_suspension=True))
                        return
                    await asyncio.sleep(ASKS_EVERY_S)
            finally:
                with suppress(Exception):
                    await client.__aexit__(None, None, None)
        await asyncio.sleep(ASKS_EVERY_S)


async def find_stop(flow_run_id: str | None) -> StopRequest | None:
    """Ask the server once if it says stop; None where it does not, or does not answer in time."""
    with suppress(Exception):  # Prefect only shows
        settings = {"timeout": ANSWERS_WITHIN_S}
        async with asyncio.timeout(ANSWERS_WITHIN_S), get_client(httpx_settings=settings) as client:
            run = await client.read_flow_run(UUID(flow_run_id))
            begun = getattr(FlowRunContext.get(), "flow_run", None)
            if run.state is not None and is_stop(run.state):
                return StopRequest.of(run.state)
            if run.state is not None and begun is not None and run.run_count > begun.run_count:
                return StopRequest("taken over by another process", run.state, is_suspension=True)
    return None


def _seen_by_prefect() -> State[Any] | None:
    """Return the suspension that Prefect's own watch has seen, if any: it hears of each, however short."""
    request: Any = getattr(FlowRunContext.get(), "flow_run_suspension_request", None)
    return None if request is None else request.get_state()


async def _entered() -> Any:
    return await get_client(httpx_settings={"timeout": ANSWERS_WITHIN_S}).__aenter__()
