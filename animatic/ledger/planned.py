"""Takes that shots asked for: written once for each change of a manifest, read by `ledger show`."""

import functools
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from animatic.ledger import aliases
from animatic.ledger.moments import aware, now
from animatic.ledger.prepared import Prepared
from animatic.ledger.schema import ATTEMPT, MANIFEST, PLANNED, RUN, TAKE
from animatic.ledger.statements import in_chunks, insert_missing
from animatic.takes.inputs import Inputs, read_request
from animatic.takes.states import PAID

MOST_TAKES_SHOWN = 1_000
LONG_ROWS = 200_000
"""From this row on a manifest is long: the names of its shots fill more memory than SQLite uses by itself."""

_USUAL_CACHE_KIB = 2_000
_CACHE_KIB = 32_000
"""Enough for the index of the names of a million takes."""


class PlannedTake(NamedTuple):
    """One take as a row of a manifest asks for it."""

    row: int
    take: int
    storyboard: str
    shot_id: str
    fingerprint: str


def is_new(db: sa.Connection, provider: str) -> bool:
    """Tell if a ledger holds no take of this provider."""
    return db.execute(sa.select(TAKE.c.fingerprint).where(TAKE.c.provider == provider).limit(1)).first() is None


def content_of(db: sa.Connection, uri: str) -> str | None:
    """Return what a manifest held when it was last planned, or None where it never was."""
    return db.execute(sa.select(MANIFEST.c.content).where(MANIFEST.c.uri == uri)).scalar()


def rows_of(db: sa.Connection, uri: str) -> int | None:
    """Return how many rows a manifest had when it was last planned, or None where that is not known."""
    return db.execute(sa.select(MANIFEST.c.num_rows).where(MANIFEST.c.uri == uri)).scalar()


def add(db: sa.Connection, uri: str, asked: Sequence[PlannedTake]) -> None:
    """Write down takes that a manifest asks for; those that are there already change nothing."""
    manifest_id = _manifest_id(db, uri)
    same = {"manifest_id": manifest_id, "planned_at": now()}
    if asked:
        rows = [dict(zip(PlannedTake._fields, each, strict=True)) | same for each in asked]
        if asked[-1].row > LONG_ROWS:
            _cache(db, _CACHE_KIB)
        _add_missing(db.dialect.name).changed(db, rows)


def _cache(db: sa.Connection, kib: int) -> None:
    """Let SQLite hold so much of the file. Each name goes to another page of an index, which it would write at once."""
    if db.dialect.name == "sqlite":
        db.exec_driver_sql(f"PRAGMA cache_size=-{kib}")


@functools.cache
def _add_missing(dialect: str) -> Prepared:
    columns = (PLANNED.c[name] for name in ("manifest_id", *PlannedTake._fields, "planned_at"))
    new = {column.name: sa.bindparam(column.name, type_=column.type) for column in columns}
    return Prepared(insert_missing(PLANNED, dialect).values(new))


def finish(db: sa.Connection, uri: str, content: str, num_rows: int) -> None:
    """Write down that all of what a manifest holds now is there, and how many rows it has."""
    changed = MANIFEST.update().where(MANIFEST.c.manifest_id == _manifest_id(db, uri))
    db.execute(changed.values(content=content, num_rows=num_rows))
    _cache(db, _USUAL_CACHE_KIB)


def _manifest_id(db: sa.Connection, uri: str) -> int:
    found = db.execute(sa.select(MANIFEST.c.manifest_id).where(MANIFEST.c.uri == uri)).scalar()
    if found is not None:
        return int(found)
    made = db.execute(MANIFEST.insert().values(uri=uri, content=""))
    return int((made.inserted_primary_key or (0,))[0])


def manifests_with(db: sa.Connection, shot_id: str) -> list[str]:
    """Return the manifests that have a shot of this name."""
    rows = db.execute(
        sa.select(MANIFEST.c.uri)
        .join(PLANNED, PLANNED.c.manifest_id == MANIFEST.c.manifest_id)
        .where(PLANNED.c.shot_id == shot_id)
        .distinct()
        .order_by(MANIFEST.c.uri)
    )
    return [row.uri for row in rows]


def takes_of_shot(db: sa.Connection, shot_id: str, uri: str) -> list[dict[str, Any]]:
    """Return each take that a shot has asked for, oldest first: row, take, storyboard, fingerprint, planned_at."""
    first = (
        sa.select(sa.func.min(PLANNED.c.planned_id))
        .join(MANIFEST, MANIFEST.c.manifest_id == PLANNED.c.manifest_id)
        .where(PLANNED.c.shot_id == shot_id, MANIFEST.c.uri == uri)
        .group_by(PLANNED.c.fingerprint, PLANNED.c.take)
    )
    rows = db.execute(
        sa.select(
            *(PLANNED.c.row, PLANNED.c.take, PLANNED.c.storyboard, PLANNED.c.shot_id, PLANNED.c.fingerprint),
            PLANNED.c.planned_at,
        )
        .where(PLANNED.c.planned_id.in_(first))
        .order_by(PLANNED.c.planned_id)
        .limit(MOST_TAKES_SHOWN)
    )
    return [dict(row) | {"manifest": uri} for row in rows.mappings()]


