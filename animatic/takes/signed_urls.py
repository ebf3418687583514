"""Ends of signed URLs: the time from which a storage refuses one, where the URL itself says so. Pure.

Which parameters mean a signature is said by the table in `animatic.takes.canonical`; this reads their times. Where one
cannot be read, nothing is known, and the host must be asked.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from animatic.takes.canonical import signatures_of

Query = Mapping[str, str]

_COMPACT = "%Y%m%dT%H%M%SZ"
_MOST_POLICY_CHARS = 8_192


def expires_at(url: str) -> datetime | None:
    """Return when the first signature of a URL ends, in UTC; None where it has none, or one without an end."""
    if "?" not in url:
        return None
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, max_num_fields=200))
    except ValueError:
        return None
    ends = (_END_OF[each.name](query) for each in signatures_of(parts.hostname or "", query))
    return min((end for end in ends if end is not None), default=None)


def _seconds(name: str, base: int = 10) -> Callable[[Query], datetime | None]:
    """Read a time that stands there as seconds since 1970."""
    return lambda query: _moment(query.get(name, ""), base)


def _moment(text: str, base: int = 10) -> datetime | None:
    if not re.fullmatch(r"[0-9A-Fa-f]{1,11}", text):
        return None
    try:
        return datetime.fromtimestamp(int(text, base), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _after(begins: str, lasts: str) -> Callable[[Query], datetime | None]:
    """Read a time that stands there as a beginning and a number of seconds."""

    def read(query: Query) -> datetime | None:
        seconds = query.get(lasts, "")
        if not re.fullmatch(r"[0-9]{1,9}", seconds):
            return None
        try:
            return datetime.strptime(query.get(begins, ""), _COMPACT).replace(tzinfo=UTC) + timedelta(
                seconds=int(seconds)
            )
        except (ValueError, OverflowError):
            return None

    return read


def _of_azure(query: Query) -> datetime | None:
    """Read `se`: ISO 8601 in UTC, of which Azure also takes the date alone."""
    text = query.get("se", "")
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _of_policy(query: Query) -> datetime | None:
    """Read the end in a custom policy of CloudFront: JSON in base64, with `-`, `_` and `~` for `+`, `=` and `/`."""
    text = query.get("Policy", "")
    if len(text) > _MOST_POLICY_CHARS:
        return None
    try:
        policy: Any = json.loads(base64.b64decode(text.translate(str.maketrans("-_~", "+=/")), validate=True))
        return _moment(str(policy["Statement"][0]["Condition"]["DateLessThan"]["AWS:EpochTime"]))
    except (binascii.Error, ValueError, LookupError, TypeError, RecursionError):
        return None


_END_OF: Mapping[str, Callable[[Query], datetime | None]] = {
    "Amazon S3, signature version 4": _after("X-Amz-Date", "X-Amz-Expires"),
    "Amazon S3, signature version 2": _seconds("Expires"),
    "Google Cloud Storage, V4": _after("X-Goog-Date", "X-Goog-Expires"),
    "Google Cloud Storage, V2": _seconds("Expires"),
    "Azure Storage, shared access signature": _of_azure,
    "Amazon CloudFront, canned policy": _seconds("Expires"),
    "Amazon CloudFront, custom policy": _of_policy,
    "Discord attachments": _seconds("ex", 16),
    "Alibaba Cloud OSS, signature version 1": _seconds("Expires"),
    "Alibaba Cloud OSS, signature version 2": _seconds("x-oss-expires"),
    "Alibaba Cloud OSS, signature version 4": _after("x-oss-date", "x-oss-expires"),
}
"""The reader of each signature in the table; sources as there."""
