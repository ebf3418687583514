"""An open run: what all its steps share, from the first to the last."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prefect.runtime import flow_run

from animatic.ledger import Ledger, LedgerRun, open_ledger
from animatic.media.local_stills import LocalStills
from animatic.media.still_copies import StillCopies
from animatic.money.budgets import DayBudget
from animatic.planning.day_budget import find_day_budget
from animatic.planning.manifests import anchor_of
from animatic.wavespeed.client import MOST_CONNECTIONS, WaveSpeedClient
from flows.metrics import metered
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
        copies: of stills that were read from an object store.
        reserved_before: what earlier processes of the same flow run have reserved, in millionths of a dollar.
        approved_microusd: the sum that a person approved in Prefect for the whole flow run.
    """

    order: Order
    session: Session
    client: WaveSpeedClient
    ledger_run: LedgerRun
    warn: Callable[[str], None]
    copies: StillCopies
    reserved_before: int = 0
    approved_microusd: int | None = None

    @property
    def ledger(self) -> Ledger:
        """The open ledger."""
        return self.ledger_run.ledger

    @property
    def stills(self) -> LocalStills:
        """The manifest's local stills."""
        anchor = anchor_of(self.order.manifest, self.order.rows.stills_folder)
        return LocalStills(anchor, self.session.settings.network, self.copies)

    @property
    def max_microusd(self) -> int | None:
        """The most that this process may reserve.

        The flow run's limit, less what earlier processes of it have reserved: without an approval no more than needs
        none, with one no more than was approved.
        """
        rule, most = self.order.approval, self.ceiling_microusd
        alone = self.approved_microusd if self.approved_microusd is not None else rule and rule.above_microusd
        return most if alone is None else min(self.left_of(alone), self.left_of(alone) if most is None else most)

    @property
    def ceiling_microusd(self) -> int | None:
        """The most that this process may reserve with any approval; None where nothing bounds it."""
        most = self.order.max_microusd(self.session.max_microusd)
        return None if most is None else self.left_of(most)

    @property
    def refuses_beyond_microusd(self) -> int | None:
        """The most that the plan may cost; more is refused, with any approval."""
        most = self.order.refuses_beyond_microusd(self.session.max_microusd)
        return None if most is None else self.left_of(most)

    def left_of(self, limit_microusd: int) -> int:
        """Return what is left of a limit of the flow run for this process."""
        return max(limit_microusd - self.reserved_before, 0)

    async def day_budget(self) -> DayBudget | None:
        """Return the day's budget as it stands, by the API's clock; None where there is none."""
        settings, today = self.session.settings, self.client.clock.now().date()
        return await find_day_budget(self.ledger, settings.origin, settings.day_microusd, today)


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
            before = await ledger.reserved_under(flow_run.id) if flow_run.id else 0
            most, network = min(connections_that_fit(), MOST_CONNECTIONS), settings.network
            async with WaveSpeedClient(
                settings.base_url,
                key,
                network=network,
                most_connections=most,
                wrap=session.wrap,
                hears=lambda problem: session.progress.heard(loop.time(), problem),
                counts=session.progress.meters.requested,
            ) as client:
                copies, warn = session.still_copies or StillCopies(), line_logger(logging.WARNING)
                async with metered(session, ledger, order.max_microusd(session.max_microusd)):
                    if session.progress.metrics_problem:
                        warn(session.progress.metrics_problem)
                    yield Run(order, session, client, run, warn, copies, before)
