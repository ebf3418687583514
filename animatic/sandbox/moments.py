"""Moments on the wire: ISO 8601, UTC, `Z`, to the millisecond. Inside, they are seconds since 1970."""

import re
from datetime import UTC, datetime

_MILLISECONDS = re.compile(r"\d{12,14}", re.ASCII)


def iso_from(moment: float) -> str:
    """As `2026-11-22T09:30:00.250Z`."""
    whole = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
    return whole.isoformat(timespec="milliseconds") + "Z"


def with_nanoseconds(iso: str, rest: int) -> str:
    """Return a moment with nine decimals, the last six of which are `rest`."""
    return f"{iso.removesuffix('Z')}{rest % 1_000_000:06d}Z"


def moment_from(text: str) -> float:
    """Seconds since 1970; a moment without a zone is UTC. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return parsed.timestamp()


def moment_from_milliseconds(text: str) -> float | None:
    """Seconds since 1970 of a text that is milliseconds since then, or None for any other text."""
    return int(text) / 1_000 if _MILLISECONDS.fullmatch(text) else None


def to_milliseconds(moment: float) -> float:
    """Cut to the millisecond, so that what is shown, stored and compared is the same moment."""
    return moment_from(iso_from(moment))
