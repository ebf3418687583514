"""Takes in flight, and since when WaveSpeed works on each, as far as we can tell. Asyncio only."""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from animatic.buying.polling.poll_history import PollHistory
from animatic.machine.waiting import Event, StopSignal, new_event, wake


@dataclass(slots=True, eq=False)
class ActiveTake:
    """A take that is in flight.

    Attributes:
        latency_class: of takes whose latencies are alike.
        began_at: when it was submitted, or left WaveSpeed's queue if it waited there; by the loop's clock.
        history: results of its polls; ages are counted from `began_at`.
        is_queued: it waits in WaveSpeed's queue.
        begun: the event that `InFlight.begun` waits for.
    """

    latency_class: Hashable
    began_at: float
    history: PollHistory
    is_queued: bool = False
    begun: Event | None = None


class InFlight:
    """Takes of a run in flight, in the order of submission. Make it inside the event loop.

    WaveSpeed works on as many takes at once as there are `slots`. A take beyond those is queued, and begins when an
    earlier one ends. Our polls show when that is, so a queued take need not be polled.
    """

    def __init__(self, slots: int, stop_signal: StopSignal) -> None:
        self._slots, self._stop_signal = slots, stop_signal
        self._all: dict[ActiveTake, None] = {}
        self._queue: deque[ActiveTake] = deque()

    def __iter__(self) -> Iterator[ActiveTake]:
        """Those that are worked on, as far as we can tell."""
        return (active for active in self._all if not active.is_queued)

    def add(self, active: ActiveTake, *, is_resumed: bool = False) -> None:
        """Add a submitted take. A resumed one has had its time in the queue."""
        self._all[active] = None
        if len(self._all) > self._slots and not is_resumed:
            active.is_queued = True
            self._queue.append(active)

    def remove(self, active: ActiveTake, ended_at: float) -> None:
        """Remove a take that is over or no longer polled, and free its slot. A second call does nothing."""
        if active not in self._all:
            return
        del self._all[active]
        if active.is_queued:
            self._unqueue(active)
        elif self._queue:
            following = self._queue[0]
            following.began_at = max(following.began_at, ended_at)
            self._unqueue(following)

    async def begun(self, active: ActiveTake, until: float) -> None:
        """Wait until a take is worked on, until `until` by the loop's clock at the latest; then it passes for begun.

        Raises:
            Stopped: the run stopped polling.
        """
        if active.is_queued:
            active.begun = new_event()
            await self._stop_signal.wait(active.begun, until)
        if active.is_queued:
            self._unqueue(active)

    def _unqueue(self, active: ActiveTake) -> None:
        self._queue.remove(active)
        active.is_queued = False
        if active.begun is not None:
            wake(active.begun)
