"""Statements that run for every take, spelled out once: SQLAlchemy would spend ten times what the database does on it.

They are written in SQLAlchemy's terms, and compiled for the database of the ledger when they first run. What goes wrong
is the driver's own exception.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

Convert = Callable[[Any], Any]


class _Spelled(NamedTuple):
    text: str
    parameters: tuple[tuple[str, Any, Convert | None], ...]  # in order: name, value where none is given, conversion


class Prepared:
    """One statement. Rows come as plain tuples, so it may select nothing that the driver does not know by itself."""

    def __init__(self, statement: sa.Executable) -> None:
        self._statement = statement
        self._spelled: dict[str, _Spelled] = {}

    def run(self, db: sa.Connection, values: Mapping[str, Any]) -> Any:
        """Execute it; the driver's cursor."""
        spelled = self._spelled.get(db.dialect.name) or self._spell(db.dialect)
        cursor: Any = db.connection.cursor()
        parameters = [
            value if convert is None or value is None else convert(value)
            for value, convert in ((values.get(name, given), convert) for name, given, convert in spelled.parameters)
        ]
        cursor.execute(spelled.text, parameters)
        return cursor

    def _spell(self, dialect: sa.Dialect) -> _Spelled:
        compiled: Any = self._statement.compile(dialect=dialect)  # pyright: ignore[reportAttributeAccessIssue]
        binds = compiled.binds
        parameters = tuple(
            (name, binds[name].value, binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in compiled.positiontup or ()
        )
        spelled = self._spelled[dialect.name] = _Spelled(str(compiled), parameters)
        return spelled
