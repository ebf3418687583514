"""WaveSpeed's own SDK in a pool of as many threads as takes may be in flight; it looks each second, its default."""

from concurrent.futures import ThreadPoolExecutor

from wavespeed import Client

from benchmarks.contenders.order import MODEL, Got, Row, read_order


def main() -> None:
    order = read_order()
    client = Client(api_key=order.key, base_url=order.base_url)

    def buy(row: Row) -> Got:
        result = client.run_no_throw(MODEL, row)
        return str(result["task_id"]), (result["outputs"] or [""])[0], str(result["status"])

    with ThreadPoolExecutor(order.in_flight) as pool:
        order.write(list(pool.map(buy, order.rows())))


if __name__ == "__main__":
    main()
