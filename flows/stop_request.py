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

ASKS_EVERY_S = 2.0
ANSWERS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A state of the flow run that ends buying.

    Attributes:
        reason: for the summary, `suspended in Prefect`.
        state: as the server has it.
        is_suspension: the run is to be resumed later, in another process.
    """

    reason: str
    state: State[Any]
    is_suspension: bool

    @classmethod
    def of(cls, state: State[Any]) -> "StopRequest":
        """Make one of a state for which `is_stop` is true."""
        is_suspension = state.type == StateType.PAUSED
        return cls("suspended in Prefect" if is_suspension else "cancelled in Prefect", state, is_suspension)


def is_stop(state: State[Any] | None) -> bool:
    """Tell a state in which nothing more may be bought."""
    return state is not None and (state.type in {StateType.PAUSED, StateType.CANCELLING, StateType.CANCELLED})


async def watch_for_stop(flow_run_id: str | None, stop: Callable[[StopRequest], None]) -> None:
    """Ask until the server says stop, then call `stop` once. A server that does not answer says nothing."""
    while flow_run_id is not None:
        with suppress(Exception):  # Prefect only shows: the next answer may come
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                client = await _entered()
            try:
                while True:
                    async with asyncio.timeout(ANSWERS_WITHIN_S):
                        run = await client.read_flow_run(UUID(flow_run_id))
                    if is_stop(run.state):
                        stop(StopRequest.of(run.state))  # pyright: ignore[reportArgumentType] - is_stop has seen it
                        return
                    await asyncio.sleep(ASKS_EVERY_S)
            finally:
                with suppress(Exception):
                    await client.__aexit__(None, None, None)
        await asyncio.sleep(ASKS_EVERY_S)


async def _entered() -> Any:
    return await get_client(httpx_settings={"timeout": ANSWERS_WITHIN_S}).__aenter__()
