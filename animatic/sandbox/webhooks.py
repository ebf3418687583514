"""Webhooks: the result of a prediction, sent when it is final, signed; to loopback and nowhere else.

Source of headers, signature and body: WaveSpeed's pages on webhooks; how often and how long the real one tries again
is a guess. Not tried live. A sandbox that was ended forgets deliveries under way; those of predictions that are not
final by then are made by the next sandbox on the folder.
"""

import asyncio
import hashlib
import heapq
import hmac
import json
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from animatic.sandbox.folder import write_whole
from animatic.sandbox.predictions import Prediction
from animatic.sandbox.scenarios import Data

MAX_WAITING = 100_000
_PREFIX = "whsec_"
_NAME = "webhook.secret"
_PAUSES_S = (0.0, 1.0, 2.0, 4.0)  # before each attempt
_ATTEMPT_S = 10.0
_AT_ONCE = 32
_CLOCK_EVERY_S = 0.1  # how often the clock is read, which need not be the loop's

Describe = Callable[[str], Data | None]
"""The body for a prediction's id, or None where there is nothing to tell any more."""


def signature_of(secret: str, event_id: str, timestamp: str, body: bytes) -> str:
    """`v3,` and the HMAC-SHA256 of `{id}.{timestamp}.{body}`, its key the secret without its prefix."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v3," + hmac.new(secret.removeprefix(_PREFIX).encode(), signed, hashlib.sha256).hexdigest()


def load_secret(folder: Path) -> str:
    """Return the secret of the folder, made when first asked for."""
    path = folder / _NAME
    if path.exists() and (known := path.read_text(encoding="ascii", errors="replace")).startswith(_PREFIX):
        return known
    made = _PREFIX + secrets.token_hex(24)
    write_whole(path, made.encode(), mode=0o600)
    return made


class Webhooks:
    """The webhooks of one sandbox, for one event loop."""

    def __init__(self, folder: Path, clock: Callable[[], float], describe: Describe, counts: Counter[str]) -> None:
        self._folder, self._clock, self._describe, self._counts = folder, clock, describe, counts
        self._waiting: list[tuple[float, str, str]] = []  # a heap: when it is final, its id, where to send it
        self._wakes = asyncio.Event()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    @property
    def is_full(self) -> bool:
        """True if so many wait that no more are accepted."""
        return len(self._waiting) >= MAX_WAITING

    def expect(self, prediction: Prediction) -> None:
        """Send its webhook when it is final, if it has one and ever will be."""
        url, asked = prediction.accepted.webhook_url, prediction.asked
        if not url or not asked.scenario.ends_as or asked.value == "forever":
            return
        heapq.heappush(self._waiting, (prediction.life.finishes_at, prediction.accepted.id, url))
        self._wakes.set()
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_Loopback(), limit=_AT_ONCE))
            self._start(self._run())

    async def close(self) -> None:
        """Give up all that is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _run(self) -> None:
        while True:
            self._wakes.clear()
            while self._waiting and self._waiting[0][0] <= self._clock():
                _, prediction_id, url = heapq.heappop(self._waiting)
                await self._room.acquire()
                self._start(self._deliver(prediction_id, url))
            if self._waiting:
                await asyncio.sleep(_CLOCK_EVERY_S)
            else:
                await self._wakes.wait()

    async def _deliver(self, prediction_id: str, url: str) -> None:
        try:
            data = self._describe(prediction_id)
            if data is None:
                return
            body, event_id = json.dumps(data, separators=(",", ":")).encode(), secrets.token_hex(16)
            for pause_s in _PAUSES_S:
                await asyncio.sleep(pause_s)
                if await self._is_taken(url, event_id, body):
                    self._counts["webhooks_delivered"] += 1
                    return
            self._counts["webhooks_given_up"] += 1
        finally:
            self._room.release()

    async def _is_taken(self, url: str, event_id: str, body: bytes) -> bool:
        if self._session is None:
            return False
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature_of(load_secret(self._folder), event_id, timestamp, body),
        }
        wait = aiohttp.ClientTimeout(total=_ATTEMPT_S)
        self._counts["webhook_attempts"] += 1
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False, timeout=wait
            ) as reply:
                return 200 <= reply.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return False

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Loopback(AbstractResolver):
    """Knows one name, whatever the machine's own resolver says."""

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - one address fits all
    ) -> list[ResolveResult]:
        if host != "localhost":
            raise OSError(f"not loopback: {host}")
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        """Nothing is open."""
