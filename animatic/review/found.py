"""A page that is in a folder already: the tables that it shows, and whether a run keeps it fresh."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from animatic import storage
from animatic.errors import LocationError
from animatic.review.page import INDEX, LIVE, place_in

_TABLES = re.compile(rb'"results":(\[(?:"(?:[^"\\]|\\.)*",?)*\])')
"""No text holds these bytes before its end: a quotation mark inside one stands behind a backslash."""

_BEGINNING_BYTES = 1 << 20
_MISSED = 3
"""So many states of a run that do not come, and it counts as dead."""

_LEAST_S = 10.0


def tables_shown(out: str) -> tuple[str, ...]:
    """Return the URIs of the tables that the page in a folder shows; none where there is no page.

    Raises:
        LocationError: the folder cannot be looked into.
    """
    with storage.open_existing(place_in(out, INDEX), max_bytes=1 << 30) as file:
        found = None if file is None else _TABLES.search(file.read(_BEGINNING_BYTES))
    return () if found is None else tuple(map(str, json.loads(found[1])))


def kept_until(out: str) -> datetime | None:
    """Return until when the page in a folder counts as kept fresh by a run; None where no run keeps it.

    Raises:
        LocationError: the folder cannot be looked into.
    """
    with storage.open_existing(place_in(out, LIVE), max_bytes=_BEGINNING_BYTES) as file:
        text = "" if file is None else file.read().decode(errors="replace")
    try:
        state: Any = json.loads(text[text.index("(") + 1 : text.rindex(")")])
        if not isinstance(state, dict):
            return None
        known = cast("dict[str, Any]", state)
        if known.get("ended", True) or known.get("served"):
            return None
        at = datetime.fromisoformat(known["at"]).astimezone(UTC)
        return at + timedelta(seconds=max(_LEAST_S, _MISSED * float(known.get("every_s", 0))))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def require_free(out: str, results: tuple[str, ...], now: datetime) -> None:
    """Refuse a folder whose page a run of other tables keeps fresh: each would overwrite what the other wrote.

    Raises:
        LocationError: it is one, or cannot be looked into.
    """
    shown, until = tables_shown(out), kept_until(out)
    if until is not None and now < until and shown and not set(shown) & set(results):
        raise LocationError(
            f"{storage.locate(out).shown}: found the page of {_names(shown)}, which a run keeps fresh now; allowed: a "
            "folder that no other run writes; give another one, or wait until that run has ended"
        )


def note_on_other_page(out: str, results: tuple[str, ...]) -> str | None:
    """Return a line where a folder's page shows none of these tables so far; None where it shows some, or is new.

    Raises:
        LocationError: the folder cannot be looked into.
    """
    shown = tables_shown(out)
    if not shown or set(shown) & set(results):
        return None
    return f"{storage.locate(out).shown} was the page of {_names(shown)}, and is that of {_names(results)} from now on"


def _names(results: tuple[str, ...]) -> str:
    others = len(results) - 1
    more = f" and {others:,} more" if others else ""
    return f"{storage.locate(results[0]).shown}{more}"
