"""Looks at stills on the web, and those that purchases stand on: functions of a connection in a caller's transaction.

A look is a row for as long as the same is seen; then there is another. What an attempt was bought with stays as it is.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from animatic.ledger.moments import aware_always, naive
from animatic.ledger.schema import ATTEMPT_LOOK, LOOK
from animatic.ledger.statements import in_chunks, insert_missing
from animatic.takes.canonical import canonical_still
from animatic.takes.seen_stills import SeenStill

_SEEN = ("width", "height", "format", "sha256", "size_bytes", "etag", "last_modified")


class BoughtWith(NamedTuple):
    """A look that a purchase stands on.

    Attributes:
        still: canonical URL.
        is_later: it was the first look at the still of a take that had been bought without one.
    """

    attempt_id: int
    still: str
    seen: SeenStill
    is_later: bool


def _address(url: str) -> str:
    """Return what stands for a URL as it is sent: another signature may be refused where this one was not."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def find(db: sa.Connection, urls: Sequence[str]) -> dict[str, SeenStill]:
    """Return the newest look at each of these URLs that was ever looked at."""
    url_of, found = {_address(url): url for url in urls}, dict[str, SeenStill]()
    for some in in_chunks(list(url_of)):
        rows = db.execute(sa.select(LOOK).where(LOOK.c.address.in_(some)).order_by(LOOK.c.look_id))
        found.update((url_of[row.address], _seen(row)) for row in rows)
    return found


def remember(db: sa.Connection, looked: Mapping[str, SeenStill]) -> None:
    """Write down what was seen, by URL; what was seen before too is as new as this look."""
    known: dict[str, sa.Row[Any]] = {}
    for some in in_chunks([_address(url) for url in looked]):
        rows = db.execute(sa.select(LOOK).where(LOOK.c.address.in_(some)).order_by(LOOK.c.look_id))
        known.update((row.address, row) for row in rows)
    for url, seen in looked.items():
        address = _address(url)
        values = {name: getattr(seen, name) for name in _SEEN}
        row, looked_at = known.get(address), naive(seen.seen_at)
        if row is not None and all(getattr(row, name) == value for name, value in values.items()):
            db.execute(LOOK.update().where(LOOK.c.look_id == row.look_id).values(looked_at=looked_at))
        else:
            place = {"still": canonical_still(url), "address": address}
            db.execute(LOOK.insert().values(**place, **values, looked_at=looked_at))


def since(db: sa.Connection, moment: datetime) -> dict[str, int]:
    """Return the newest look at each still that was seen at that moment or later, by its canonical URL."""
    rows = db.execute(
        sa.select(LOOK.c.still, LOOK.c.look_id).where(LOOK.c.looked_at >= naive(moment)).order_by(LOOK.c.looked_at)
    )
    return {row.still: row.look_id for row in rows}


def bind(db: sa.Connection, attempt_id: int, looks: Mapping[str, int]) -> None:
    """Write down which looks an attempt is bought with, by canonical URL, in place of those of an earlier intent."""
    db.execute(ATTEMPT_LOOK.delete().where(ATTEMPT_LOOK.c.attempt_id == attempt_id))
    if looks:
        rows = [{"attempt_id": attempt_id, "still": still, "look_id": look} for still, look in looks.items()]
        db.execute(ATTEMPT_LOOK.insert(), rows)


def bind_later(db: sa.Connection, missing: Sequence[tuple[int, str]], moment: datetime) -> None:
    """Give purchases that were made without a look the first one since; `missing` are attempts and canonical URLs."""
    looks = since(db, moment)
    rows = [
        {"attempt_id": attempt_id, "still": still, "look_id": looks[still], "is_later": 1}
        for attempt_id, still in missing
        if still in looks
    ]
    if rows:
        db.execute(insert_missing(ATTEMPT_LOOK, db.dialect.name), rows)


def bought_with(db: sa.Connection, attempt_ids: Sequence[int]) -> list[BoughtWith]:
    """Return the looks that these attempts were bought with."""
    found: list[BoughtWith] = []
    for some in in_chunks(attempt_ids):
        rows = db.execute(
            sa.select(ATTEMPT_LOOK.c.attempt_id, ATTEMPT_LOOK.c.is_later, LOOK)
            .join(LOOK, LOOK.c.look_id == ATTEMPT_LOOK.c.look_id)
            .where(ATTEMPT_LOOK.c.attempt_id.in_(some))
        )
        found += [BoughtWith(row.attempt_id, row.still, _seen(row), bool(row.is_later)) for row in rows]
    return found


def _seen(row: Any) -> SeenStill:
    return SeenStill(**{name: getattr(row, name) for name in _SEEN}, seen_at=aware_always(row.looked_at))
