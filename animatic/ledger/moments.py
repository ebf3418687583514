"""Moments in the ledger: UTC, stored without a zone."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return this machine's time in UTC, for people to read. No rule depends on it."""
    return datetime.now(UTC).replace(tzinfo=None)


def naive(moment: datetime | None) -> datetime | None:
    """Return a moment as it is stored: in UTC, without a zone."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def aware(moment: datetime | None) -> datetime | None:
    """Return a stored moment with its zone."""
    return None if moment is None else moment.replace(tzinfo=UTC)


def aware_always(moment: datetime) -> datetime:
    """Return a stored moment that is never null, with its zone."""
    return moment.replace(tzinfo=UTC)
