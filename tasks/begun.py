"""Count of the task runs that a flow run has begun, so that one can wait until the server has recorded them.

Prefect keeps no count of tasks that are awaited directly.
"""

from collections.abc import Awaitable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

R = TypeVar("R")


@dataclass(slots=True)
class Begun:
    """Task runs of one flow run so far."""

    count: int = 0


BEGUN: ContextVar[Begun | None] = ContextVar("animatic_begun", default=None)


async def begin(task_run: Awaitable[R]) -> R:
    """Await a call of a task, and count it."""
    if (begun := BEGUN.get()) is not None:
        begun.count += 1
    return await task_run
