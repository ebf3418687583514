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

from animatic.ledger import HISTORY_COLUMNS, aware
from animatic.results.columns import MOMENT, QUOTED
from animatic.results.schema import decimals_of
from animatic.takes.inputs import as_json, read_request
from animatic.takes.states import State, status_of

SCHEMA_VERSION = 1
FILE = "attempts.parquet"

_TEXT, _WHOLE, _SMALL = pa.string(), pa.int64(), pa.int32()
COLUMNS: Mapping[str, tuple[pa.DataType, str]] = {
    "shot_id": (_TEXT, "name of the shot, as the newest manifest that asked for the take has it; null after an import"),
    "storyboard": (_TEXT, "name of its storyboard, likewise"),
    "manifest": (_TEXT, "absolute URI of that manifest"),
    "account": (_TEXT, "the provider that it was bought from"),
    "model": (_TEXT, "as sent"),
    "inputs": (_TEXT, "all that was asked for, as JSON; a local file by its SHA-256"),
    "take": (_SMALL, "number of the take, from 1"),
    "attempt": (_SMALL, "number of the attempt at this take, from 1"),
    "status": (_TEXT, "as in the results table"),
    "reserved_at": (MOMENT, "when the price was reserved, right before the submission"),
    "submitted_at": (MOMENT, "ours, when WaveSpeed's answer came"),
    "created_at": (MOMENT, "the API's"),
    "completed_at": (MOMENT, "ours, when we saw the end"),
    "queue_ms": (
        _WHOLE,
        "from `created_at` to `completed_at` without the inference: the wait for a worker, and one poll",
    ),
    "inference_ms": (_WHOLE, "`timings.inference`, rounded"),
    "quoted_usd": (QUOTED, "the price that was reserved; null where none was known"),
    "charged_usd": (QUOTED, "what `animatic bill` found charged for it; null where no bill has shown it"),
    "refunded_usd": (QUOTED, "the same for refunds; 0 where a bill shows a charge and no refund"),
    "nsfw": (pa.bool_(), "true if any output is flagged; null where one was not judged"),
    "outputs": (pa.list_(_TEXT), "output URLs as the API gave them"),
    "error_code": (_WHOLE, "the API's code of a failure"),
    "error": (_TEXT, "why it is not completed"),
    "prediction_id": (_TEXT, "WaveSpeed's own"),
    "prediction_model": (_TEXT, "WaveSpeed's own"),
    "run_id": (_TEXT, "the run that made the attempt"),
    "flow_run_id": (_TEXT, "Prefect's id of that run"),
    "fingerprint": (_TEXT, "of the take"),
}
"""Types and meanings of the columns, in order; moments in UTC."""

SCHEMA = pa.schema([(name, arrow_type) for name, (arrow_type, _) in COLUMNS.items()])


def as_markdown() -> str:
    """Return the table of the columns for the docs."""
    rows = [f"| `{name}` | {arrow_type} | {meaning} |" for name, (arrow_type, meaning) in COLUMNS.items()]
    return "\n".join(["| column | type | meaning |", "| --- | --- | --- |", *rows])


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
    for name in ("quoted", "charged", "refunded"):
        amounts = [each[f"{name}_microusd"] for each in attempts]
        is_known = np.array([amount is not None for amount in amounts], bool)
        columns[f"{name}_usd"] = decimals_of(np.array([amount or 0 for amount in amounts], np.int64), is_known)
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
        "queue_ms": queue_ms_of(attempt["created_at"], attempt["completed_at"], attempt["inference_ms"]),
        "inference_ms": attempt["inference_ms"],
        "nsfw": True if any(flags) else False if is_judged else None,
        "outputs": outputs,
        "fingerprint": attempt["fingerprint"],
    }


def queue_ms_of(created_at: datetime | None, completed_at: datetime | None, inference_ms: int | None) -> int | None:
    """Return how long a completed take waited, as far as the moments at hand tell; the wait for our poll counts."""
    if created_at is None or completed_at is None or inference_ms is None:
        return None
    return max(round((completed_at - created_at).total_seconds() * 1_000) - inference_ms, 0)
