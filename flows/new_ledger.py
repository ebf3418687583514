"""Permission to begin a ledger: an unattended run that begins one would buy again what an older ledger knows."""

from datetime import UTC, datetime

from animatic.errors import SettingsError
from animatic.errors.text import command, counted
from animatic.ledger import ledger_name
from animatic.takes.canonical import provider_in_words
from flows.settings import Settings


def require_new_ledger_allowed(settings: Settings, to_buy: int, *, may_begin: bool) -> None:
    """Refuse a new ledger to a run that would buy something for money into it and may not begin one.

    Raises:
        SettingsError: no permission to begin one today was given.
    """
    today = datetime.now(UTC).date()
    if not to_buy or not settings.is_real or may_begin or settings.new_ledger == today:
        return
    stale = f" (ANIMATIC_NEW_LEDGER says {settings.new_ledger})" if settings.new_ledger else ""
    named = (
        " Takes that were bought under another ANIMATIC_ACCOUNT, or none, do not count."
        if settings.account_name
        else ""
    )
    raise SettingsError(
        f"ANIMATIC_LEDGER: the ledger {ledger_name(settings.ledger)} is new: it holds no take of "
        f"{provider_in_words(settings.origin)}, so "
        f"this run would buy {counted(to_buy, 'take')}, also those that were bought before.{named} Nothing was bought. "
        "Give the ledger that knows them. Where nothing was bought before, or it is to be bought again, say so with "
        f"--new-ledger, or ANIMATIC_NEW_LEDGER={today}{stale}. Or take over what results tables (RESULTS) know:\n"
        f"    {command('ledger', 'import', 'RESULTS')}"
    )
