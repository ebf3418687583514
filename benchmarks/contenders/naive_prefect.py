"""Prefect as its tutorial has it: WaveSpeed's SDK in a sync task, `.map`, as many threads as takes may be in flight."""

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner
from wavespeed import Client

from benchmarks.contenders.order import MODEL, Got, Order, Row, read_order

ORDER: Order
CLIENT: Client


@task
def animate_shot(row: Row) -> Got:
    result = CLIENT.run_no_throw(MODEL, row)
    return str(result["task_id"]), (result["outputs"] or [""])[0], str(result["status"])


@flow
def animate() -> None:
    futures = animate_shot.map(ORDER.rows())
    ORDER.write([future.result(raise_on_failure=True) for future in futures])


if __name__ == "__main__":
    ORDER = read_order()
    CLIENT = Client(api_key=ORDER.key, base_url=ORDER.base_url)
    animate.with_options(task_runner=ThreadPoolTaskRunner(max_workers=ORDER.in_flight))()
