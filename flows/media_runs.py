"""Flow runs of the media deployment that a run has started, and that no worker has taken yet.

A flow run goes on to other batches, so there are fewer of them than batches. Those that wait for a worker when no batch
does are cancelled, so that none is started for nothing; one that is finds its batch taken, and ends well.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.deployments import arun_deployment
from prefect.runtime import flow_run
from prefect.states import Cancelled

from animatic.takes.media_batches import MediaBatch, runs_to_schedule

ASKS_WITHIN_S = 10.0


class MediaRuns:
    """Flow runs of a deployment, given as FLOW/NAME. Each method raises whatever Prefect does, or TimeoutError."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._scheduled = set[UUID]()
        self._started = set[str]()

    async def schedule(self, waiting: Sequence[MediaBatch], at_work: int) -> None:
        """Start flow runs for batches that wait, as many as the pool may have room for.

        Args:
            waiting: those that were handed over first come first.
            at_work: workers that have a batch.
        """
        async with asyncio.timeout(ASKS_WITHIN_S):
            await self._look()
            count = runs_to_schedule(len(waiting), len(self._scheduled), at_work)
            for batch in [batch for batch in waiting if not self.is_started(batch)][:count]:
                await self._start(batch)

    def is_started(self, batch: MediaBatch) -> bool:
        """Tell if a flow run was started for a batch since a worker last had it."""
        return _key(batch) in self._started

    async def cancel_rest(self) -> None:
        """Cancel those that no worker has taken."""
        async with asyncio.timeout(ASKS_WITHIN_S):
            await self._look()
            if self._scheduled:
                over = Cancelled(message="its batch was taken by a flow run that went on to it")
                async with get_client() as client:
                    for each in tuple(self._scheduled):
                        await client.set_flow_run_state(each, over)
                        self._scheduled.discard(each)

    async def _look(self) -> None:
        """Forget those that a worker has taken."""
        if not self._scheduled:
            return
        mine = FlowRunFilter(
            id=FlowRunFilterId(any_=list(self._scheduled)),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        )
        async with get_client() as client:
            self._scheduled = {found.id for found in await client.read_flow_runs(flow_run_filter=mine)}

    async def _start(self, batch: MediaBatch) -> None:
        parameters: dict[str, Any] = {"batch": batch.batch_id}
        credentials = (flow_run.parameters or {}).get("credentials")
        if credentials is not None:
            parameters["credentials"] = credentials
        key = _key(batch)
        started = await arun_deployment(
            self._deployment, parameters=parameters, idempotency_key=key, as_subflow=False, timeout=0
        )
        self._started.add(key)
        self._scheduled.add(started.id)


def _key(batch: MediaBatch) -> str:
    """Return the idempotency key of the flow run for a batch; another one once a worker had it."""
    return f"animatic-media-{batch.batch_id}-{batch.times_taken}"
