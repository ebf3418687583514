"""Permission to begin a ledger: an unattended run that begins one would buy again what an older ledger knows."""

from datetime import UTC, datetime

from animatic.errors import SettingsError
from animatic.ledger import ledger_name
from animatic.settings import Settings
from animatic.text import command


def require_new_ledger_allowed(settings: Settings, to_buy: int, *, may_begin: bool) -> None:
    """Refuse a new ledger to a run that would buy something for money into it and may not begin one.

    Raises:
        SettingsError: no permission to begin one today was given.
    """
    today = datetime.now(UTC).date()
    if not to_buy or not settings.is_real or may_begin or settings.new_ledger == today:
        return
    taking_over = command("ledger", "import", "RESULTS")
    stale = f" (ANIMATIC_NEW_LEDGER says {settings.new_ledger})" if settings.new_ledger else ""
    raise SettingsError(
        f"ANIMATIC_LEDGER: the ledger {ledger_name(settings.ledger)} is new: it holds no take of {settings.origin}, so "
        f"this run would buy all {to_buy:,} takes, also those that were bought before. Nothing was bought. Either give "
        f"the ledger that knows them, or take over what results tables know: {taking_over}. Where "
        "nothing was bought before, or it is to be bought again, say so: --new-ledger, or "
        f"ANIMATIC_NEW_LEDGER={today}{stale}"
    )
