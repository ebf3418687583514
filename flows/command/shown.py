"""Work that is done already, shown in Prefect as a flow run: Prefect cannot hold the command up, nor make it fail."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import UUID

from flows.command.prefect_end import ask_prefect, wait_until_recorded
from flows.logs import log_path, redirect_logs
from flows.server.prefect_api import Start
from flows.terminal import error_line

SHOWS_WITHIN_S = 45.0
"""Longest that Prefect may hold a command up whose work is done and printed."""

RECORDS_WITHIN_S = 10.0

T = TypeVar("T")


def show_in_prefect(
    done: ContextVar[T | None], value: T, flow_run: Callable[[], Awaitable[Any]], start: Start, *, debug: bool
) -> str | None:
    """Run a flow that finds its work done; return why Prefect does not show it, None where it does.

    `done` is how the flow gets the value; `flow_run` calls it with `return_state=True`.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    redirect_logs(log_path(start.run_id), debug=debug)
    if start.server is None:
        _, why = ask_prefect()
        if why is not None:
            return why
    token = done.set(value)
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_shown_within(asyncio.ensure_future(flow_run(), loop=loop)))
    except Exception as error:  # noqa: BLE001 - Prefect only shows
        return error_line(error)
    finally:
        done.reset(token)


async def _shown_within(ending: "asyncio.Future[Any]") -> str | None:
    """Wait for the end of the flow run, and until its records are there; why it did not end, if so."""
    await asyncio.wait({ending}, timeout=SHOWS_WITHIN_S)
    if not ending.done():
        return f"it did not answer within {SHOWS_WITHIN_S:.0f} s"
    state = ending.result()
    if state.is_crashed():
        return str(state.message)
    flow_run_id = state.state_details.flow_run_id
    with contextlib.suppress(TimeoutError):
        if isinstance(flow_run_id, UUID):
            await asyncio.wait_for(
                asyncio.to_thread(wait_until_recorded, flow_run_id, 1, RECORDS_WITHIN_S), 2 * RECORDS_WITHIN_S
            )
    return None
