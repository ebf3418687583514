"""Prefect with async tasks, awaited together behind a semaphore; plain httpx, a look each second."""

import asyncio

import httpx
from prefect import flow, task

from benchmarks.contenders.order import FINAL, MODEL, Got, Order, Row, got_from, read_order

ORDER: Order
CLIENT: httpx.AsyncClient


@task
async def animate_shot(row: Row) -> Got:
    reply = await CLIENT.post(f"/api/v3/{MODEL}", json=row)
    reply.raise_for_status()
    path = f"/api/v3/predictions/{reply.json()['data']['id']}/result"
    while True:
        data = (await CLIENT.get(path)).json()["data"]
        if data["status"] in FINAL:
            return got_from(data)
        await asyncio.sleep(1.0)


@flow
async def animate() -> None:
    global CLIENT
    places = asyncio.Semaphore(ORDER.in_flight)

    async def shoot(row: Row) -> Got:
        async with places:
            return await animate_shot(row)

    limits = httpx.Limits(max_connections=ORDER.in_flight)
    headers = {"Authorization": f"Bearer {ORDER.key}"}
    async with httpx.AsyncClient(base_url=ORDER.base_url, headers=headers, limits=limits, timeout=60) as CLIENT:
        ORDER.write(await asyncio.gather(*(shoot(row) for row in ORDER.rows())))


if __name__ == "__main__":
    ORDER = read_order()
    asyncio.run(animate())
