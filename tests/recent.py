"""Newest records of Prefect's server: the shared one holds more runs and artifacts than one reply has."""

from typing import Any


def newest_runs(client: Any) -> list[Any]:
    """Return the flow runs that began last, the newest first."""
    from prefect.client.schemas.sorting import FlowRunSort  # noqa: PLC0415 - imports Prefect

    return list(client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC))


def newest_artifacts(client: Any) -> list[Any]:
    """Return the artifacts that were made last, the newest first."""
    from prefect.client.schemas.sorting import ArtifactSort  # noqa: PLC0415 - imports Prefect

    return list(client.read_artifacts(sort=ArtifactSort.CREATED_DESC))
