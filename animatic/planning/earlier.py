"""Earlier purchases: takes of a plan that the account made before, unknown to the ledger. Buys nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from animatic.ledger import Ledger
from animatic.planning.account_list import MOST_NAMED, Found, find_in_list
from animatic.planning.lookup import find_moved
from animatic.planning.plan import Plan
from animatic.takes.evidence import LIST_REACHES
from animatic.wavespeed.client import WaveSpeedClient


@dataclass(frozen=True, slots=True)
class Earlier:
    """Earlier purchases of takes to buy.

    Attributes:
        found: what the account's list shows, where that was read.
        moved: takes that were bought before under another address of the still.
    """

    found: Found | None
    moved: Sequence[str]

    def lines(self) -> list[str]:
        """Return warnings that a person should read before anything is bought."""
        lines = self.found.lines() if self.found else []
        if self.moved:
            more = f" and {len(self.moved) - MOST_NAMED:,} more" if len(self.moved) > MOST_NAMED else ""
            lines.append(
                f"{len(self.moved):,} takes were bought before with the same prompt and another address of the still: "
                f"{', '.join(self.moved[:MOST_NAMED])}{more}. Its host makes a new address for each export, so nothing "
                "tells whether it is the same picture; they would be bought again"
            )
        return lines


async def find_earlier(ledger: Ledger | None, plan: Plan, client: WaveSpeedClient | None, *, is_new: bool) -> Earlier:
    """Find takes to buy that were bought before: in the ledger and, where there is a client, in the account's list.

    The list is read only where it may show some: beside a new ledger, or where an orphan was seen lately.
    """
    moved, found = await find_moved(ledger, plan), None
    if client is not None and plan.to_buy and (is_new or await _has_new_orphans(ledger, plan)):
        models = list(dict.fromkeys(each.model for each in plan.price_classes))
        found = await find_in_list(client, plan.takes_to_buy(), models, ledger)
        found.is_new = is_new
    return Earlier(found, moved)


async def _has_new_orphans(ledger: Ledger | None, plan: Plan) -> bool:
    orphans = [] if ledger is None else await ledger.orphans(plan.manifest.provider)
    since = datetime.now(UTC) - LIST_REACHES
    return any(each.created_at is None or each.created_at > since for each in orphans)
