"""Warnings before a purchase: takes that were made before, and ledgers that would be begun."""

from collections.abc import Sequence
from datetime import UTC, datetime

from animatic.errors import SettingsError
from animatic.ledger import settling
from animatic.ledger.desk import Ledger
from animatic.ledger.opening import sqlite_path
from animatic.planning.account_list import Found, find_in_list
from animatic.planning.plan import Plan
from animatic.settings import Settings
from animatic.takes.evidence import LIST_REACHES
from animatic.wavespeed.client import WaveSpeedClient

MOST_NAMED = 20
"""Takes that are named."""


def moved_lines(moved: Sequence[str]) -> list[str]:
    """Say which takes were bought before under another address of the still."""
    if not moved:
        return []
    more = f" and {len(moved) - MOST_NAMED:,} more" if len(moved) > MOST_NAMED else ""
    text = (
        f"{len(moved):,} takes were bought before with the same prompt and another address of the still: "
        f"{', '.join(moved[:MOST_NAMED])}{more}. Its host makes a new address for each export, so nothing tells "
        "whether it is the same picture; they would be bought again"
    )
    return [text]


async def find_made(
    client: WaveSpeedClient, plan: Plan, desk: Ledger | None, provider: str, *, is_new: bool
) -> Found | None:
    """Look for takes of the plan in the account's list, where there may be some: a new ledger, or lately an orphan."""
    if not is_new:
        orphans = [] if desk is None else await desk.do(settling.orphans, provider)
        since = datetime.now(UTC) - LIST_REACHES
        if not any(each.created_at is None or each.created_at > since for each in orphans):
            return None
    found = await find_in_list(client, plan.takes_to_buy(), models_of(plan), desk)
    found.is_new = is_new
    return found


def models_of(plan: Plan) -> list[str]:
    """Return the models of the takes to buy, each once."""
    return list(dict.fromkeys(model for model, _, _ in plan.kinds))


def require_new_ledger_allowed(settings: Settings, to_buy: int, *, is_attended: bool, may_begin: bool) -> None:
    """Refuse a new ledger to an unattended run: it would buy again what an older ledger knows.

    Raises:
        SettingsError: no permission to begin one today was given.
    """
    today = datetime.now(UTC).date()
    if is_attended or may_begin or settings.new_ledger == today:
        return
    stale = f" (ANIMATIC_NEW_LEDGER says {settings.new_ledger})" if settings.new_ledger else ""
    raise SettingsError(
        f"ANIMATIC_LEDGER: the ledger {sqlite_path(settings.ledger)} is new: it holds no take of {settings.origin}, so "
        f"this run would buy all {to_buy:,} takes, also those that were bought before. Nothing was bought. Either give "
        "the ledger that knows them, or take over what results tables know: animatic ledger import RESULTS. Where "
        "nothing was bought before, or it is to be bought again, say so: --new-ledger, or "
        f"ANIMATIC_NEW_LEDGER={today}{stale}"
    )
