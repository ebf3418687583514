"""Results tables for tests: of outcomes that are written down by hand, and, row by row, as they ought to be."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from animatic.fingerprints import digests_of
from animatic.results import RESULTS_SCHEMA, Asked, Outcomes, Provenance, table_of
from animatic.shots import Shot, takes_of

PROVIDER = "https://api.wavespeed.ai"
TEXTS = ("shot_id", "storyboard", "image", "prompt", "model", "aspect_ratio", "duration")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the ledger knows of one take, as `Outcomes` says it of many."""

    status: str
    outputs: tuple[str, ...] | None = None
    has_nsfw_contents: tuple[bool, ...] | None = None
    inference_ms: int | None = None
    prediction_id: str | None = None
    prediction_status: str | None = None
    prediction_model: str | None = None
    error_code: int | None = None
    error: str | None = None
    submitted_at: datetime | None = None
    completed_at: datetime | None = None
    created_at: datetime | None = None
    polls: int = 0
    attempts: int = 0
    cached: bool = False
    run_id: str | None = None
    quoted_microusd: int | None = None


def cells_of(raw: pa.Table, row: int) -> dict[str, str | None]:
    """The cells of a row as text; None for a column that is not there."""
    found = raw.slice(row - 1, 1).to_pylist()[0]
    return {name: None if found.get(name) is None else str(found[name]) for name in TEXTS}


def build_table(
    shots: Sequence[Shot],
    outcomes: Mapping[str, Outcome],
    invalid: Mapping[int, str],
    raw: pa.Table,
    provenance: Provenance,
) -> pa.Table:
    """A table in one piece, metadata included; a take without an outcome is one that the ledger does not know."""
    shot_of = {shot.row: shot for shot in shots}
    rows = [
        {"fault": invalid[row], **cells_of(raw, row)}
        if row in invalid
        else {"fault": None, **{name: getattr(shot_of[row], name) for name in TEXTS}}
        for row in range(1, raw.num_rows + 1)
    ]
    takes = [take for row in sorted(shot_of) for take in takes_of(shot_of[row], PROVIDER)]
    known = list(outcomes)
    columns = {field.name: [getattr(outcomes[key], field.name) for key in known] for field in fields(Outcome)}
    carried = raw.select([name for name in raw.column_names if name not in RESULTS_SCHEMA.names]).combine_chunks()
    asked = Asked(
        1,
        pa.RecordBatch.from_pylist(
            [{**row, "still_uri": None if row["fault"] is not None else row["image"]} for row in rows],
            pa.schema([(name, pa.string()) for name in ("fault", *TEXTS, "still_uri")]),
        ),
        pa.RecordBatch.from_arrays([column.chunk(0) for column in carried.columns], schema=carried.schema)
        if carried.num_columns
        else pa.RecordBatch.from_arrays([], names=[]),
        np.array([shot_of[row].takes if row in shot_of else 0 for row in range(1, raw.num_rows + 1)]),
        digests_of([take.fingerprint for take in takes]),
    )
    found = np.array([known.index(take.fingerprint) if take.fingerprint in outcomes else -1 for take in takes], int)
    names = iter([take.fingerprint for take in takes])
    seen: set[str] = set()
    is_first: list[bool] = []
    for row in range(1, raw.num_rows + 1):
        for _ in range(shot_of[row].takes if row in shot_of else 1):
            name = next(names) if row in shot_of else ""
            is_first.append(bool(name) and name not in seen)
            seen.add(name)
    table = table_of(asked, Outcomes(**columns), found, np.array(is_first, bool))
    return table.replace_schema_metadata(provenance.metadata)


UNEXPLAINED = {
    "failed": "the API accepted it, then failed it without saying why",
    "rejected": "the API refused it without saying why; nothing was bought",
    "unknown": "nobody can tell yet whether the API accepted it; `animatic reconcile` settles it",
    "held": "reconciling could not settle whether it was bought; a person must",
    "pending": "not submitted when the run stopped",
}


def expected_rows(
    shots: Sequence[Shot], outcomes: Mapping[str, Outcome], invalid: Mapping[int, str], raw: pa.Table, provider: str
) -> list[dict[str, Any]]:
    """Every row of the results of a manifest, one after the other, as INTERFACE says, without any columns."""
    shot_of = {shot.row: shot for shot in shots}
    rows: list[dict[str, Any]] = []
    for row, cells in enumerate(raw.to_pylist(), start=1):
        carried = {name: value for name, value in cells.items() if name not in RESULTS_SCHEMA.names}
        if row in invalid:
            told = Outcome(status="invalid", error=invalid[row])
            rows.append({"row": row, "take": None, "fingerprint": None, **cells_of(raw, row), **shown(told), **carried})
            continue
        for take in takes_of(shot_of[row], provider):
            outcome = outcomes.get(take.fingerprint, Outcome(status="pending"))
            texts = {name: getattr(take.shot, name) for name in TEXTS}
            own = {"row": row, "take": take.number, "fingerprint": take.fingerprint}
            rows.append({**own, **texts, **shown(outcome), **carried})
    return [{name: line[name] for name in [*RESULTS_SCHEMA.names, *carried]} for line in rows]


def shown(outcome: Outcome) -> dict[str, Any]:
    """What a row shows of an outcome."""
    flags, outputs = outcome.has_nsfw_contents or (), outcome.outputs or ()
    error = outcome.error or (
        "still running when the run stopped; the next run looks at it again"
        if outcome.status == "pending" and outcome.prediction_id
        else UNEXPLAINED.get(outcome.status)
    )
    is_completed = outcome.status == "completed"
    values = {field.name: getattr(outcome, field.name) for field in fields(Outcome) if field.name != "cost_usd"}
    return values | {
        "outputs": None if outcome.outputs is None else list(outcome.outputs),
        "has_nsfw_contents": None if outcome.has_nsfw_contents is None else list(outcome.has_nsfw_contents),
        "output_url": outputs[0] if outputs else None,
        "nsfw": True if any(flags) else None if not outputs or len(flags) < len(outputs) else False,
        "error": None if is_completed else error,
        "error_code": None if is_completed else outcome.error_code,
    }


def expected_prices(shots: Sequence[Shot], outcomes: Mapping[str, Outcome], provider: str) -> dict[str, float]:
    """The mean price of a submission of each kind, every take counted once."""
    spent: dict[str, list[tuple[float, int]]] = {}
    for take in {take.fingerprint: take for shot in shots for take in takes_of(shot, provider)}.values():
        outcome = outcomes.get(take.fingerprint)
        if outcome is not None and outcome.attempts and outcome.cost_usd is not None:
            key = f"{take.shot.model}|{take.shot.duration}|{take.shot.aspect_ratio}"
            spent.setdefault(key, []).append((outcome.cost_usd, outcome.attempts))
    return {
        key: round(sum(usd for usd, _ in found) / sum(times for _, times in found), 6) for key, found in spent.items()
    }


def prices_of(table: pa.Table) -> dict[str, float]:
    """The prices in the metadata of a table."""
    return json.loads(table.schema.metadata[b"animatic.prices_usd"])