def names_of(db: sa.Connection, fingerprints: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return how shots call their takes, `harbour take 1`, by fingerprint and manifest, and by fingerprint and "".

    The latter is the name of the manifest that asked for it first.
    """
    found: dict[tuple[str, str], str] = {}
    for some in in_chunks(fingerprints):
        rows = db.execute(
            sa.select(PLANNED.c.fingerprint, MANIFEST.c.uri, PLANNED.c.shot_id, PLANNED.c.take)
            .join(MANIFEST, MANIFEST.c.manifest_id == PLANNED.c.manifest_id)
            .where(PLANNED.c.fingerprint.in_(some))
            .order_by(PLANNED.c.planned_id)
        )
        for row in rows:
            for manifest in (row.uri, ""):
                found.setdefault((row.fingerprint, manifest), f"{row.shot_id} take {row.take}")
    return found


def requests_of_shot(db: sa.Connection, shot_id: str, uri: str) -> list[str]:
    """Return the request of each take of a shot that was bought, oldest first; `inputs.read_request` reads them."""
    bought = sa.select(ATTEMPT.c.fingerprint).where(ATTEMPT.c.state.in_([state.value for state in PAID]))
    rows = db.execute(
        sa.select(TAKE.c.request)
        .join(PLANNED, PLANNED.c.fingerprint == TAKE.c.fingerprint)
        .join(MANIFEST, MANIFEST.c.manifest_id == PLANNED.c.manifest_id)
        .where(PLANNED.c.shot_id == shot_id, MANIFEST.c.uri == uri, TAKE.c.fingerprint.in_(bought))
        .group_by(TAKE.c.fingerprint)
        .order_by(sa.func.min(PLANNED.c.planned_id))
        .limit(MOST_TAKES_SHOWN)
    )
    return [row.request for row in rows]


def versions_of(db: sa.Connection, uri: str | None, fingerprints: Sequence[str]) -> dict[str, int]:
    """Return the number of the version of its shot that each take belongs to, from 1, as a manifest planned them.

    Without a `uri` as the manifest did that asked for it first.
    A version is what a shot asked for at one time; its takes have other fingerprints than those of the version before.
    """
    if not fingerprints:
        return {}
    of_manifest = sa.select(MANIFEST.c.manifest_id).where(MANIFEST.c.uri == uri).scalar_subquery()
    mine, other = PLANNED.alias("mine"), PLANNED.alias("other")
    is_same_shot = sa.and_(
        other.c.manifest_id == mine.c.manifest_id,
        other.c.shot_id == mine.c.shot_id,
        other.c.storyboard == mine.c.storyboard,
        other.c.take == mine.c.take,
        other.c.planned_id <= mine.c.planned_id,
    )
    found: dict[str, int] = {}
    for some in in_chunks(fingerprints):
        rows = db.execute(
            sa.select(mine.c.fingerprint, sa.func.count(other.c.fingerprint.distinct()))
            .join(other, is_same_shot)
            .where(mine.c.fingerprint.in_(some), *([] if uri is None else [mine.c.manifest_id == of_manifest]))
            .group_by(mine.c.fingerprint, mine.c.planned_id)
            .order_by(mine.c.planned_id.desc())
        )
        found.update((row[0], int(row[1])) for row in rows)
    return found


def takes_beginning(db: sa.Connection, start: str) -> list[str]:
    """Return the present fingerprints of takes whose fingerprint or alias starts with `start`; at most a few."""
    if len(start) < 8 or not start.isalnum():
        return []
    found = db.execute(
        sa.select(TAKE.c.fingerprint).where(TAKE.c.fingerprint.startswith(start, autoescape=True)).limit(10)
    ).scalars()
    planned = db.execute(
        sa.select(PLANNED.c.fingerprint)
        .where(PLANNED.c.fingerprint.startswith(start, autoescape=True))
        .distinct()
        .limit(10)
    ).scalars()
    return sorted({*found, *planned, *aliases.beginning_with(db, start)})


class Request(NamedTuple):
    """Request of a take; the inputs are in canonical form, without the still."""

    model: str
    inputs: Inputs
    take: int | None


def bought_among(db: sa.Connection, provider: str, asked: Collection[Request]) -> set[Request]:
    """Return those of these requests that were bought before, with whatever still."""
    bought = sa.select(ATTEMPT.c.fingerprint).where(ATTEMPT.c.state.in_([state.value for state in PAID]))
    rows = db.execute(
        sa.select(TAKE.c.model, TAKE.c.request).where(TAKE.c.provider == provider, TAKE.c.fingerprint.in_(bought))
    )
    found: set[Request] = set()
    for model, text in rows:
        inputs, take = read_request(text)
        of = Request(model, inputs.without("image").canonical(), take)
        if of in asked:
            found.add(of)
    return found


def attempts_at(db: sa.Connection, fingerprint: str) -> list[dict[str, Any]]:
    """Return every attempt at a take over all runs, oldest first, those of its aliases included."""
    names = [fingerprint, *aliases.apart(db).get(fingerprint, [])]
    rows = db.execute(
        sa.select(
            *(ATTEMPT.c.attempt_no, ATTEMPT.c.state, ATTEMPT.c.run_id, ATTEMPT.c.allowed_by),
            *(ATTEMPT.c.quoted_microusd, ATTEMPT.c.prediction_id, ATTEMPT.c.submitted_at, ATTEMPT.c.completed_at),
            *(ATTEMPT.c.error_code, ATTEMPT.c.error, RUN.c.manifest, TAKE.c.provider),
        )
        .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
        .join(RUN, RUN.c.run_id == ATTEMPT.c.run_id)
        .where(ATTEMPT.c.fingerprint.in_(names))
        .order_by(ATTEMPT.c.attempt_id)
    )
    return [
        dict(row) | {name: aware(row[name]) for name in ("submitted_at", "completed_at")} for row in rows.mappings()
    ]
