"""The opening of a run: its ledger, its liveness and a client, closed again at its end."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from prefect.runtime import flow_run

from animatic.ledger import open_ledger, open_when_there
from animatic.media.still_copies import StillCopies
from animatic.wavespeed.client import MOST_CONNECTIONS, WaveSpeedClient
from flows.metrics import metered
from flows.order import Order
from flows.process import connections_that_fit
from flows.run import Run
from flows.session import Session
from tasks.deployment import deployment_id
from tasks.logs import line_logger


@asynccontextmanager
async def open_run(order: Order, session: Session) -> AsyncGenerator[Run]:
    """Open a run: its ledger, its liveness, which others can see, and a client.

    Raises:
        SettingsError: there is no key.
        LedgerError: the ledger cannot be trusted with money now, or its server is away.
    """
    settings, loop = session.settings, asyncio.get_running_loop()
    key, warn = settings.require_key(), line_logger(logging.WARNING)
    is_watched = deployment_id() is None  # a person would rather hear at once that the ledger's server is away
    opened = partial(open_ledger, warn=warn) if is_watched else partial(open_when_there, warn=warn)
    with await asyncio.to_thread(opened, settings.ledger) as ledger:
        async with ledger.run(session.run_id, order.uri, flow_run.id) as run:
            most, network = min(connections_that_fit(), MOST_CONNECTIONS), settings.network
            async with WaveSpeedClient(
                settings.base_url,
                key,
                network=network,
                most_connections=most,
                wrap=session.wrap,
                on_answer=lambda problem: session.progress.note_answer(loop.time(), problem),
                counts=session.progress.meters.requested,
            ) as client:
                copies = session.still_copies or StillCopies()
                async with metered(session, ledger):
                    if session.progress.metrics_problem:
                        warn(session.progress.metrics_problem)
                    yield Run(order, session, client, run, warn, copies)


async def count_reserved(run: Run) -> Run:
    """Return the run with what earlier processes of its flow run have reserved, once what they left is settled."""
    flow_run_id = flow_run.id
    before = await run.ledger.reserved_under(flow_run_id, run.order.uri) if flow_run_id else 0
    return replace(run, reserved_before=before)
