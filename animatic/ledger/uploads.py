"""Addresses of uploaded stills by account: each a function of a connection in a transaction of its caller."""

import json
from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from animatic.ledger.moments import now
from animatic.ledger.schema import ATTEMPT, UPLOAD
from animatic.ledger.statements import in_chunks
from animatic.takes.chains import last_frame_of

EXPIRED = timedelta(days=8)
"""WaveSpeed keeps uploads for 7 days, so nothing depends on an older one."""


def find(db: sa.Connection, account: str, stills: Sequence[str], kept: timedelta) -> dict[str, str]:
    """Return the URLs of stills that were uploaded no longer ago than `kept`; what has expired goes, whose it ever was.

    Once for many stills, since it reads the whole table.
    """
    db.execute(UPLOAD.delete().where(UPLOAD.c.uploaded_at < now() - EXPIRED))
    found: dict[str, str] = {}
    for some in in_chunks(stills):
        rows = db.execute(
            sa.select(UPLOAD.c.still, UPLOAD.c.url).where(
                UPLOAD.c.account == account,
                UPLOAD.c.still.in_(some),
                UPLOAD.c.uploaded_at.between(now() - kept, now()),
            )
        )
        found.update({row.still: row.url for row in rows})
    return found


def remember(db: sa.Connection, account: str, still: str, url: str) -> None:
    """Write down where a still was uploaded."""
    db.execute(UPLOAD.delete().where(UPLOAD.c.account == account, UPLOAD.c.still == still))
    db.execute(UPLOAD.insert().values(account=account, still=still, url=url, uploaded_at=now()))


def forget(db: sa.Connection, account: str, still: str, attempt_id: int) -> str:
    """Forget an upload that an attempt was sent with, unless the still was uploaded again since; return its URL."""
    sent = db.execute(sa.select(ATTEMPT.c.uploads).where(ATTEMPT.c.attempt_id == attempt_id)).scalar_one()
    url = str(json.loads(sent or "{}").get(still, ""))
    db.execute(UPLOAD.delete().where(UPLOAD.c.account == account, UPLOAD.c.still == still, UPLOAD.c.url == url))
    return url


def forget_last_frame(db: sa.Connection, fingerprint: str) -> None:
    """Forget where the last frame of a take was uploaded, since its clip is to be another."""
    db.execute(UPLOAD.delete().where(UPLOAD.c.still == last_frame_of(fingerprint)))
