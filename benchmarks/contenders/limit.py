"""The limit: asyncio and aiohttp, and nothing that would survive a crash. No ledger, no Prefect, no checks.

It keeps the account's limits, and knows the median latency: it polls for the first time then, and each floor after.
"""

import asyncio
from collections import deque

import aiohttp

from benchmarks.contenders.order import FINAL, MODEL, Got, Order, Row, got_from, read_order

MINUTE_S = 60.0


class Pace:
    """Starts in any minute, from their replies on."""

    def __init__(self, starts_per_minute: int) -> None:
        self._most, self._replied_at = starts_per_minute, deque[float]()
        self._sent = 0

    async def wait(self) -> None:
        """Until one more may start."""
        now = asyncio.get_running_loop().time
        while True:
            while self._replied_at and self._replied_at[0] <= now() - MINUTE_S:
                self._replied_at.popleft()
                self._sent -= 1
            if self._sent < self._most:
                self._sent += 1
                return
            soonest = self._replied_at[0] + MINUTE_S - now() if self._replied_at else 0.01
            await asyncio.sleep(max(soonest, 0.001))

    def replied(self) -> None:
        """A start counts for a minute from here."""
        self._replied_at.append(asyncio.get_running_loop().time())


async def buy(order: Order) -> list[Got]:
    """Every row, as early as places and pace allow."""
    rows = order.rows()
    got: list[Got] = [("", "", "")] * len(rows)
    places, pace = asyncio.Semaphore(order.in_flight), Pace(order.starts_per_minute)
    connector = aiohttp.TCPConnector(limit=128)
    headers = {"Authorization": f"Bearer {order.key}"}

    async def take(number: int, row: Row) -> None:
        try:
            got[number] = await _see_through(order, session, pace, row)
        finally:
            places.release()

    async with (
        aiohttp.ClientSession(order.base_url, connector=connector, headers=headers) as session,
        asyncio.TaskGroup() as takes,
    ):
        for number, row in enumerate(rows):
            await places.acquire()
            await pace.wait()
            takes.create_task(take(number, row))
    return got


async def _see_through(order: Order, session: aiohttp.ClientSession, pace: Pace, row: Row) -> Got:
    async with session.post(f"/api/v3/{MODEL}", json=row) as reply:
        pace.replied()
        if reply.status != 200:
            return "", "", f"refused {reply.status}"
        path = f"/api/v3/predictions/{(await reply.json())['data']['id']}/result"
    await asyncio.sleep(order.floor_s if order.is_early else order.median_s)
    while True:
        async with session.get(path) as reply:
            data = (await reply.json())["data"]
        if data["status"] in FINAL:
            return got_from(data)
        await asyncio.sleep(order.floor_s)


def main() -> None:
    order = read_order()
    order.write(asyncio.run(buy(order)))


if __name__ == "__main__":
    main()
