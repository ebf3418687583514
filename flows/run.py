"""An open run: what all its steps share, from the first to the last."""

import logging
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from animatic.ledger import liveness, operations
from animatic.ledger.desk import Ledger
from animatic.ledger.opening import sqlite_path
from animatic.ledger.receipts import Receipts
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
    desk: Ledger
    receipts: Receipts
    warn: Callable[[str], None]

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
    settings = session.settings
    key = settings.require_key()
    ledger = sqlite_path(settings.ledger)
    with Ledger(settings.ledger) as desk, liveness.alive(ledger, session.run_id) as receipts:
        await desk.do(operations.begin_run, session.run_id, order.uri, socket.gethostname(), os.getpid())
        most = min(connections_that_fit(), MOST_CONNECTIONS)
        async with WaveSpeedClient(settings.base_url, key, network=settings.network, most_connections=most) as client:
            yield Run(order, session, client, desk, receipts, line_logger(logging.WARNING))
