"""Interrupts of a run: signals, and suspension or cancellation in Prefect."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from prefect.runtime import flow_run

from flows.process import ending_signals
from flows.stop_request import StopRequest, watch_for_stop

SAME_WISH_S = 1.0
"""A signal this soon after another says the same: a terminal, a worker and systemd each send one."""


class Interrupts:
    """Wishes that a run ends.

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

    @asynccontextmanager
    async def obeyed(self, stop: Callable[[str], None]) -> AsyncGenerator[None]:
        """Call `stop` with the reason on a signal, or when Prefect says so.

        A second SIGINT or SIGTERM more than a second later ends the wait for replies too, a third one the process.
        """
        self._stop_run = stop
        loop = asyncio.get_running_loop()
        numbers = ending_signals()
        before = {number: signal.getsignal(number) for number in numbers}
        installed: list[signal.Signals] = []
        for number in numbers:
            with contextlib.suppress(ValueError, RuntimeError):  # not the main thread, which alone gets signals
                loop.add_signal_handler(number, self._interrupt, number)
                installed.append(number)
        watching = asyncio.create_task(watch_for_stop(flow_run.id, self.obey))
        try:
            yield
        finally:
            watching.cancel()
            for number in installed:
                loop.remove_signal_handler(number)
                is_said = number == signal.SIGHUP and self._interrupted_at_s is not None
                signal.signal(number, signal.SIG_IGN if is_said else before[number] or signal.SIG_DFL)

    def obey(self, stop: StopRequest) -> None:
        """Obey a suspension or cancellation in Prefect."""
        self.stop_request = stop
        self._stop(stop.reason)

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
