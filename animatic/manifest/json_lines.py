"""JSON Lines into rows of text: one object a line, its keys the columns."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from animatic.errors.text import quoted
from animatic.manifest.faults import Problem
from animatic.manifest.header import MAX_COLUMNS
from animatic.manifest.rows import Rows
from animatic.manifest.tables import Records, TextTable, number_text, read_records, whole_file_error
from animatic.takes.models.properties import is_finite

MAX_LINE_BYTES = 4 << 20


def read_json_lines(name: str, file: BinaryIO, rows: Rows, mapping: Mapping[str, str]) -> TextTable:
    """Read the objects of a file into `rows`, as `tables.read_records` does. Keys come in the order of first use."""
    columns: dict[str, None] = {}
    for line, entry in _objects(name, file):
        columns.update(dict.fromkeys(entry))
        if len(columns) > MAX_COLUMNS:
            found = f"more than {MAX_COLUMNS:,} different keys"
            raise whole_file_error(name, Problem("too many columns", found, f"up to {MAX_COLUMNS:,}"), line)
    return read_records(name, _records(name, file, list(columns)), rows, mapping)


def _records(name: str, file: BinaryIO, columns: list[str]) -> Records:
    yield 1, 1, columns
    for line, entry in _objects(name, file):
        yield line, line, [_text_of(entry.get(column)) for column in columns]


def _objects(name: str, file: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    file.seek(0)
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise whole_file_error(
                name, Problem("long line", f"more than {MAX_LINE_BYTES:,} bytes", "shorter lines"), number
            )
        text = line.strip(b"\xef\xbb\xbf \t\r\n")
        if not text:
            continue
        try:
            entry: Any = json.loads(text, object_pairs_hook=_unique)
        except _RepeatedError as error:
            bad = Problem("duplicate key", f"the key {quoted(str(error))} twice", "each key once")
            raise whole_file_error(name, bad, number) from None
        except (ValueError, RecursionError):
            bad = Problem("not JSON", "a line that is not JSON", 'one object a line, such as {"image": …, "prompt": …}')
            raise whole_file_error(name, bad, number) from None
        if not isinstance(entry, dict):
            bad = Problem("no object", f"a line that holds a {type(entry).__name__}", "one object a line")
            raise whole_file_error(name, bad, number)
        yield number, entry


class _RepeatedError(Exception):
    """A key that an object has twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raise for a key that comes twice: which of two prompts is bought must not be a guess."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedError(key)
        found[key] = value
    return found


def _text_of(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if is_finite(value):
        return number_text(value)
    return json.dumps(value, ensure_ascii=False)
