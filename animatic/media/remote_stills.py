"""Looks at stills on the web before money is spent: reachable, an image, and of a size that can be used.

Every request is guarded (`animatic.web`), carries no key, and is bounded in bytes and time. A still is read whole,
hashed and decoded, as a local one is; once a check has read `whole_bytes`, only the beginnings of the others are read,
and those have no hash. Nothing is kept here: what is known is handed in, and what was seen is returned.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from urllib.parse import urlsplit

from animatic.errors.text import duration_in_words
from animatic.media.still_answers import USUAL_BOUNDS, Answers, Later, LookBounds
from animatic.takes.seen_stills import FRESH, LookedAt, SeenStill
from animatic.takes.signed_urls import expires_at
from animatic.wavespeed.transport import identity_headers
from animatic.web.addresses import refusal_of
from animatic.web.network import DIRECT, Network
from animatic.web.public_web import NotPublicError, NotReachedError, WebError
from animatic.web.reader import FAILURES, RedirectsError, Resolver, WebReader

DEAD_AFTER = 5
"""So many stills of one host in a row that cannot be reached at all, and the others of it are not tried."""

LogLine = Callable[[str], object]


@dataclass(slots=True)
class _Host:
    """The host of some stills: its room, and how it has answered."""

    room: asyncio.Semaphore
    failures_in_a_row: int = 0
    paused_until: float = 0.0


@dataclass(slots=True)
class _Counts:
    """Progress of one check."""

    total: int
    looked: int = 0
    unusable: int = 0
    began: float = field(default_factory=time.monotonic)

    def line(self) -> str:
        left = f"; about {duration_in_words(self._left_s())} left" if self.looked else ""
        faults = f", {self.unusable:,} of them cannot be used" if self.unusable else ""
        return f"stills on the web: looked at {self.looked:,} of {self.total:,}{faults}{left}"

    def _left_s(self) -> float:
        return (time.monotonic() - self.began) / self.looked * (self.total - self.looked)


class RemoteStills:
    """Looks at stills. Each check opens connections of its own, and closes them.

    Args:
        origin: scheme, host and port that may be asked though they are private; empty for none.
        network: proxies and authorities.
        resolver: in place of the system's.
        bounds: of one check.
    """

    def __init__(
        self,
        origin: str = "",
        network: Network = DIRECT,
        resolver: Resolver | None = None,
        bounds: LookBounds = USUAL_BOUNDS,
    ) -> None:
        self._origin, self._network, self._resolver, self._bounds = origin, network, resolver, bounds

    async def look_at(
        self,
        urls: Sequence[str],
        known: Mapping[str, SeenStill] = MappingProxyType({}),
        log_line: LogLine | None = None,
    ) -> dict[str, LookedAt]:
        """Look at each URL once; return what was seen. One that the time was too short for is not among them.

        Args:
            urls: distinct.
            known: earlier looks at some of them: a fresh one is good as it is, an older one is asked for by its ETag.
            log_line: gets a line about the progress now and then.
        """
        now = datetime.now(UTC)
        fresh = {url: known[url] for url in urls if url in known and timely(known[url], now)}
        wanted = [url for url in urls if url not in fresh]
        looked: dict[str, LookedAt] = {}
        if wanted:
            async with self._reader() as web:
                check = _Check(web, self._origin, self._bounds, known, looked)
                await check.look(wanted, log_line)
        return {url: fresh.get(url) or looked[url] for url in urls if url in fresh or url in looked}

    def _reader(self) -> WebReader:
        bounds = self._bounds
        return WebReader(
            self._origin,
            network=self._network,
            resolver=self._resolver,
            headers={**identity_headers("animatic"), "Accept": "image/*,*/*;q=0.5"},
            deadline_s=bounds.still_s,
            stalls_after_s=bounds.stalls_after_s,
            most_connections=bounds.at_once,
        )


def timely(seen: SeenStill, now: datetime) -> bool:
    """Tell if a look is so fresh that it need not be repeated; one from the future is not believed."""
    return now - FRESH <= seen.seen_at <= now


class _Check:
    """One check: its connections, its hosts, and what is left of its bounds."""

    def __init__(
        self,
        web: WebReader,
        origin: str,
        bounds: LookBounds,
        known: Mapping[str, SeenStill],
        looked: dict[str, LookedAt],
    ) -> None:
        self._web, self._origin, self._bounds, self._known, self._looked = web, origin, bounds, known, looked
        self._room = asyncio.Semaphore(bounds.at_once)
        self._hosts: dict[str, _Host] = defaultdict(lambda: _Host(asyncio.Semaphore(bounds.at_once_per_host)))
        self._answers = Answers(bounds)
        self._now = asyncio.get_running_loop().time

    async def look(self, urls: Sequence[str], log_line: LogLine | None) -> None:
        """Look at all of these, until the time of the check is over."""
        counts = _Counts(len(urls))
        waiting = iter(urls)

        async def work() -> None:
            for url in waiting:
                found = await self._look(url)
                self._looked[url] = found
                counts.looked += 1
                counts.unusable += isinstance(found, str)

        workers = [asyncio.create_task(work()) for _ in range(min(len(urls), 2 * self._bounds.at_once))]
        every_s = self._bounds.progress_every_s
        others = [] if log_line is None else [asyncio.create_task(_log_now_and_then(counts, log_line, every_s))]
        try:
            done, _ = await asyncio.wait(workers, timeout=self._bounds.check_s)
        finally:
            for task in [*workers, *others]:
                task.cancel()
            await asyncio.gather(*workers, *others, return_exceptions=True)
        for task in done:
            task.result()

    async def _look(self, url: str) -> LookedAt:
        """Look at one still, again where that may help."""
        ended_at, now = expires_at(url), datetime.now(UTC)
        if ended_at is not None and ended_at <= now:
            return f"its signature ended on {ended_at:%Y-%m-%d %H:%M} UTC; sign it again"
        why = refusal_of(url, self._origin)
        if why is not None:
            return f"it is not fetched: {why}"
        host = self._hosts[urlsplit(url).netloc.lower()]
        for number in range(1, self._bounds.tries + 1):
            try:
                async with host.room, self._asking(host), self._room:
                    if host.failures_in_a_row >= DEAD_AFTER:
                        return f"its host could not be reached {DEAD_AFTER} times in a row"
                    found = await self._fetch(url)
            except Later as later:
                host.failures_in_a_row += later.is_silent
                if number == self._bounds.tries:
                    return later.why
                pause_s = self._bounds.pause_s * number if later.after_s is None else later.after_s
                host.paused_until = max(host.paused_until, self._now() + min(pause_s, self._bounds.most_pause_s))
            else:
                host.failures_in_a_row = 0
                return found
        raise AssertionError  # the last try returns

    @asynccontextmanager
    async def _asking(self, host: _Host) -> AsyncGenerator[None]:
        """Wait until a host that asked for a pause has had it."""
        await asyncio.sleep(max(host.paused_until - self._now(), 0.0))
        yield

    async def _fetch(self, url: str) -> LookedAt:
        """Ask for a still, following redirects, each of which is judged like the first. Raises Later."""
        known = self._known.get(url)
        headers = {} if known is None else known.validators
        try:
            async with asyncio.timeout(self._bounds.still_s), self._web.follow(url, headers) as page:
                return await self._answers.read(page, known if headers else None)
        except RedirectsError as error:
            return str(error)
        except NotPublicError as error:
            return f"it is not fetched: {error}"
        except NotReachedError as error:
            return f"it cannot be reached: {error}"
        except WebError as error:
            raise Later(f"it cannot be reached: {error}", is_silent=True) from None
        except TimeoutError:
            raise Later("its host does not answer, or not in time", is_silent=True) from None
        except FAILURES as error:
            raise Later(f"it cannot be reached ({type(error).__name__})", is_silent=True) from None


async def _log_now_and_then(counts: _Counts, log_line: LogLine, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        log_line(counts.line())
