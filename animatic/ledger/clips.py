"""Clips and where they are kept: each a function of a connection in a transaction of its caller.

A row is one output of an attempt in one archive, under one name. It is written before the clip is fetched, so that no
other run fetches it too and no other clip gets the name; it holds the file once that is there.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from animatic.errors import LedgerError
from animatic.ledger import quality
from animatic.ledger.moments import aware, now
from animatic.ledger.prepared import Prepared
from animatic.ledger.records import Clip, KeptClip, WantedClip
from animatic.ledger.schema import ATTEMPT, CLIP, PLANNED, QUALITY, TAKE
from animatic.ledger.statements import in_chunks, insert_missing

MOST_ROWS, MOST_DESCRIBED = 5_000, 20_000
MOST_NAMESAKES = 1_000
USUAL_OF = 1_000
_NAMES = tuple(name for name in Clip.__dataclass_fields__ if name != "quality")
_COLUMNS = tuple(CLIP.c[name] for name in _NAMES)
_NEWEST_PLANNED = (
    sa.select(PLANNED.c.fingerprint, sa.func.max(PLANNED.c.planned_id).label("newest"))
    .group_by(PLANNED.c.fingerprint)
    .subquery("newest_planned")
)
"""All at once: looked for take by take, each would be a scan."""

_DESCRIBED = (
    sa.select(
        *(CLIP.c.clip_id, CLIP.c.file, CLIP.c.output, CLIP.c.sha256, CLIP.c.size_bytes, CLIP.c.duration_s),
        *(CLIP.c.width, CLIP.c.height, CLIP.c.fps, CLIP.c.frames, PLANNED.c.storyboard, PLANNED.c.shot_id),
        *(TAKE.c.model, TAKE.c.request, ATTEMPT.c.has_nsfw_contents, ATTEMPT.c.inference_ms, ATTEMPT.c.completed_at),
        *(ATTEMPT.c.prediction_id, ATTEMPT.c.run_id, ATTEMPT.c.fingerprint),
        *(QUALITY.c.failed, QUALITY.c.first_frame_similarity, QUALITY.c.black_fraction),
        *(QUALITY.c.frozen_fraction, QUALITY.c.cuts, QUALITY.c.motion),
    )
    .join(ATTEMPT, ATTEMPT.c.attempt_id == CLIP.c.attempt_id)
    .outerjoin(QUALITY, quality.IS_OF_CLIP)
    .join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint)
    .outerjoin(_NEWEST_PLANNED, _NEWEST_PLANNED.c.fingerprint == ATTEMPT.c.fingerprint)
    .outerjoin(PLANNED, PLANNED.c.planned_id == _NEWEST_PLANNED.c.newest)
)
DESCRIBED = tuple(column.name for column in _DESCRIBED.selected_columns)
"""Names of the columns of `described_clips`; moments are in UTC, without a zone."""

_OF_FILE = tuple(name for name in KeptClip.__dataclass_fields__ if name != "clip_id")
_OF_BOOKING = ("attempt_id", "output", "archive", "name", "run_id")
_IS_FILE = Prepared(
    CLIP.update()
    .where(CLIP.c.clip_id == sa.bindparam("of_clip"))
    .values({name: sa.bindparam(name, type_=CLIP.c[name].type) for name in (*_OF_FILE, "archived_at")})
)


_Rows = dict[tuple[int, int], list[Clip]]
"""Rows by output: the id of the attempt, and the number of its output."""

_New = dict[tuple[int, int], Clip]
"""The one row of each output."""


@dataclass(frozen=True, slots=True)
class Booking:
    """One output in an archive, after a run has asked for it.

    Attributes:
        clip: its row; fetched by the run that it names, unless the file is there.
        copies: rows of the same output whose file is there, in this archive under another name or elsewhere.
    """

    clip: Clip
    copies: tuple[Clip, ...]


def book(db: sa.Connection, archive: str, wanted: Sequence[WantedClip], run_id: str) -> list[Booking]:
    """Return each output's row in an archive, made under the first name that is free where there is none yet.

    A row that another run booked stays that run's; `take_over_booking` changes that. Safe while others
    book: a name is free if its row can be added.
    """
    rows = _rows_of(db, [each.attempt_id for each in wanted])
    found = [_booked(archive, each, rows) for each in wanted]
    new = [(each, *each.names[0]) for each, booking in zip(wanted, found, strict=True) if booking is None]
    made = _add(db, archive, new, run_id)
    return [
        booking or _new_booking(made, rows, each) or _book_one(db, archive, each, run_id)
        for each, booking in zip(wanted, found, strict=True)
    ]


def _rows_of(db: sa.Connection, attempt_ids: Iterable[int]) -> _Rows:
    """Return all rows of these attempts, by output, in the order in which they were booked."""
    rows: _Rows = {}
    for some in in_chunks(sorted(set(attempt_ids))):
        for row in db.execute(sa.select(*_COLUMNS).where(CLIP.c.attempt_id.in_(some)).order_by(CLIP.c.clip_id)):
            clip = _clip(row)
            rows.setdefault((clip.attempt_id, clip.output), []).append(clip)
    return rows


def _booked(archive: str, wanted: WantedClip, rows: _Rows) -> Booking | None:
    """Return an output's row in an archive under one of its names; None where there is none."""
    names, of_output = dict(wanted.names), rows.get((wanted.attempt_id, wanted.output), [])
    known = [row for row in of_output if row.archive == archive and (row.name in names or _is_numbered(wanted, row))]
    return Booking(known[-1], _copies(of_output, known[-1].clip_id)) if known else None


