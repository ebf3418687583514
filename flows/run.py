"""An open run: what all its steps share, from the first to the last."""

from collections.abc import Callable
from dataclasses import dataclass

from animatic.ledger import Ledger, LedgerRun
from animatic.media.local_stills import LocalStills
from animatic.media.still_copies import StillCopies
from animatic.planning.day_budget import find_day_budget
from animatic.planning.manifests import anchor_of
from animatic.takes.money.budgets import DayBudget
from animatic.wavespeed.client import WaveSpeedClient
from flows.order import Order
from flows.session import Session


@dataclass(frozen=True, slots=True)
class Run:
    """An open run.

    Attributes:
        order: what was asked.
        session: what the command knows beside that.
        warn: logs a line that a person should read.
        copies: of stills that were read from an object store.
        reserved_before: what earlier processes of the same flow run have reserved, in millionths of a dollar.
    """

    order: Order
    session: Session
    client: WaveSpeedClient
    ledger_run: LedgerRun
    warn: Callable[[str], None]
    copies: StillCopies
    reserved_before: int = 0

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
