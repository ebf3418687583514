"""One thread that does what is asked of it from an event loop, in groups: what waits at the same time is done together.

So that a transaction, or a sync of a file, is paid once for all who wait for one.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Answer(NamedTuple):
    """What came of one request: a result, or why there is none."""

    result: Any = None
    error: Exception | None = None


class _Asked(NamedTuple, Generic[T]):
    what: T
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class Clerk(Generic[T]):
    """The thread.

    Args:
        name: of the thread.
        work: does a group of at most `largest` requests, in the order of asking, and answers each; never raises.
    """

    def __init__(self, name: str, work: Callable[[list[T]], Sequence[Answer]], largest: int) -> None:
        self._work, self._largest = work, largest
        self._asked: queue.SimpleQueue[_Asked[T] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether it still takes requests."""
        return self._thread.is_alive()

    async def ask(self, what: T) -> Any:
        """Wait until it is done. Who gives up waiting leaves it to be done all the same."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._asked.put(_Asked(what, loop, future))
        return await asyncio.shield(future)

    def close(self) -> None:
        """Finish what was asked so far."""
        self._asked.put(None)
        self._thread.join()

    def _serve(self) -> None:
        is_closing = False
        while not is_closing and (asked := self._asked.get()) is not None:
            group = [asked]
            while len(group) < self._largest and not self._asked.empty():
                following = self._asked.get()
                if following is None:
                    is_closing = True
                    break
                group.append(following)
            self._answer(group, self._work([each.what for each in group]))

    def _answer(self, group: list[_Asked[T]], answers: Sequence[Answer]) -> None:
        """Wake each event loop once, however many of it wait."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Answer]]] = {}
        for asked, answer in zip(group, answers, strict=True):
            by_loop.setdefault(asked.loop, []).append((asked.future, answer))
        for loop, answered in by_loop.items():
            with contextlib.suppress(RuntimeError):  # a loop that was closed meanwhile: nobody waits there any more
                loop.call_soon_threadsafe(_hand_out, answered)


def _hand_out(answered: list[tuple[asyncio.Future[Any], Answer]]) -> None:
    for future, answer in answered:
        if future.done():
            continue
        if answer.error is None:
            future.set_result(answer.result)
        else:
            future.set_exception(answer.error)
