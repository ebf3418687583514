"""Boards, read: results tables, also several and by pattern, and the decisions beside them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from animatic import storage
from animatic.errors import LocationError
from animatic.results import reading
from animatic.results.board import CARRIED, Board, Row, make_board
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.decision_files import find_decisions
from animatic.results.decisions import DECISIONS_NAME
from animatic.results.reading import MAX_RESULTS_BYTES
from animatic.results.table_files import find_tables
from animatic.web.network import DIRECT, Network

MAX_TAKES = 200_000
"""The most rows of all tables together; a board is for eyes."""


@dataclass(frozen=True, slots=True)
class BoardFiles:
    """Files that a board comes from.

    Attributes:
        results: URIs of the tables, oldest first.
        decisions: URI of the decisions, whether there is such a file or not.
    """

    results: tuple[str, ...]
    decisions: str


def find_board_files(results: Sequence[str], decisions: str | None = None, network: Network = DIRECT) -> BoardFiles:
    """Return the files of a board as absolute URIs; without `decisions`, `decisions.csv` beside the first table.

    `results` are tables, patterns and folders, as `find_tables` takes them.

    Raises:
        LocationError: a name has no suffix of a results table, or a table of decisions was named and is not there.
    """
    tables = tuple(storage.absolute_uri(uri) for uri in find_tables(results, network))
    if decisions is None:
        return BoardFiles(tables, storage.beside(tables[0], DECISIONS_NAME))
    if not storage.exists(decisions):
        raise LocationError(f"--decisions {decisions}: there is no such file; give the file that the page saved")
    return BoardFiles(tables, storage.absolute_uri(decisions))


def read_board(files: BoardFiles, network: Network = DIRECT) -> Board:
    """Return the board of results tables and decisions.

    Raises:
        LocationError: a table or the decisions cannot be read, or there are too many takes.
    """
    return make_board(read_rows(files, network), find_decisions(files.decisions, network))


def read_rows(files: BoardFiles, network: Network = DIRECT, *, with_carried: bool = False) -> list[list[Row]]:
    """Return the rows of each results table; with the manifest's columns if asked for.

    Raises:
        LocationError: a table cannot be read, or there are too many rows.
    """
    tables: list[list[Row]] = []
    for uri in files.results:
        tables.append(_rows(uri, network, with_carried=with_carried))
        if sum(map(len, tables)) > MAX_TAKES:
            name = storage.name_of(uri)
            raise LocationError(f"{name}: found more than {MAX_TAKES:,} rows in all tables; give a table with fewer")
    return tables


def _rows(uri: str, network: Network, *, with_carried: bool) -> list[Row]:
    """Return the rows of a table as Python values."""
    name, rows = storage.name_of(uri), list[Row]()
    with storage.open_copy(uri, max_bytes=MAX_RESULTS_BYTES, network=network) as file:
        for piece in _pieces(file, name, with_carried=with_carried):
            rows += piece
            if len(rows) > MAX_TAKES:
                raise LocationError(f"{name}: found more than {MAX_TAKES:,} rows; give a table with fewer")
    return rows


def _pieces(file: BinaryIO, name: str, *, with_carried: bool) -> Iterator[list[Row]]:
    head = reading.read_head(file, name)
    if not head.is_ours:
        raise LocationError(f"{name}: not a results table of animatic; give a table that a run has written")
    carried = _carried_of(head) if with_carried else []
    for table in reading.read_cells(file, name, RESULTS_SCHEMA.names, carried):
        known = table.select(RESULTS_SCHEMA.names).to_pylist()
        others = [[_value(column, each) for each in column.to_pylist()] for column in map(table.column, carried)]
        if with_carried:
            for row, cells in zip(known, zip(*others, strict=True) if others else [()] * len(known), strict=True):
                row[CARRIED] = dict(zip(carried, cells, strict=True))
        yield known


def _carried_of(head: reading.Head) -> list[str]:
    """Return the columns that came from the manifest; where the table does not say so, all that are not ours."""
    others = [name for name in dict.fromkeys(head.names) if name and name not in RESULTS_SCHEMA.names]
    return [name for name in others if head.origins.get(name) == "manifest"] if head.origins else others


def _value(column: Any, value: Any) -> Any:
    """Return a value of a column of others as a manifest can have it."""
    return json.loads(value) if isinstance(column.type, pa.JsonType) and isinstance(value, str) else value
