"""Takes in flight, and since when WaveSpeed works on each, as far as we can tell. Asyncio only."""

import asyncio
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from animatic.polling.looks import Watched
from animatic.waiting import Halt, Halted, wake


@dataclass(slots=True, eq=False)
class Flight:
    """A take that is watched.

    Attributes:
        kind: what its latency depends on.
        began_at: when it was submitted, or, once it has left WaveSpeed's queue, when that was; by the loop's clock.
        watched: what the looks at it have shown; ages are counted from `began_at`.
        is_queued: it waits in WaveSpeed's queue.
        word: future that `Flights.begun` waits for.
    """

    kind: Hashable
    began_at: float
    watched: Watched
    is_queued: bool = False
    word: asyncio.Future[None] | None = None


class Flights:
    """The flights of a run, in the order of submission. Make it inside the event loop.

    WaveSpeed works on as many takes at once as there are `places`. One that is submitted beyond them begins when one
    that is there already ends: the answers that we see show that, and it need not be polled before.
    """

    def __init__(self, places: int, halt: Halt) -> None:
        self._places, self._halt = places, halt
        self._loop = asyncio.get_running_loop()
        self._all: dict[Flight, None] = {}
        self._queue: deque[Flight] = deque()

    def __iter__(self) -> Iterator[Flight]:
        """Those that are worked on, as far as we can tell."""
        return (flight for flight in self._all if not flight.is_queued)

    def add(self, flight: Flight, *, is_resumed: bool = False) -> None:
        """Add a submitted take. A resumed one has had its time in the queue."""
        self._all[flight] = None
        if len(self._all) > self._places and not is_resumed:
            flight.is_queued = True
            self._queue.append(flight)

    def remove(self, flight: Flight, ended_at: float) -> None:
        """Remove a take that is over or no longer polled, and free its slot. A second call does nothing."""
        if flight not in self._all:
            return
        del self._all[flight]
        if flight.is_queued:
            self._unqueue(flight)
        elif self._queue:
            following = self._queue[0]
            following.began_at = max(following.began_at, ended_at)
            self._unqueue(following)

    async def begun(self, flight: Flight, until: float) -> None:
        """Wait until a flight is worked on, until `until` by the loop's clock at the latest; then it passes for begun.

        Raises:
            Halted: the run stopped polling.
        """
        while flight.is_queued and self._halt.is_watching and self._loop.time() < until:
            flight.word = self._loop.create_future()
            await self._halt.wait(flight.word, until)
        if not self._halt.is_watching:
            raise Halted
        if flight.is_queued:
            self._unqueue(flight)

    def _unqueue(self, flight: Flight) -> None:
        self._queue.remove(flight)
        flight.is_queued = False
        if flight.word is not None:
            wake(flight.word)