def _numbered(wanted: WantedClip) -> Iterator[tuple[str, str]]:
    """Yield more names for an output whose own names are all taken, each with its key."""
    last, last_key = wanted.names[-1]
    return ((f"{last}_{number}", f"{last_key}_{number}") for number in range(2, MOST_NAMESAKES))


def _is_numbered(wanted: WantedClip, row: Clip) -> bool:
    stem, _, number = row.name.rpartition("_")
    return stem == wanted.names[-1][0] and number.isdecimal()


def _copies(of_output: Sequence[Clip], but: int = 0) -> tuple[Clip, ...]:
    return tuple(row for row in of_output if row.file is not None and row.clip_id != but)


def _add(db: sa.Connection, archive: str, named: Sequence[tuple[WantedClip, str, str]], run_id: str) -> _New:
    """Add a row for each output whose name is free, and return these."""
    in_order = sorted(named, key=lambda each: each[2])  # all take locks in this order
    clips = [(Clip(0, each.attempt_id, each.output, archive, name, run_id), key) for each, name, key in in_order]
    if not clips:
        return {}
    values = [{each: getattr(clip, each) for each in _OF_BOOKING} | {"name_key": key} for clip, key in clips]
    adding = insert_missing(CLIP, db.dialect.name).returning(CLIP.c.clip_id, CLIP.c.attempt_id, CLIP.c.output)
    ids = {(row.attempt_id, row.output): int(row.clip_id) for row in db.execute(adding, values)}
    of_outputs = {(clip.attempt_id, clip.output): clip for clip, _ in clips}
    return {output: replace(of_outputs[output], clip_id=clip_id) for output, clip_id in ids.items()}


def _new_booking(made: _New, rows: _Rows, wanted: WantedClip) -> Booking | None:
    output = (wanted.attempt_id, wanted.output)
    return Booking(made[output], _copies(rows.get(output, []))) if output in made else None


def _book_one(db: sa.Connection, archive: str, wanted: WantedClip, run_id: str) -> Booking:
    """Book an output whose first name is taken, perhaps by another run that booked the same one just now."""
    for name, key in itertools.chain(wanted.names, _numbered(wanted)):
        rows = _rows_of(db, [wanted.attempt_id])
        if (booking := _booked(archive, wanted, rows)) is not None:
            return booking
        made = _add(db, archive, [(wanted, name, key)], run_id)
        if (booking := _new_booking(made, rows, wanted)) is not None:
            return booking
    raise LedgerError(
        f"archive {archive}: no name is left for {wanted.names[-1][0]}; give another --clip-name, or another folder"
    )


