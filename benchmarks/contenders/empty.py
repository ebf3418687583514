"""A Prefect flow that does nothing, in ephemeral mode: what Prefect itself costs."""

from prefect import flow


@flow
def hello() -> None:
    print("hello", flush=True)


if __name__ == "__main__":
    hello()
