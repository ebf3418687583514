"""Copies of a ledger into another database, row by row, and checked so: to move it, and to back it up.

A copy is all or nothing: its rows are committed together with the word that it is whole. Until then no run opens it.
"""

import functools
import os
import secrets
import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from animatic.errors import FixInputError, LedgerUnusableError
from animatic.ledger import liveness, newest
from animatic.ledger.databases import Database
from animatic.ledger.opening import (
    COPY_OF,
    MOVED_TO,
    Opened,
    find_database,
    looking_on,
    make,
    meta_value,
    open_database,
    read_only,
)
from animatic.ledger.schema import (
    ALEMBIC_VERSION,
    ATTEMPT,
    LAST_COMMIT,
    META,
    METADATA,
    PACE,
    RUN,
    SLOTS,
    STARTS,
    TAKE,
)
from animatic.ledger.sqlite_file import SqliteFile
from animatic.machine.durability import sync_folder
from animatic.pace.limits import MINUTE_S
from animatic.takes.states import State

ROWS_AT_ONCE = 2_000
_OF_A_CLOCK = (STARTS, PACE, SLOTS)
"""Tables whose moments are of one machine's or server's clock; instead of them, starts are paused for a minute."""
_OWN = {"ledger_id", COPY_OF, MOVED_TO}
"""Names in `meta` of values that a copy has of its own."""

Progress = Callable[[str, int], None]
"""Gets a table's name and how many of its rows are copied."""


class Copied(NamedTuple):
    """Counts of what was copied and compared."""

    takes: int
    attempts: int
    rows: int


def copy_ledger(url: str, to: str, progress: Progress) -> Copied:
    """Move a ledger: copy it row by row into a database without one, and close it in favour of that.

    A copy that ends half way is begun again by the same call; until it is whole, neither is opened by a run.

    Raises:
        FixInputError: there is no ledger, or it is in use; or the other database holds takes.
        LedgerError: one of the two cannot be used, or the copy differs from what was read.
    """
    source, target = find_database(url), find_database(to)
    if source.place == target.place:
        raise FixInputError(f"ledger {source.name}: found twice; give two databases, FROM and TO")
    with _opened_to_copy(source) as old:
        target.may_hold_ledger()
        new = open_database(target, may_be_closed=True)
        try:
            with new.engine.begin() as db:
                require_empty(db)
                mark_as_copy(db, source.name)
            with old.engine.begin() as db:
                close_for(db, target.name, functools.partial(_live_among, old))
            with _reopening_unless_whole(old, new):
                return copy_rows(old, new, progress)
        except FixInputError as error:
            raise FixInputError(f"ledger {source.name} to {target.name}: {error}") from None
        finally:
            new.engine.dispose()


def back_up_ledger(url: str, file: Path, progress: Progress) -> Copied | None:
    """Write a copy of a ledger into a new file of SQLite, while runs go on; counts, unless it is a file itself.

    Raises:
        FixInputError: there is none; or the file exists, or cannot be made.
        LedgerError: the ledger cannot be used, or the copy is not what was read.
    """
    source = find_database(url)
    with _opened_to_copy(source) as old:
        return back_up(old, file, progress)


def verify_ledger(url: str) -> newest.Holdings:
    """Read all of a ledger, such as a backup, and count what it holds. Changes nothing.

    Raises:
        FixInputError: there is none, or it is of another version.
        LedgerError: it is damaged, or cannot be read.
    """
    database = find_database(url)
    if not database.may_hold_ledger():
        raise FixInputError(f"ledger {database.name}: there is none; name one that exists")
    return read_only(database, lambda db: (database.require_sound(db), newest.holdings(db))[1])


@contextmanager
def _opened_to_copy(database: Database) -> Generator[Opened]:
    if not database.may_hold_ledger():
        raise FixInputError(f"ledger {database.name}: there is none, so there is nothing to copy; name one that exists")
    opened = open_database(database, may_be_restored=True, may_be_closed=True)
    try:
        yield opened
    finally:
        opened.engine.dispose()


@contextmanager
def _reopening_unless_whole(old: Opened, new: Opened) -> Generator[None]:
    """Reopen a ledger whose copy has certainly failed: the two are never open at the same time."""
    try:
        yield
    except BaseException:
        with old.engine.begin() as db, new.engine.begin() as copied:  # in the order in which rows are copied
            if not is_whole(copied):
                reopen(db)
        raise


