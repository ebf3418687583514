"""A reply as it came: status, headers and body, and the wait that it asks for. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

LONGEST_RETRY_AFTER_S = 120.0


@dataclass(frozen=True, slots=True)
class Reply:
    """Raw reply: status, the headers that we use by lower-case name, and a body of bounded length."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """Return how long the server asks us to wait, in seconds from 1 to 120; None if it does not say."""
        text = self.headers.get("retry-after", "")
        try:
            asked_s = float(text)
        except ValueError:
            return self._retry_after_date_s(text)
        return None if math.isnan(asked_s) else min(max(asked_s, 1.0), LONGEST_RETRY_AFTER_S)

    def _retry_after_date_s(self, text: str) -> float | None:
        try:
            asked_s = (
                parsedate_to_datetime(text) - parsedate_to_datetime(self.headers.get("date", ""))
            ).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
        return min(max(asked_s, 1.0), LONGEST_RETRY_AFTER_S)
