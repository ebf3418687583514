"""One thread that runs the requests of event loops in groups: requests that wait at the same time run together.

A transaction, or the sync of a file, is then paid for once per group.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from animatic.machine.waiting import next_tick

T = TypeVar("T")


class Answer(NamedTuple):
    """Outcome of one request: a result, or the error that it raised."""

    result: Any = None
    error: Exception | None = None


class _Asked(NamedTuple, Generic[T]):
    what: T
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class BatchWorker(Generic[T]):
    """The thread.

    Args:
        name: of the thread.
        work: does a group of at most `largest` requests, in the order of asking, and answers each; never raises.
    """

    def __init__(self, name: str, work: Callable[[list[T]], Sequence[Answer]], largest: int) -> None:
        self._work, self._largest = work, largest
        self._gathered: list[_Asked[T]] = []
        self._gathering = threading.Lock()
        self._sending_at: float | None = None
        self._groups: queue.SimpleQueue[list[_Asked[T]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Tell if it still takes requests."""
        return self._thread.is_alive()

    async def ask(self, what: T, within_s: float = 0.0) -> Any:
        """Run a request, together with others that are made within so many seconds, and return its result.

        The request is run even if the caller stops waiting.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        moment = next_tick(loop.time(), within_s)  # one for all who may wait, when much else wakes too
        with self._gathering:
            self._gathered.append(_Asked(what, loop, future))
            is_over = self._sending_at is not None and self._sending_at < loop.time()  # its loop may be gone
            is_sooner = self._sending_at is None or is_over or moment < self._sending_at
            if is_sooner:
                self._sending_at = moment
        if is_sooner:
            loop.call_at(moment, self._send) if within_s else loop.call_soon(self._send)
        return await future

    def close(self) -> None:
        """Finish what was asked so far."""
        self._send()
        self._groups.put(None)
        self._thread.join()

    def _send(self) -> None:
        """Hand over what is gathered."""
        with self._gathering:
            gathered, self._gathered, self._sending_at = self._gathered, [], None
        if gathered:
            self._groups.put(gathered)

    def _serve(self) -> None:
        is_closing = False
        while not is_closing and (group := self._groups.get()) is not None:
            while len(group) < self._largest and not self._groups.empty():
                following = self._groups.get()
                if following is None:
                    is_closing = True
                    break
                group = group + following
            for start in range(0, len(group), self._largest):
                part = group[start : start + self._largest]
                self._answer(part, self._work([each.what for each in part]))

    def _answer(self, group: list[_Asked[T]], answers: Sequence[Answer]) -> None:
        """Wake each event loop once, however many of it wait."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Answer]]] = {}
        for asked, answer in zip(group, answers, strict=True):
            by_loop.setdefault(asked.loop, []).append((asked.future, answer))
        for loop, answered in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop was closed, and none waits there
                loop.call_soon_threadsafe(_hand_out, answered)


def _hand_out(answered: list[tuple[asyncio.Future[Any], Answer]]) -> None:
    for future, answer in answered:
        if future.done():  # its coroutine was cancelled
            continue
        if answer.error is None:
            future.set_result(answer.result)
        else:
            future.set_exception(answer.error)
