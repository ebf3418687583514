"""Dates as options and parameters: UTC dates such as 2026-11-26."""

from datetime import UTC, date, datetime, time

from animatic.errors import SettingsError


def start_of(option: str, text: str) -> datetime:
    """Return the start of a UTC date. Raises SettingsError, which names the option."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        raise SettingsError(f'{option}: found "{text}"; allowed: a UTC date such as 2026-11-26') from None
