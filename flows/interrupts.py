"""Interrupts of a run: signals, and suspension or cancellation in Prefect."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

from prefect.runtime import flow_run

from flows.process import ending_signals
from flows.stop_request import StopRequest, watch_for_stop

SAME_WISH_S = 1.0
"""A signal this soon after another says the same: a terminal, a worker and systemd each send one."""


_TOGETHER: ContextVar["list[Interrupts] | None"] = ContextVar("animatic_interrupts", default=None)
"""A run and the runs that are part of it, in that order. The first has the handlers of signals."""


class Interrupts:
    """Requests that a run ends.

    Attributes:
        is_stopped: there was one.
        stop_request: a suspension or cancellation in Prefect that the run obeyed.
        hurried: a second signal said that the run must end at once.
    """

    def __init__(self) -> None:
        self.is_stopped = False
        self.stop_request: StopRequest | None = None
        self.hurried = asyncio.Event()
        self._interrupted_at_s: float | None = None
        self._stop_run: Callable[[str], None] = lambda _: None
        self._together: list[Interrupts] = _TOGETHER.get() or []
        self._handlers: _Handlers | None = None
        if self._together and (handlers := self._together[0]._handlers) is not None:  # noqa: SLF001 - of the same class
            handlers.install()

    @asynccontextmanager
    async def obeyed(self, stop: Callable[[str], None]) -> AsyncGenerator[None]:
        """Call `stop` with the reason on a signal, or when Prefect says so.

        A second SIGINT or SIGTERM more than a second later ends the wait for replies too, a third one the process.
        """
        self._stop_run = stop
        is_part = bool(self._together)
        if not is_part:
            self._together = [self]
        watching = asyncio.create_task(watch_for_stop(flow_run.id, self.obey))
        try:
            with contextlib.nullcontext() if is_part else self._in_charge():
                if is_part:
                    self._together.append(self)
                    if self._together[0].is_stopped:
                        self._stop("the run that it is part of is stopped")
                yield
        finally:
            watching.cancel()
            self._together.remove(self)

    @contextmanager
    def _in_charge(self) -> Generator[None]:
        """Handle signals, for all runs that are part of this one too."""
        token, self._handlers = _TOGETHER.set(self._together), _Handlers(self._interrupt_all)
        self._handlers.install()
        try:
            yield
        finally:
            self._handlers.leave()
            _TOGETHER.reset(token)

    def obey(self, stop: StopRequest) -> None:
        """Obey a suspension or cancellation in Prefect, and let the runs that are part of this one obey it."""
        self.stop_request = stop
        self._stop(stop.reason)
        for part in self._together[1:] if self._together[:1] == [self] else ():
            part.obey(stop)

    def _interrupt_all(self, number: signal.Signals) -> None:
        for each in tuple(self._together):
            each._interrupt(number)  # noqa: SLF001 - of the same class

    def _interrupt(self, number: signal.Signals) -> None:
        """Obey one signal."""
        now_s = time.monotonic()
        self._interrupted_at_s, last_s = now_s, self._interrupted_at_s
        if last_s is None:
            self._stop(f"interrupted by {number.name}")
        elif number == signal.SIGHUP or now_s - last_s <= SAME_WISH_S:
            self._interrupted_at_s = last_s
        elif not self.hurried.is_set():
            self.hurried.set()
        else:
            os._exit(130)

    def _stop(self, reason: str) -> None:
        self.is_stopped = True
        self._stop_run(reason)


class _Handlers:
    """Handlers of the signals that end a process, for a loop.

    Prefect puts its own handler for SIGTERM in the place of ours whenever a flow run begins, also one that is part of
    another; then `install` puts ours back.
    """

    def __init__(self, obey: Callable[[signal.Signals], None]) -> None:
        self._obey, self._loop = obey, asyncio.get_running_loop()
        self._before: dict[signal.Signals, Any] = {}
        self._has_signal = False

    def install(self) -> None:
        """Let the loop handle signals from now on."""
        for number in ending_signals():
            before = signal.getsignal(number)
            with contextlib.suppress(ValueError, RuntimeError):  # not the main thread, which alone gets signals
                self._loop.add_signal_handler(number, self._on_signal, number)
                self._before.setdefault(number, before)

    def leave(self) -> None:
        """Let signals do what they did before; but where a hangup has ended a run, more of it do nothing."""
        for number, before in self._before.items():
            self._loop.remove_signal_handler(number)
            is_said = number == signal.SIGHUP and self._has_signal
            signal.signal(number, signal.SIG_IGN if is_said else before or signal.SIG_DFL)

    def _on_signal(self, number: signal.Signals) -> None:
        self._has_signal = True
        self._obey(number)
