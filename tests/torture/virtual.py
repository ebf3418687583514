"""Virtual time: an event loop on which nothing waits. Where all tasks sleep, the clock jumps to the first that wakes."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import closing
from typing import Any, TypeVar

T = TypeVar("T")


class DeadlockError(Exception):
    """All tasks wait, and nothing is due."""


class _Selector(selectors.DefaultSelector):
    """Never waits: it moves the loop's clock instead."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise DeadlockError("all tasks wait, and nothing is due")
        if not ready and timeout:
            self.loop.virtual_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time begins at 1,000 s. What would run in a thread runs at once."""

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        self.virtual_s = 1_000.0
        selector.loop = self
        self.set_exception_handler(lambda *_: None)  # tasks of dead processes are dropped on purpose

    def time(self) -> float:
        return self.virtual_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        future: Future[Any] = Future()
        try:
            future.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001 - it is for the task that waits
            future.set_exception(error)
        return asyncio.wrap_future(future, loop=self)


def played(scene: Coroutine[Any, Any, T]) -> T:
    """Play a scene in virtual time and return its result."""
    with closing(VirtualLoop()) as loop:
        return loop.run_until_complete(scene)