def _live_among(opened: Opened, run_ids: Sequence[str]) -> list[str]:
    """Return the runs that are under way, and those that have died and left replies which the ledger does not have."""
    elsewhere = opened.database.elsewhere()
    try:
        live = set(elsewhere.live_among(run_ids))
    finally:
        elsewhere.close()
    owed = liveness.receipts_left_behind(opened.beside)
    return [each for each in run_ids if each in live or each in owed or liveness.is_alive(opened.beside, each)]


def close_for(db: sa.Connection, name: str, live_among: Callable[[Sequence[str]], Sequence[str]]) -> None:
    """Close a ledger in favour of the one of this name, while nothing is under way on it.

    `live_among` tells which runs live, or have left replies that are not in the ledger yet. It is asked inside the
    transaction: a run holds its lock before it begins here.

    Raises:
        FixInputError: something is under way, or it was closed in favour of another.
    """
    moved_to = meta_value(db, MOVED_TO)
    if moved_to is not None and moved_to != name:
        raise FixInputError(f"it was copied to {moved_to} before, which goes on; copy that one")
    if live := live_among(list(db.execute(sa.select(RUN.c.run_id)).scalars())):
        raise FixInputError(
            f"run {live[0]} is under way on it, or has died and left replies; let it end, or run animatic reconcile, "
            "then copy"
        )
    if db.execute(sa.select(sa.func.count()).where(ATTEMPT.c.state == State.SUBMITTING.value)).scalar_one():
        raise FixInputError("a run has died in the middle of a submission; run animatic reconcile, then copy")
    if moved_to is None:
        db.execute(META.insert().values(name=MOVED_TO, value=name))


def _require_closed_for(db: sa.Connection, name: str) -> None:
    """Refuse to copy a ledger that another copy, which failed, has opened again since it was closed."""
    if meta_value(db, MOVED_TO) != name:
        raise FixInputError("another copy of it failed, and has opened it again; copy again")


def is_whole(db: sa.Connection) -> bool:
    """Tell if a copy was committed."""
    return meta_value(db, COPY_OF) is None


def reopen(db: sa.Connection) -> None:
    """Take the closing of a ledger back."""
    db.execute(META.delete().where(META.c.name == MOVED_TO))


def copy_rows(source: Opened, target: Opened, progress: Progress, *, is_backup: bool = False) -> Copied:
    """Copy all rows into a ledger that holds no take, compare them one by one, and say that it is whole.

    A backup keeps the ledger's id: it can be put back.

    Raises:
        FixInputError: the other holds takes already.
        LedgerUnusableError: what was written is not what was read.
    """
    rows = 0
    with looking_on(source.engine) if is_backup else source.engine.begin() as old, target.engine.begin() as new:
        if not is_backup:
            _require_closed_for(old, target.database.name)
        require_empty(new)
        for table in METADATA.sorted_tables:
            if table in {META, ALEMBIC_VERSION, LAST_COMMIT, *_OF_A_CLOCK} or not table.primary_key.columns:
                continue
            count = 0
            with closing(_rows_of(old, table)) as parts:
                for some in parts:
                    new.execute(table.insert(), [dict(zip(table.c.keys(), row, strict=True)) for row in some])
                    count += len(some)
                    progress(table.name, count)
            _require_same(old, new, table)
            _go_on_counting(new, table)
            rows += count
        _copy_meta(old, new, is_backup=is_backup)
        _pause_starts(target, new)
        takes, attempts = (
            int(new.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()) for table in (TAKE, ATTEMPT)
        )
    return Copied(takes, attempts, rows)


def mark_as_copy(db: sa.Connection, name: str) -> None:
    """Mark a ledger without takes as a copy of the one of this name that is not whole yet."""
    db.execute(META.delete().where(META.c.name == COPY_OF))
    db.execute(META.insert().values(name=COPY_OF, value=name))


def require_empty(db: sa.Connection) -> None:
    """Refuse to copy over takes.

    Raises:
        FixInputError: there are some.
    """
    if db.execute(sa.select(sa.func.count()).select_from(TAKE)).scalar_one():
        raise FixInputError("the other holds takes already; copy into a database without a ledger")


