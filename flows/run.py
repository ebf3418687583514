"""An open run: what all its steps share, from the first to the last."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prefect.runtime import flow_run

from animatic.ledger import Ledger, LedgerRun, open_ledger
from animatic.wavespeed.client import MOST_CONNECTIONS, WaveSpeedClient
from flows.order import Order
from flows.process import connections_that_fit
from flows.session import Session
from tasks.logs import line_logger


@dataclass(frozen=True, slots=True)
class Run:
    """An open run.

    Attributes:
        order: what was asked.
        session: what the command knows beside that.
        warn: logs a line that a person should read.
    """

    order: Order
    session: Session
    client: WaveSpeedClient
    ledger_run: LedgerRun
    warn: Callable[[str], None]

    @property
    def ledger(self) -> Ledger:
        """The open ledger."""
        return self.ledger_run.ledger

    @property
    def max_microusd(self) -> int | None:
        """The most that this run may reserve, in millionths of a dollar."""
        return self.order.max_microusd(self.session.max_microusd)


@asynccontextmanager
async def open_run(order: Order, session: Session) -> AsyncGenerator[Run]:
    """Open a run: its ledger, its liveness, which others can see, and a client.

    Raises:
        SettingsError: there is no key.
        LedgerError: the ledger cannot be trusted with money now.
    """
    settings, loop = session.settings, asyncio.get_running_loop()
    key = settings.require_key()
    with open_ledger(settings.ledger) as ledger:
        async with ledger.run(session.run_id, order.uri, flow_run.id) as run:
            most, network = min(connections_that_fit(), MOST_CONNECTIONS), settings.network
            async with WaveSpeedClient(
                settings.base_url,
                key,
                network=network,
                most_connections=most,
                wrap=session.wrap,
                hears=lambda problem: session.progress.heard(loop.time(), problem),
            ) as client:
                yield Run(order, session, client, run, line_logger(logging.WARNING))
