"""Rows of the results table from what the ledger knows, some thousands at a time. `columns` declares the columns.

Arrow in, Arrow out. It reads and writes no files, asks neither ledger nor API, and knows no pandas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from animatic.results.columns import COLUMNS, INVALID, QUOTED, RESULTS_SCHEMA, SCHEMA_VERSION, Of, Outcomes, outcome_of
from animatic.takes.fingerprints import Digests, hex_of

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a table: the run that writes it, and the manifest's bytes."""

    run_id: str
    manifest_sha256: str

    @property
    def metadata(self) -> dict[str, str]:
        """Key-value metadata of a Parquet file."""
        return {
            "animatic.schema_version": str(SCHEMA_VERSION),
            "animatic.run_id": self.run_id,
            "animatic.manifest_sha256": self.manifest_sha256,
        }


@dataclass(frozen=True, slots=True, repr=False)
class CheckedRows:
    """Some rows of a checked manifest, in order.

    Attributes:
        row: the number of the first.
        rows: for each row what it asks for, named as in the table, and `fault`: what is wrong with it, null for a shot.
        carried: the manifest's other columns, with names that are not in RESULTS_SCHEMA.
        takes: how many takes each row asks for; 0 for an invalid one.
        digests: of the takes of all rows, one after the other.
    """

    row: int
    rows: pa.RecordBatch
    carried: pa.RecordBatch
    takes: NDArray[np.int64]
    digests: Digests


COLUMN_OF = b"animatic.column_of"
"""Metadata of a column in Parquet: `animatic` or `manifest`. A column without it was added by people."""


def schema_of(carried: pa.Schema, metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """Return the columns of a results table: RESULTS_SCHEMA, then the carried ones, each marked with its origin."""
    own = (field.with_metadata({COLUMN_OF: b"animatic"}) for field in RESULTS_SCHEMA)
    of_manifest = (field.with_metadata({COLUMN_OF: b"manifest"}) for field in carried)
    return pa.schema([*own, *of_manifest], metadata)


def table_of(
    asked: CheckedRows, outcomes: Outcomes, found: NDArray[np.int64], is_first: NDArray[np.bool_] | None = None
) -> pa.Table:
    """One row per manifest row and take, in that order: the columns of RESULTS_SCHEMA, then the manifest's others.

    `found` says for each take of `asked` which of the outcomes is its own; -1 for none: then it is `pending`. Only
    where a take is shown first, by `is_first`, does the row show what it cost.
    """
    is_invalid = asked.takes == 0
    lines = np.where(is_invalid, 1, asked.takes)
    owner = np.repeat(np.arange(len(lines)), lines)  # the row of each line
    number = np.arange(len(owner)) - np.repeat(np.cumsum(lines) - lines, lines) + 1
    is_take = ~is_invalid[owner]
    which = np.full(len(owner), -1, np.int64)
    which[is_take] = found
    columns = {
        "row": pa.array(asked.row + owner, pa.int64()),
        "take": pa.array(number, pa.int32(), mask=~is_take),
        "fingerprint": _spread(pa.array(hex_of(asked.digests), pa.string()), is_take),
        **{
            name: _amounts([*outcomes[of], untried], which, is_take, is_first)
            for name, (of, untried) in _AMOUNTS.items()
        },
    }
    at, line = pa.array(which, mask=which < 0), pa.array(owner)
    for column in COLUMNS:
        if column.source is Of.ROW:
            columns[column.name] = asked.rows.column(column.name).take(line)
        elif column.source is not Of.PLACE:
            values = outcome_of(column, outcomes).take(at)
            if column.untried is not None:
                values = pc.if_else(pa.array(which < 0), pa.scalar(column.untried, column.type), values)
            columns[column.name] = values
    if not is_take.all():
        invalid, fault = pa.array(~is_take), asked.rows.column("fault").take(line)
        columns["status"] = pc.if_else(invalid, "invalid", columns["status"])
        columns["error"] = pc.if_else(invalid, pc.if_else(pc.equal(fault, ""), INVALID, fault), columns["error"])
    carried = asked.carried.take(line).columns if asked.carried.num_columns else []
    arrays = [columns[field.name] for field in RESULTS_SCHEMA]
    return pa.Table.from_arrays([*arrays, *carried], schema=schema_of(asked.carried.schema))


def _spread(values: pa.Array, is_there: NDArray[np.bool_]) -> pa.Array:
    """Place the values at their positions, and nulls elsewhere."""
    if is_there.all():
        return values
    return values.take(pa.array(np.cumsum(is_there) - 1, mask=~is_there))


_AMOUNTS = {
    "quoted_usd": ("cost_microusd", 0),
    "charged_usd": ("charged_microusd", None),
    "refunded_usd": ("refunded_microusd", None),
}
"""Columns of dollars: those of the ledger's view that they come from, and the amount of a take that was never tried."""


def _amounts(
    microusd: Sequence[int | None],
    which: NDArray[np.int64],
    is_take: NDArray[np.bool_],
    is_first: NDArray[np.bool_] | None,
) -> pa.Array:
    """Return an amount of each take, in the row that shows it first; the last one is that of takes not tried."""
    amounts = np.array([-1 if each is None else each for each in microusd], np.int64)[which]
    shown = is_take if is_first is None else is_take & is_first
    return decimals_of(amounts, shown & (amounts >= 0))


def decimals_of(microusd: NDArray[np.int64], is_known: NDArray[np.bool_]) -> pa.Array:
    """Millionths of a dollar as an Arrow column of dollars; null where they are not known."""
    words = np.zeros((len(microusd), 2), np.int64)  # little-endian integers of 128 bits, none of them negative
    words[:, 0] = np.where(is_known, microusd, 0)
    validity = np.packbits(is_known, bitorder="little").tobytes()
    return pa.Array.from_buffers(QUOTED, len(microusd), [pa.py_buffer(validity), pa.py_buffer(words.tobytes())])


def microusd_of(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Undo `decimals_of`; -1 where the price is not known."""
    array = column.cast(QUOTED).combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of no chunk at all
        return np.empty(0, np.int64)
    words = np.frombuffer(array.buffers()[1], np.int64) if len(array) else np.empty(0, np.int64)
    values = words[2 * array.offset : 2 * (array.offset + len(array)) : 2]
    return np.where(array.is_valid().to_numpy(zero_copy_only=False), values, -1)
