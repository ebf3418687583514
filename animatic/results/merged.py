"""Results tables of several runs as one. Pure.

A row of a later table takes the place of the row with the same storyboard, shot_id and fingerprint; rows that no
earlier table has come behind. A shot keeps its row though another shot shares its take. Rows that were invalid are left
out where a later table has the shot. What a take cost stands in its first row, as it does in one table.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.plain_text import as_text

AMOUNTS = ("quoted_usd", "charged_usd", "refunded_usd")
_KEY = ("storyboard", "shot_id", "fingerprint")
_Key = tuple[str | None, str | None, str | None, int]


def merge(tables: Sequence[pa.Table]) -> pa.Table:
    """Return results tables as one, given oldest first; with the metadata that all of them share."""
    whole = pa.concat_tables(_alike(tables))
    chosen = _rows_of([zip(*(table[name].to_pylist() for name in _KEY), strict=True) for table in tables])
    found = whole.take(pa.array(chosen, pa.int64()))
    shared: dict[bytes, bytes] = dict(tables[0].schema.metadata or {})
    for table in tables[1:]:
        other: dict[bytes, bytes] = table.schema.metadata or {}
        shared = {key: value for key, value in shared.items() if other.get(key) == value}
    return _with_amounts_once(found, whole).replace_schema_metadata(shared)


def _rows_of(tables: Sequence[Any]) -> list[int]:
    """Return which rows of all tables, one after the other, make the merged one."""
    at: dict[_Key, int] = {}
    last_with: dict[tuple[str | None, str | None], int] = {}
    invalid: list[tuple[_Key, int]] = []
    number = 0
    for table, keys in enumerate(tables):
        seen = Counter[tuple[str | None, str | None, str | None]]()
        for key in keys:
            whole = (*key, seen[key])
            seen[key] += 1
            at[whole] = number
            number += 1
            if key[2] is None:
                invalid.append((whole, table))
            else:
                last_with[key[:2]] = table
    for key, table in invalid:
        if key[1] is not None and last_with.get(key[:2], -1) > table:
            at.pop(key, None)
    return list(at.values())


def _alike(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the tables with the same columns: ours, then all others; those whose types differ as text."""
    names = dict.fromkeys([*RESULTS_SCHEMA.names, *(name for table in tables for name in table.column_names)])
    columns: dict[str, list[Any]] = {}
    for name in names:
        found = [table[name] if name in table.column_names else None for table in tables]
        of = _type_of([column.type for column in found if column is not None])
        columns[name] = [
            pa.nulls(table.num_rows, of) if column is None else _cast(column, of)
            for table, column in zip(tables, found, strict=True)
        ]
    return [
        pa.Table.from_arrays([column[number] for column in columns.values()], names=list(columns))
        for number in range(len(tables))
    ]


def _type_of(types: Sequence[pa.DataType]) -> pa.DataType:
    distinct = [each for number, each in enumerate(types) if each not in types[:number]] or [pa.string()]
    try:
        return pa.unify_schemas([pa.schema([("", each)]) for each in distinct], promote_options="permissive")[0].type
    except pa.ArrowException:
        return pa.large_string()


def _cast(column: Any, of: pa.DataType) -> Any:
    if column.type == of:
        return column
    if pa.types.is_large_string(of) and not pa.types.is_null(column.type):
        plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        return as_text(plain).cast(of)
    return column.cast(of)


def _with_amounts_once(table: pa.Table, whole: pa.Table) -> pa.Table:
    """Return the table with the newest amounts of takes that several rows share in the first of them alone."""
    names = table["fingerprint"].to_pylist()
    shared = {name for name, count in Counter(names).items() if name is not None and count > 1}
    for column in AMOUNTS if shared else ():
        amounts = zip(whole["fingerprint"].to_pylist(), whole[column].to_pylist(), strict=True)
        newest = {name: amount for name, amount in amounts if name in shared and amount is not None}
        values: list[Any] = [
            newest.pop(name, None) if name in shared else amount
            for name, amount in zip(names, table[column].to_pylist(), strict=True)
        ]
        index = table.column_names.index(column)
        table = table.set_column(index, table.schema.field(index), pa.array(values, table.schema.field(index).type))
    return table
