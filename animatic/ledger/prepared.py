"""Statements that are compiled once for each database and go to its driver as they are.

For statements that run for every take: SQLAlchemy's work for one execution costs more than SQLite's own. Results come
as the driver gives them, so no column of such a statement is a moment. Errors are SQLAlchemy's.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

Values = Mapping[str, Any]


class Prepared:
    """A statement whose parameters are all named."""

    def __init__(self, statement: sa.ClauseElement) -> None:
        self._statement = statement
        self._made: dict[str, _Made] = {}

    def rows(self, db: sa.Connection, values: Values) -> list[tuple[Any, ...]]:
        """Run it once and return its rows."""
        made = self._for(db)
        with cursor_of(db) as cursor:
            cursor.execute(made.sql, made.values(values))
            return cursor.fetchall()

    def changed(self, db: sa.Connection, many: Sequence[Values]) -> int:
        """Run it for each of these; return how many rows all of them changed."""
        made = self._for(db)
        with cursor_of(db) as cursor:
            cursor.executemany(made.sql, [made.values(values) for values in many])
            return cursor.rowcount

    def _for(self, db: sa.Connection) -> "_Made":
        made = self._made.get(db.dialect.name)
        if made is None:
            made = self._made[db.dialect.name] = _Made(self._statement, db.dialect)
        return made


class _Made:
    """A statement in the words of one database."""

    def __init__(self, statement: sa.ClauseElement, dialect: sa.Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.sql = str(compiled)
        self._constants: dict[str, Any] = dict(compiled.params)
        names: Sequence[str] = compiled.positiontup or list(self._constants)
        as_kept = without_nul if dialect.name == "postgresql" else None
        ways = ((name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in names)
        self._ways = [(name, way or as_kept) for name, way in ways]
        self._is_positional = bool(compiled.positional)

    def values(self, given: Values) -> Any:
        """Return parameters as the driver takes them."""
        all_values = {**self._constants, **given}
        if self._is_positional:
            return [all_values[name] if way is None else way(all_values[name]) for name, way in self._ways]
        return {name: all_values[name] if way is None else way(all_values[name]) for name, way in self._ways}


@contextmanager
def cursor_of(db: sa.Connection) -> Generator[Any]:
    """Yield a cursor of the driver; its errors are raised as SQLAlchemy raises them."""
    driver: Any = db.connection.driver_connection
    base: Any = db.dialect.loaded_dbapi.Error
    try:
        yield driver.cursor()
    except base as error:
        if db.dialect.is_disconnect(error, driver, None):
            db.invalidate()
        raise DBAPIError.instance("", None, error, base, dialect=db.dialect) from error


def without_nul(value: Any) -> Any:
    """Return a value as PostgreSQL can keep it: no text of it may hold NUL."""
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\N{SYMBOL FOR NULL}")
    return value
