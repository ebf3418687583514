"""Who looks while nobody knows how long takes of a kind need: a few scouts; the others wait for word. Asyncio only."""

import asyncio
from collections import Counter
from collections.abc import Hashable

from animatic.polling.schedule import SCOUTS, Experience
from animatic.waiting import Halt, Halted, wake


class Scouts:
    """The scouts of a run, for every kind of take. Make it inside the event loop.

    A kind that is known has none, and nobody waits. Who waits is woken when it is known, when its time is up, or to
    be a scout in place of one that ended and told nothing.
    """

    def __init__(self, experience: Experience, halt: Halt) -> None:
        self._experience, self._halt = experience, halt
        self._loop = asyncio.get_running_loop()
        self._out: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, dict[asyncio.Future[None], None]] = {}

    async def join(self, kind: Hashable, until: float) -> None:
        """Be a scout, or wait until there is word, until `until` by the loop's clock at the latest.

        Raises:
            Halted: the run stopped watching meanwhile.
        """
        if self._experience.is_known(kind):
            return
        if self._out[kind] < SCOUTS:
            self._out[kind] += 1
            return
        await self._wait(kind, until)

    def pass_on(self, kind: Hashable) -> None:
        """A take of this kind is watched no more: wake whoever may look now."""
        waiting = self._waiting.get(kind)
        if not waiting:
            return
        told = list(waiting) if self._experience.is_known(kind) else [next(iter(waiting))]
        for word in told:
            del waiting[word]
            wake(word)

    async def _wait(self, kind: Hashable, until: float) -> None:
        while self._halt.is_watching and self._loop.time() < until:
            word: asyncio.Future[None] = self._loop.create_future()
            waiting = self._waiting.setdefault(kind, {})
            waiting[word] = None
            try:
                await self._halt.wait(word, until)
            finally:
                is_told = word not in waiting
                waiting.pop(word, None)
            if is_told:
                return
        if not self._halt.is_watching:
            raise Halted
