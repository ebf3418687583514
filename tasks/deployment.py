"""The deployment that a flow run is of.

`prefect.runtime.deployment` asks the server, and holds the event loop up until it answers.
"""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext


def deployment_id() -> UUID | None:
    """Return the id of the deployment that this flow run is of, without a call of Prefect's API."""
    context = FlowRunContext.get()
    return None if context is None or context.flow_run is None else context.flow_run.deployment_id


async def deployment_name() -> str | None:
    """Ask Prefect for the name of the deployment that this flow run is of."""
    of_run = deployment_id()
    if of_run is None:
        return None
    async with get_client() as client:
        return (await client.read_deployment(of_run)).name
