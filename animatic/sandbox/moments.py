"""Moments on the wire: ISO 8601, UTC, `Z`, to the millisecond. Inside, they are seconds since 1970."""

from datetime import UTC, datetime


def iso_from(moment: float) -> str:
    """As `2026-11-22T09:30:00.250Z`."""
    whole = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
    return whole.isoformat(timespec="milliseconds") + "Z"


def moment_from(text: str) -> float:
    """Seconds since 1970; a moment without a zone is UTC. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return parsed.timestamp()


def to_milliseconds(moment: float) -> float:
    """Cut to the millisecond, so that what is shown, stored and compared is the same moment."""
    return moment_from(iso_from(moment))
