"""Manifests of inboxes: which run works on each, and how far it is. Functions of a connection in a transaction.

A manifest is held by at most one run. Holding is one UPDATE that names the row as it was read, so that of two runs
that read the same row one changes it and the other changes nothing, on SQLite and on PostgreSQL alike. Whether a
holder is alive is for the caller to say.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from animatic.ledger.moments import aware, aware_always, now
from animatic.ledger.schema import INBOX
from animatic.ledger.statements import in_chunks, insert_missing
from animatic.takes.inbox_files import FileState, InboxEnd, InboxFile


def find(db: sa.Connection, provider: str, uris: Sequence[str]) -> dict[str, InboxFile]:
    """Return the files that the ledger knows, by URI."""
    found: dict[str, InboxFile] = {}
    for some in in_chunks(uris):
        rows = db.execute(sa.select(INBOX).where(INBOX.c.provider == provider, INBOX.c.uri.in_(some)))
        found.update({row.uri: _file(row) for row in rows})
    return found


def note_marks(db: sa.Connection, provider: str, marks: Mapping[str, str]) -> None:
    """Record the mark of each file, with the moment at which the mark was first seen."""
    moment, missing = now(), insert_missing(INBOX, db.dialect.name)
    for uri, mark in marks.items():
        db.execute(missing.values(provider=provider, uri=uri, mark=mark, marked_at=moment, state=FileState.NEW.value))
        moved = INBOX.update().where(INBOX.c.provider == provider, INBOX.c.uri == uri, INBOX.c.mark != mark)
        db.execute(moved.values(mark=mark, marked_at=moment))


def note_foreign(db: sa.Connection, provider: str, uri: str, content: str) -> None:
    """Write down that a file is no manifest; one that a run holds stays as it is."""
    of_file = (INBOX.c.provider == provider, INBOX.c.uri == uri, INBOX.c.holder.is_(None))
    values = {"content": content, "state": FileState.FOREIGN.value, "problem": None, "ended_at": now()}
    db.execute(INBOX.update().where(*of_file).values(values))


def note_settled(db: sa.Connection, known: InboxFile) -> None:
    """Record that a file whose mark moved is the same as before, so that it need not be read again."""
    as_read = (INBOX.c.provider == known.provider, INBOX.c.uri == known.uri, INBOX.c.mark == known.mark)
    db.execute(INBOX.update().where(*as_read, INBOX.c.holder.is_(None)).values(ended_at=now()))


def hold(db: sa.Connection, known: InboxFile, content: str, results: str, run_id: str) -> bool:
    """Let a run hold a file, in the place of a dead run if there is one; False where another run was faster.

    `known` is the file as it was read, with no holder or with one that is dead.
    """
    free = INBOX.c.holder.is_(None) if known.holder is None else INBOX.c.holder == known.holder
    as_read = (INBOX.c.provider == known.provider, INBOX.c.uri == known.uri, INBOX.c.runs == known.runs, free)
    held = INBOX.update().where(*as_read).values(holder=run_id, content=content, results=results, runs=known.runs + 1)
    return db.execute(held).rowcount == 1


def release(db: sa.Connection, known: InboxFile, run_id: str, end: InboxEnd) -> bool:
    """Write down the end of a run's work on a file; False where it is not that run's any more.

    `known` is the file as it was before. One that has changed since is not done.
    """
    mine = (INBOX.c.provider == known.provider, INBOX.c.uri == known.uri, INBOX.c.holder == run_id)
    is_same = INBOX.c.mark == known.mark
    values: dict[str, Any] = {
        "holder": None,
        "state": sa.case((is_same, end.state.value), else_=FileState.OPEN.value),
        "counts": json.dumps(dict(end.counts)),
        "spent_microusd": end.spent_microusd,
        "problem": end.problem or None,
        "ended_at": now(),
    }
    return db.execute(INBOX.update().where(*mine).values(**values)).rowcount == 1


def _file(row: Any) -> InboxFile:
    return InboxFile(
        provider=row.provider,
        uri=row.uri,
        mark=row.mark,
        marked_at=aware_always(row.marked_at),
        content=row.content,
        results=row.results,
        state=FileState(row.state),
        holder=row.holder,
        runs=row.runs,
        counts=json.loads(row.counts or "{}"),
        spent_microusd=row.spent_microusd,
        problem=row.problem or "",
        ended_at=aware(row.ended_at),
    )
