"""Values out of JSON that may have any form: each function returns what can be read, or nothing."""

import math
import re
from datetime import UTC, datetime
from typing import Any, cast

from animatic.takes.states import LARGEST_MS

MAX_URL_CHARS = 8_192
FIRST_YEAR, LAST_YEAR = 2000, 2200
MAX_ERROR_CHARS = 4_000
LARGEST_CODE = 2**63 - 1
_DEEPEST, _MOST_PARTS, _LONGEST_NUMBER = 4, 10, 40
_LONGEST_MOMENT = 64


def object_in(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one for any other value."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def text_in(value: Any, depth: int = 0) -> str:
    """Return the text of an error: text, a number, an object with `message`, `msg` or `error`, or a list of these."""
    if isinstance(value, str):
        return value[:MAX_ERROR_CHARS]
    if value is None or isinstance(value, bool) or depth > _DEEPEST:
        return ""
    if isinstance(value, int | float):
        return str(value)[:_LONGEST_NUMBER]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        said = (text_in(fields.get(name), depth + 1) for name in ("message", "msg", "error", "detail", "code"))
        return next((each for each in said if each), "")
    parts = [text_in(item, depth + 1) for item in cast("list[Any]", value)[:_MOST_PARTS]]
    return "; ".join(part for part in parts if part)[:MAX_ERROR_CHARS]


def number_in(value: Any) -> float | None:
    """Return a finite number, also where it is written as text."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole_in(value: Any) -> int | None:
    """Return a whole number, also where it is written as text or as 5000.0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) <= LARGEST_CODE else None
    number = number_in(value)
    return int(number) if number is not None and number.is_integer() and abs(number) <= LARGEST_MS else None


def flag_in(value: Any) -> bool | None:
    """Return a flag, also where it is written as text."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def url_in(item: Any) -> str | None:
    """Return the URL that an output is, or holds under `url`, or under `url` of its `video`."""
    fields = object_in(item)
    found: Any = fields.get("url") or object_in(fields.get("video")).get("url") if isinstance(item, dict) else item
    url = found.strip() if isinstance(found, str) else ""
    return url if re.match("https?://", url, re.IGNORECASE) and len(url) <= MAX_URL_CHARS else None


def moment_of(value: Any) -> datetime | None:
    """Return an ISO 8601 moment in UTC; of a fraction of a second the first six digits count.

    Naive datetimes are taken as UTC. Values outside datetime's range, and zero times, become None.
    """
    if not isinstance(value, str) or len(value) > _LONGEST_MOMENT:
        return None
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", value.strip()))
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None
