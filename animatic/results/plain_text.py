"""The text of values in forms whose cells are text: moments in ISO 8601, lists and structs in JSON. Pure."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them


def as_text(column: Any) -> Any:
    """Return a column (an Arrow array, no dictionary) as text."""
    of, types = column.type, pa.types
    if types.is_timestamp(of):
        return moments_as_text(column)
    if types.is_string(of) or types.is_large_string(of) or types.is_string_view(of):
        return column.cast(pa.large_string())
    if any(each(of) for each in (types.is_floating, types.is_decimal, types.is_integer, types.is_date)):
        return column.cast(pa.string())
    return pa.array([_as_json_text(value) for value in column.to_pylist()], pa.large_string())


def moments_as_text(column: Any) -> Any:
    """ISO 8601 with all digits of the unit; with a Z where the column has a time zone."""
    if column.type.tz is None:
        return pc.strftime(column, "%Y-%m-%dT%H:%M:%S")
    return pc.strftime(column.cast(pa.timestamp(column.type.unit, tz="UTC")), "%Y-%m-%dT%H:%M:%SZ")


def plain(value: Any) -> Any:
    """Return a value that `json` can write: bytes as hex digits, times and the like as their own text."""
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (list, dict, tuple, str, int, float, bool)) else str(value)


def _as_json_text(value: Any) -> str | None:
    """Return lists and structs as JSON, and as plain text what JSON has no form for."""
    if value is None:
        return None
    simple = plain(value)
    return simple if isinstance(simple, str) else json.dumps(simple, ensure_ascii=False, default=plain)
