"""Pilot polls: while the latency of a kind of take is unknown, few takes are polled and the others wait."""

from collections import Counter
from collections.abc import Hashable

from animatic.polling.schedule import SCOUTS, Experience
from animatic.waiting import Event, StopSignal, new_event, wake


class PilotPolls:
    """The scouts of a run, for every kind of take. Make it inside the event loop.

    A known kind has none, and no take waits. A waiting take is woken when its kind is known, when its time is up, or to
    replace a scout that ended without a latency.
    """

    def __init__(self, experience: Experience, stop_signal: StopSignal) -> None:
        self._experience, self._stop_signal = experience, stop_signal
        self._out: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, dict[Event, None]] = {}

    async def join(self, kind: Hashable, until: float) -> None:
        """Be a scout, or wait until there is word, until `until` by the loop's clock at the latest.

        Raises:
            Stopped: the run stopped polling.
        """
        if self._experience.is_known(kind):
            return
        if self._out[kind] < SCOUTS:
            self._out[kind] += 1
            return
        waiting, word = self._waiting.setdefault(kind, {}), new_event()
        waiting[word] = None
        try:
            await self._stop_signal.wait(word, until)
        finally:
            waiting.pop(word, None)

    def pass_on(self, kind: Hashable) -> None:
        """Wake the takes that may be polled in the place of one that is no longer polled."""
        waiting = self._waiting.get(kind)
        if not waiting:
            return
        told = list(waiting) if self._experience.is_known(kind) else [next(iter(waiting))]
        for word in told:
            del waiting[word]
            wake(word)
