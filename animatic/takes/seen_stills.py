"""Remote stills as they were seen, and whether two looks saw the same picture. Pure.

The bytes decide where both looks read all of them; else a strong ETag; else Last-Modified and length, which is weak
evidence. A look from which nothing can be compared shows no change.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from animatic.takes.stills import Shape, StillFormat

FRESH = timedelta(hours=1)
"""A still that was seen so lately is not asked for again, and a purchase without a look of its own stands on it."""

_SETTLED_AFTER = timedelta(minutes=1)
"""A Last-Modified that was younger than this when it was seen may stand for two pictures (RFC 9110, 8.8.2.2)."""

MAX_VALIDATOR_CHARS = 500


@dataclass(frozen=True, slots=True)
class SeenStill(Shape):
    """A still on the web as one look saw it.

    Attributes:
        format: by its bytes.
        sha256: of its bytes, in hex; None where not all of them were read.
        size_bytes: None where the host did not say and not all was read.
        etag, last_modified: as the host gave them; None where it did not.
        seen_at: in UTC.
    """

    width: int
    height: int
    format: StillFormat
    sha256: str | None
    size_bytes: int | None
    etag: str | None
    last_modified: str | None
    seen_at: datetime

    @property
    def strong_etag(self) -> str | None:
        """The ETag, if it changes with every byte."""
        return self.etag if self.etag is not None and self.etag.startswith('"') else None

    @property
    def validators(self) -> dict[str, str]:
        """Headers that ask a host for the still if it has changed; none where its answer could not be believed."""
        if self.strong_etag is not None:
            return {"If-None-Match": self.strong_etag}
        if self.last_modified is None or self.etag is not None:
            return {}
        try:
            modified_at = parsedate_to_datetime(self.last_modified)
        except ValueError:
            return {}
        is_settled = modified_at.tzinfo is not None and modified_at < self.seen_at - _SETTLED_AFTER
        return {"If-Modified-Since": self.last_modified} if is_settled else {}


LookedAt: TypeAlias = SeenStill | str
"""Result of a look: a still, or the reason why it cannot be used, in words that follow its URL."""


def change_between(then: SeenStill, now: SeenStill) -> str | None:
    """Return the difference between two looks, by the best evidence that both have; None where there is none."""
    if then.sha256 is not None and now.sha256 is not None:
        return None if then.sha256 == now.sha256 else "other bytes"
    if then.strong_etag is not None and now.strong_etag is not None:
        return None if then.strong_etag == now.strong_etag else "another ETag"
    pairs = {
        "Last-Modified": (then.last_modified, now.last_modified),
        "length": (then.size_bytes, now.size_bytes),
    }
    differing = [name for name, (old, new) in pairs.items() if old is not None and new is not None and old != new]
    if not differing:
        return None
    return f"another {' and another '.join(differing)}, which is weak evidence"
