"""Pilot polls: while a latency class is unknown, few takes are polled and the others wait."""

from collections import Counter
from collections.abc import Hashable

from animatic.buying.polling.schedule import PILOTS, Experience
from animatic.machine.waiting import Event, StopSignal, new_event, wake


class PilotPolls:
    """Pilot polls of a run, for every latency class. Make it inside the event loop.

    A known class has none, and no take waits. A waiting take is woken when its class is known, when its time is up, or
    to replace a pilot poll that ended without a latency.
    """

    def __init__(self, experience: Experience, stop_signal: StopSignal) -> None:
        self._experience, self._stop_signal = experience, stop_signal
        self._out: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, dict[Event, None]] = {}

    async def join(self, latency_class: Hashable, until: float) -> None:
        """Join the pilot polls, or wait for their result, at the latest until `until` by the loop's clock.

        Raises:
            Stopped: the run stopped polling.
        """
        if self._experience.is_known(latency_class):
            return
        if self._out[latency_class] < PILOTS:
            self._out[latency_class] += 1
            return
        waiting, event = self._waiting.setdefault(latency_class, {}), new_event()
        waiting[event] = None
        try:
            await self._stop_signal.wait(event, until)
        finally:
            waiting.pop(event, None)

    def wake_next(self, latency_class: Hashable) -> None:
        """Wake the takes that may be polled in the place of one that is no longer polled."""
        waiting = self._waiting.get(latency_class)
        if not waiting:
            return
        woken = list(waiting) if self._experience.is_known(latency_class) else [next(iter(waiting))]
        for event in woken:
            del waiting[event]
            wake(event)