def take_over_booking(db: sa.Connection, known: Clip, run_id: str) -> bool:
    """Make another run's booking this run's; False where it is not as it was read any more.

    That run may be dead, have given the clip up, or take too long; it may still keep the clip.
    """
    mine = CLIP.update().where(*_as_read(known)).values(run_id=run_id)
    return db.execute(mine).rowcount == 1


def _as_read(known: Clip) -> tuple[sa.ColumnElement[bool], ...]:
    is_of_file = CLIP.c.file.is_(None) if known.file is None else CLIP.c.file == known.file
    return CLIP.c.clip_id == known.clip_id, CLIP.c.run_id == known.run_id, is_of_file


def keep(db: sa.Connection, clips: Iterable[KeptClip]) -> None:
    """Write down that clips are in their archive; `error` says what is wrong with one all the same."""
    moment, rows = now(), list[dict[str, Any]]()
    for each in sorted(clips, key=lambda clip: clip.clip_id):  # all take locks in this order
        rows.append({name: getattr(each, name) for name in _OF_FILE} | {"of_clip": each.clip_id, "archived_at": moment})
    _IS_FILE.changed(db, rows)


def give_up(db: sa.Connection, known: Clip, error: str) -> None:
    """Record why a clip is not archived, unless another run has the booking by now, or has kept the clip.

    The next run looks in the folder for a file that was recorded before: a disk may have been away.
    """
    db.execute(CLIP.update().where(*_as_read(known)).values(file=None, error=error))


def usual_size_bytes(db: sa.Connection) -> int | None:
    """Return the mean size in bytes of the newest archived clips; None where there are none."""
    newest = (
        sa.select(CLIP.c.size_bytes)
        .where(CLIP.c.size_bytes.is_not(None))
        .order_by(CLIP.c.clip_id.desc())
        .limit(USUAL_OF)
        .subquery()
    )
    found = db.execute(sa.select(sa.cast(sa.func.avg(newest.c.size_bytes), sa.Float))).scalar()
    return None if found is None else round(found)


def clips_in(db: sa.Connection, archive: str, after: int) -> list[tuple[int, int, str, str | None, int | None]]:
    """Return some thousands of the rows of an archive after a clip_id: clip_id, attempt_id, name, file, size_bytes."""
    rows = db.execute(
        sa.select(CLIP.c.clip_id, CLIP.c.attempt_id, CLIP.c.name, CLIP.c.file, CLIP.c.size_bytes)
        .where(CLIP.c.archive == archive, CLIP.c.clip_id > after)
        .order_by(CLIP.c.clip_id)
        .limit(MOST_ROWS)
    )
    return [(row.clip_id, row.attempt_id, row.name, row.file, row.size_bytes) for row in rows]


def described_clips(db: sa.Connection, archive: str, after: int) -> Sequence[Sequence[Any]]:
    """Return some thousands of the clips in an archive after a clip_id, with their takes, as DESCRIBED has it."""
    return db.execute(
        _DESCRIBED.where(CLIP.c.archive == archive, CLIP.c.clip_id > after, CLIP.c.file.is_not(None))
        .order_by(CLIP.c.clip_id)
        .limit(MOST_DESCRIBED)
    ).all()


def clips_of(db: sa.Connection, fingerprints: Sequence[str]) -> list[tuple[str, Clip]]:
    """Return all clips of these takes' attempts, with the take's fingerprint and what checks found, oldest first."""
    found: list[tuple[str, Clip]] = []
    for some in in_chunks(fingerprints):
        rows = db.execute(
            sa.select(ATTEMPT.c.fingerprint, *_COLUMNS, *quality.COLUMNS)
            .join(ATTEMPT, ATTEMPT.c.attempt_id == CLIP.c.attempt_id)
            .outerjoin(QUALITY, quality.IS_OF_CLIP)
            .where(ATTEMPT.c.fingerprint.in_(some))
            .order_by(CLIP.c.clip_id)
        )
        end = 1 + len(_COLUMNS)
        found += [(row[0], replace(_clip(row[1:end]), quality=quality.quality_of(row[end:]))) for row in rows]
    return found


def _clip(row: Sequence[Any]) -> Clip:
    values: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    values["archived_at"] = aware(values["archived_at"])
    return Clip(**values)
