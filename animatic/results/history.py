"""The history table: one row for each paid attempt of all runs, takes that were replaced included.

Its columns are only ever added to; `SCHEMA_VERSION` counts how often. It is written as Parquet, a file for each UTC
date on which attempts were made, in folders as Hive names them (`date=2026-11-26`), so that DuckDB, Polars and pandas
read the folder as one table.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from animatic.ledger import HISTORY_COLUMNS
from animatic.ledger.moments import aware
from animatic.results.columns import MOMENT, QUOTED
from animatic.results.schema import decimals_of
from animatic.takes.inputs import as_json, read_request
from animatic.takes.states import State, status_of

SCHEMA_VERSION = 1
FILE = "attempts.parquet"

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("shot_id", "storyboard", "manifest", "account", "model", "inputs")),
        ("take", pa.int32()),
        ("attempt", pa.int32()),
        ("status", pa.string()),
        *((name, MOMENT) for name in ("reserved_at", "submitted_at", "created_at", "completed_at")),
        ("queue_ms", pa.int64()),
        ("inference_ms", pa.int64()),
        *((name, QUOTED) for name in ("quoted_usd", "charged_usd", "refunded_usd")),
        ("nsfw", pa.bool_()),
        ("outputs", pa.list_(pa.string())),
        ("error_code", pa.int64()),
        *((name, pa.string()) for name in ("error", "prediction_id", "prediction_model", "run_id", "flow_run_id")),
        ("fingerprint", pa.string()),
    ]
)
"""Moments in UTC; `reserved_at` is when the price was reserved, right before the submission. `account` is the provider.

`queue_ms` is the time from WaveSpeed's own `created_at` to the moment at which we saw the end, without the inference:
it holds the wait for a worker and at most one poll. `charged_usd` and `refunded_usd` are null: no bill is compared yet.
"""


def tables_of(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[str, pa.Table]]:
    """Yield a table for each UTC date, given the ledger's paid attempts in the order of their reservation."""
    for date, attempts in groupby(rows, date_of):
        yield date, _table([dict(zip(HISTORY_COLUMNS, row, strict=True)) for row in attempts])


def date_of(row: Sequence[Any]) -> str:
    """Return the UTC date on which an attempt was made."""
    return row[HISTORY_COLUMNS.index("intent_at")].date().isoformat()


def _table(attempts: Sequence[Mapping[str, Any]]) -> pa.Table:
    rows = [_row(each) for each in attempts]
    columns: dict[str, Any] = {
        name: pa.array([row.get(name) for row in rows], SCHEMA.field(name).type) for name in SCHEMA.names
    }
    prices = [each["quoted_microusd"] for each in attempts]
    is_known = np.array([price is not None for price in prices], bool)
    columns["quoted_usd"] = decimals_of(np.array([price or 0 for price in prices], np.int64), is_known)
    metadata = {"animatic.history_version": str(SCHEMA_VERSION)}
    return pa.table(columns, schema=SCHEMA).replace_schema_metadata(metadata)


def _row(attempt: Mapping[str, Any]) -> dict[str, Any]:
    inputs, take = read_request(attempt["request"])
    flags = json.loads(attempt["has_nsfw_contents"] or "[]")
    outputs = json.loads(attempt["outputs"] or "[]")
    is_judged = bool(outputs) and len(flags) >= len(outputs) and None not in flags
    return {
        **{name: attempt[name] for name in ("shot_id", "storyboard", "manifest", "model", "error", "error_code")},
        **{name: attempt[name] for name in ("prediction_id", "prediction_model", "run_id", "flow_run_id")},
        **{name: aware(attempt[name]) for name in ("submitted_at", "created_at", "completed_at")},
        "account": attempt["provider"],
        "inputs": as_json(dict(inputs)),
        "take": take,
        "attempt": attempt["attempt_no"],
        "status": status_of(State(attempt["state"])),
        "reserved_at": aware(attempt["intent_at"]),
        "queue_ms": _queue_ms(attempt["created_at"], attempt["completed_at"], attempt["inference_ms"]),
        "inference_ms": attempt["inference_ms"],
        "nsfw": True if any(flags) else False if is_judged else None,
        "outputs": outputs,
        "fingerprint": attempt["fingerprint"],
    }


def _queue_ms(created_at: datetime | None, completed_at: datetime | None, inference_ms: int | None) -> int | None:
    if created_at is None or completed_at is None or inference_ms is None:
        return None
    return max(round((completed_at - created_at).total_seconds() * 1_000) - inference_ms, 0)
