"""Results of quality checks: functions of a connection in a transaction of its caller.

A row is what the newest check of an output found. It counts for the very file that was checked, and no other.
"""

import functools
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from animatic.ledger.moments import now
from animatic.ledger.prepared import Prepared
from animatic.ledger.records import Quality
from animatic.ledger.schema import ATTEMPT, CLIP, QUALITY, TAKE
from animatic.ledger.statements import in_chunks, insert_into
from animatic.takes.inputs import Inputs, read_request

COLUMNS = tuple(QUALITY.c[name] for name in Quality.__dataclass_fields__)
IS_OF_CLIP = sa.and_(
    QUALITY.c.attempt_id == CLIP.c.attempt_id, QUALITY.c.output == CLIP.c.output, QUALITY.c.sha256 == CLIP.c.sha256
)


class Bought(NamedTuple):
    """An attempt, as far as its clip can be held against it.

    Attributes:
        inputs: as asked; a local file by what identifies it.
        uploads: where its local files were uploaded, by what identifies them.
    """

    attempt_id: int
    fingerprint: str
    model: str
    inputs: Inputs
    uploads: dict[str, str]


@functools.cache
def _put(dialect: str) -> Prepared:
    """Return the statement that adds a row, or puts it in place of the one that is there."""
    new = {column.name: sa.bindparam(column.name, type_=column.type) for column in QUALITY.c}
    inserting = insert_into(QUALITY, dialect).values(new)
    values = {column.name: inserting.excluded[column.name] for column in QUALITY.c if not column.primary_key}
    return Prepared(inserting.on_conflict_do_update(index_elements=list(QUALITY.primary_key), set_=values))


def note(db: sa.Connection, found: Iterable[Quality]) -> None:
    """Write down what checks found, in place of what earlier ones did."""
    moment, rows = now(), list[dict[str, Any]]()
    for each in sorted(found, key=lambda quality: (quality.attempt_id, quality.output)):  # all take locks in this order
        values = {name: getattr(each, name) for name in Quality.__dataclass_fields__}
        rows.append(values | {"failed": json.dumps(each.failed), "checked_at": moment})
    _put(db.dialect.name).changed(db, rows)


def unchecked(db: sa.Connection, fingerprints: Sequence[str], version: int) -> list[str]:
    """Return those of these takes that have an archived clip which no check of this version has seen."""
    found: list[str] = []
    for some in in_chunks(fingerprints):
        rows = db.execute(
            sa.select(ATTEMPT.c.fingerprint)
            .join(CLIP, CLIP.c.attempt_id == ATTEMPT.c.attempt_id)
            .outerjoin(QUALITY, sa.and_(IS_OF_CLIP, QUALITY.c.version == version))
            .where(
                ATTEMPT.c.fingerprint.in_(some),
                CLIP.c.output == 1,
                CLIP.c.file.is_not(None),
                QUALITY.c.attempt_id.is_(None),
            )
            .distinct()
        )
        found += [row.fingerprint for row in rows]
    return found


def bought(db: sa.Connection, attempt_ids: Sequence[int]) -> list[Bought]:
    """Return what these attempts asked for."""
    found: list[Bought] = []
    for some in in_chunks(attempt_ids):
        rows = db.execute(
            sa.select(ATTEMPT.c.attempt_id, TAKE.c.fingerprint, TAKE.c.model, TAKE.c.request, ATTEMPT.c.uploads)
            .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
            .where(ATTEMPT.c.attempt_id.in_(some))
        )
        found += [
            Bought(
                row.attempt_id,
                row.fingerprint,
                row.model,
                read_request(row.request)[0],
                json.loads(row.uploads or "{}"),
            )
            for row in rows
        ]
    return found


def quality_of(row: Sequence[Any]) -> Quality | None:
    """Return the result in the values of COLUMNS; None where there is none."""
    values: dict[str, Any] = dict(zip(Quality.__dataclass_fields__, row, strict=True))
    if values["attempt_id"] is None:
        return None
    values["failed"] = tuple(json.loads(values["failed"]))
    return Quality(**values)
