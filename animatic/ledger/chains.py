"""Chained takes, and the takes whose last frames they start from: functions of a connection in a caller's transaction.

A shot that was bought keeps its source, whatever takes the other shot has since.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from animatic.errors import SourceError
from animatic.ledger import newest
from animatic.ledger.records import Intent
from animatic.ledger.schema import ATTEMPT, CHAIN
from animatic.ledger.statements import in_chunks, insert_missing
from animatic.takes.states import PAID, State

_BOUGHT = [state.value for state in (*PAID, State.SUBMITTING)]


def sources_of(db: sa.Connection, keys: Sequence[str]) -> dict[str, str]:
    """Return the take that each of these shots was bought with, by the shot's key; the newest purchase counts."""
    found: dict[str, str] = {}
    for some in in_chunks(keys):
        rows = db.execute(
            sa.select(CHAIN.c.key, CHAIN.c.source)
            .join(ATTEMPT, ATTEMPT.c.fingerprint == CHAIN.c.fingerprint)
            .where(CHAIN.c.key.in_(some), ATTEMPT.c.state.in_(_BOUGHT))
            .order_by(ATTEMPT.c.attempt_id)
        )
        found.update((row.key, row.source) for row in rows)
    return found


def takes_starting_from(db: sa.Connection, sources: Sequence[str]) -> list[str]:
    """Return the fingerprints of bought takes that start from the last frames of these."""
    found: dict[str, None] = {}
    for some in in_chunks(sources):
        rows = db.execute(
            sa.select(CHAIN.c.fingerprint)
            .join(ATTEMPT, ATTEMPT.c.fingerprint == CHAIN.c.fingerprint)
            .where(CHAIN.c.source.in_(some), ATTEMPT.c.state.in_(_BOUGHT))
            .order_by(ATTEMPT.c.attempt_id)
        )
        found.update(dict.fromkeys(row.fingerprint for row in rows))
    return list(found)


def remember(db: sa.Connection, fingerprint: str, key: str, source: str) -> None:
    """Write down which take another starts from."""
    values = {"fingerprint": fingerprint, "key": key, "source": source}
    db.execute(insert_missing(CHAIN, db.dialect.name), values)


def link(db: sa.Connection, intent: Intent) -> None:
    """Write down which take the intended one starts from.

    Raises:
        SourceError: that take is not completed, or another run has bought the same shot with another source since.
    """
    origin = intent.origin
    if origin is None:
        return
    found = newest.newest_status(db, origin.source, intent.run_id)
    state = None if found is None else found.take_status.state
    if state is not State.COMPLETED:
        raise SourceError(
            f"take {intent.fingerprint[:12]}: it starts from take {origin.source[:12]}, which is "
            f"{state or 'not bought'}, not completed; nothing was bought. Run again"
        )
    fixed = sources_of(db, [origin.key]).get(origin.key)
    if fixed is not None and fixed not in {origin.source, origin.instead_of}:
        raise SourceError(
            f"take {intent.fingerprint[:12]}: another run has bought this shot since, with take {fixed[:12]} as its "
            "source; nothing was bought. Run again"
        )
    remember(db, intent.fingerprint, origin.key, origin.source)