def back_up(source: Opened, file: Path, progress: Progress) -> Copied | None:
    """Copy a ledger into a new file that only its owner can read; it is put in its place when it is whole.

    Raises:
        FixInputError: the file exists, or cannot be made.
        LedgerUnusableError: the copy is not what was read.
    """
    if file.exists() or file.is_symlink():
        raise FixInputError(f"{file}: found a file there; give a name that is free")
    half = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        os.close(os.open(half, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        copied = (
            _copy_file(source.database.path, half)
            if isinstance(source.database, SqliteFile)
            else _copy_into_file(source, half, progress)
        )
        os.link(half, file)  # unlike a rename it replaces nothing
        sync_folder(file.parent)
    except FileExistsError:
        raise FixInputError(f"{file}: found a file there; give a name that is free") from None
    except (OSError, sqlite3.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise FixInputError(f"{file}: cannot be written ({said}); give a place with room that can be written") from None
    finally:
        with suppress(OSError):  # it is a name of our own, which nothing takes for a ledger
            half.unlink()
    return copied


def _copy_file(file: Path, to: Path) -> None:
    """Copy a file by SQLite's own backup, which waits for no run and keeps none waiting for long."""
    with closing(sqlite3.connect(file, timeout=30)) as old, closing(sqlite3.connect(to)) as new:
        new.execute("PRAGMA synchronous=EXTRA")
        old.backup(new, pages=1_024, sleep=0.01)
        found = new.execute("PRAGMA integrity_check(1)").fetchone()
        if found != ("ok",):
            raise LedgerUnusableError(
                f'{to}: the copy is damaged, SQLite says "{found[0]}", and was not kept; see with animatic '
                "ledger verify if the ledger is too, else give another disk"
            )


def _copy_into_file(source: Opened, to: Path, progress: Progress) -> Copied:
    """Copy the rows of a server into a file, all as they were at one moment."""
    database = SqliteFile(f"sqlite:///{to.resolve()}")
    engine = database.engine()
    try:
        with engine.begin() as db:
            make(db)
        return copy_rows(source, Opened(database, engine, "", to), progress, is_backup=True)
    finally:
        engine.dispose()


def _rows_of(db: sa.Connection, table: sa.Table) -> Generator[list[tuple[Any, ...]]]:
    """Yield the rows of a table in the order of its key, which is the same in any database, some thousand at a time."""
    key = [
        column.collate("C") if isinstance(column.type, sa.Text) and db.dialect.name == "postgresql" else column
        for column in table.primary_key.columns
    ]
    with db.execute(sa.select(table).order_by(*key), execution_options={"yield_per": ROWS_AT_ONCE}) as found:
        for some in found.partitions():
            yield [tuple(row) for row in some]


def _require_same(old: sa.Connection, new: sa.Connection, table: sa.Table) -> None:
    """Read both tables again and hold them against each other."""
    for ours, theirs in zip_longest(_rows_of(old, table), _rows_of(new, table), fillvalue=()):
        if [_as_held(row) for row in ours] != [_as_held(row) for row in theirs]:
            raise LedgerUnusableError(f"the copy of table {table.name} is not what was read; nothing of it was kept")


def _as_held(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row as any database holds it: without NUL in texts."""
    return tuple(each.replace("\0", "\N{SYMBOL FOR NULL}") if isinstance(each, str) else each for each in row)


def _go_on_counting(db: sa.Connection, table: sa.Table) -> None:
    """Make numbers that a server gives follow those that were copied."""
    if db.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        if len(table.primary_key.columns) == 1 and isinstance(column.type, sa.Integer):
            db.execute(
                sa.text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "  # noqa: S608 - our names
                    f"(SELECT coalesce(max({column.name}), 0) + 1 FROM {table.name}), false)"
                )
            )


def _copy_meta(old: sa.Connection, new: sa.Connection, *, is_backup: bool) -> None:
    """Take over the ledger's own counts, and say that the copy is whole."""
    own = _OWN - ({"ledger_id"} if is_backup else set())
    for name, value in old.execute(sa.select(META.c.name, META.c.value).where(META.c.name.not_in(own))).all():
        new.execute(META.delete().where(META.c.name == name))
        new.execute(META.insert().values(name=name, value=value))
    if is_backup:
        found = old.execute(sa.select(META.c.value).where(META.c.name == "ledger_id")).scalar_one()
        new.execute(META.update().where(META.c.name == "ledger_id").values(value=found))
    new.execute(META.delete().where(META.c.name == COPY_OF))


def _pause_starts(target: Opened, db: sa.Connection) -> None:
    """Let the account's minute pass, whose starts were counted by another clock."""
    from time import monotonic  # noqa: PLC0415 - of the machine, where the database has no clock

    until = target.database.now(db, monotonic) + MINUTE_S
    for provider in db.execute(sa.select(TAKE.c.provider).distinct()).scalars().all():
        db.execute(PACE.insert().values(provider=provider, not_before=until, refusals=0))
