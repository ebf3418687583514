"""The results table: its columns, and how what the ledger knows becomes its rows.

Arrow in, Arrow out. It reads and writes no files, asks neither ledger nor API, and knows no pandas.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from animatic.shots import Shot, takes_of

SCHEMA_VERSION = "1"
STATUSES = ("completed", "failed", "rejected", "unknown", "held", "pending", "invalid")

_MOMENT = pa.timestamp("us", tz="UTC")
RESULTS_SCHEMA: pa.Schema = pa.schema(
    [
        ("row", pa.int64()),
        ("shot_id", pa.string()),
        ("storyboard", pa.string()),
        ("take", pa.int32()),
        ("image", pa.string()),
        ("prompt", pa.string()),
        ("model", pa.string()),
        ("aspect_ratio", pa.string()),
        ("duration", pa.string()),
        ("status", pa.string()),
        ("outputs", pa.list_(pa.string())),
        ("has_nsfw_contents", pa.list_(pa.bool_())),
        ("output_url", pa.string()),
        ("nsfw", pa.bool_()),
        ("inference_ms", pa.int64()),
        ("prediction_id", pa.string()),
        ("prediction_status", pa.string()),
        ("error_code", pa.int64()),
        ("error", pa.string()),
        ("submitted_at", _MOMENT),
        ("completed_at", _MOMENT),
        ("created_at", _MOMENT),
        ("polls", pa.int32()),
        ("attempts", pa.int32()),
        ("cached", pa.bool_()),
        ("fingerprint", pa.string()),
        ("run_id", pa.string()),
    ]
)

_UNEXPLAINED = {
    "failed": "the API accepted it, then failed it without saying why",
    "rejected": "the API refused it without saying why; nothing was bought",
    "unknown": "nobody can tell yet whether the API accepted it; `animatic reconcile` settles it",
    "held": "reconciling could not settle whether it was bought; a person must",
    "pending": "not submitted when the run stopped",
    "invalid": "the manifest row is invalid",
}
_STILL_RUNNING = "still running when the run stopped; the next run looks at it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the ledger knows of one take.

    Attributes:
        status: one of STATUSES.
        error: why it is not completed; where it is missing or empty, the table says what the status alone says.
        submitted_at, completed_at: ours; `created_at`: the API's. Aware, UTC.
        attempts: paid submissions; one that was refused was not paid.
        cached: whether it was already final when this run began.
        cost_usd: what all its attempts together came to; None where no price was known.
    """

    status: str
    outputs: tuple[str, ...] | None = None
    has_nsfw_contents: tuple[bool, ...] | None = None
    inference_ms: int | None = None
    prediction_id: str | None = None
    prediction_status: str | None = None
    error_code: int | None = None
    error: str | None = None
    submitted_at: datetime | None = None
    completed_at: datetime | None = None
    created_at: datetime | None = None
    polls: int = 0
    attempts: int = 0
    cached: bool = False
    run_id: str | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a table comes from: the run that writes it, the manifest's bytes, and the provider's origin."""

    run_id: str
    manifest_sha256: str
    provider: str


NOT_SUBMITTED = Outcome(status="pending")


class _Unread(NamedTuple):
    """The cells of an invalid row as they stand, as text; named like the attributes of a Shot."""

    shot_id: str | None
    storyboard: str | None
    image: str | None
    prompt: str | None
    model: str | None
    aspect_ratio: str | None
    duration: str | None


class _Line(NamedTuple):
    """One row of the table."""

    row: int
    asked: Shot | _Unread
    take: int | None
    fingerprint: str | None
    outcome: Outcome


def build_table(
    shots: Sequence[Shot],
    outcomes: Mapping[str, Outcome],
    invalid: Mapping[int, str],
    manifest_table: pa.Table,
    provenance: Provenance,
) -> pa.Table:
    """One row per manifest row and take, in that order: the columns of RESULTS_SCHEMA, then the manifest's others.

    Args:
        shots: the valid rows.
        outcomes: by fingerprint; a take without one is `pending`.
        invalid: the fault of every other row, by its number.
        manifest_table: the whole manifest as it was read, row 1 first; its columns have different names.
        provenance: becomes the metadata.

    Raises:
        ValueError: `shots` and `invalid` together are not exactly the rows of `manifest_table`.
    """
    lines = list(_lines(shots, outcomes, invalid, manifest_table, provenance.provider))
    arrays = [pa.array(_values(field.name, lines), field.type) for field in RESULTS_SCHEMA]
    carried = manifest_table.select(
        [index for index, name in enumerate(manifest_table.column_names) if name not in RESULTS_SCHEMA.names]
    ).take(pa.array([line.row - 1 for line in lines], pa.int64()))
    metadata = {
        "animatic.schema_version": SCHEMA_VERSION,
        "animatic.run_id": provenance.run_id,
        "animatic.manifest_sha256": provenance.manifest_sha256,
        "animatic.prices_usd": json.dumps(_prices_usd(lines)),
    }
    schema = pa.schema([*RESULTS_SCHEMA, *carried.schema], metadata)
    return pa.Table.from_arrays([*arrays, *carried.columns], schema=schema)


def _lines(
    shots: Sequence[Shot],
    outcomes: Mapping[str, Outcome],
    invalid: Mapping[int, str],
    manifest_table: pa.Table,
    provider: str,
) -> Iterator[_Line]:
    shot_of = {shot.row: shot for shot in shots}
    if sorted([*(shot.row for shot in shots), *invalid]) != list(range(1, manifest_table.num_rows + 1)):
        raise ValueError(
            f"{len(shots)} shots and {len(invalid)} invalid rows are not the {manifest_table.num_rows} rows "
            "of the manifest; every row must be exactly one of them"
        )
    unread = _unread_rows(manifest_table, sorted(invalid))
    for row in range(1, manifest_table.num_rows + 1):
        if row in invalid:
            yield _Line(row, unread[row], None, None, Outcome(status="invalid", error=invalid[row]))
            continue
        for take in takes_of(shot_of[row], provider):
            yield _Line(row, take.shot, take.number, take.fingerprint, outcomes.get(take.fingerprint, NOT_SUBMITTED))


def _unread_rows(manifest_table: pa.Table, rows: Sequence[int]) -> dict[int, _Unread]:
    """The cells of these rows by row number; None for a column that is not there."""
    known = [name for name in _Unread._fields if name in manifest_table.column_names]
    bad = manifest_table.select(known).take(pa.array([row - 1 for row in rows], pa.int64()))
    return {
        row: _Unread(**{name: _cell_text(cells.get(name)) for name in _Unread._fields})
        for row, cells in zip(rows, bad.to_pylist(), strict=True)
    }


def _cell_text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    return str(cell)


def _values(name: str, lines: Sequence[_Line]) -> list[Any]:
    """A column of RESULTS_SCHEMA, one value a line, null as None."""
    if name in _Unread._fields:
        return [getattr(line.asked, name) for line in lines]
    derive = _DERIVED.get(name)
    if derive is not None:
        return [derive(line.outcome) for line in lines]
    if name in _OUTCOME_FIELDS:
        return [getattr(line.outcome, name) for line in lines]
    return [getattr(line, name) for line in lines]


def _nsfw(outcome: Outcome) -> bool | None:
    flags, outputs = outcome.has_nsfw_contents or (), outcome.outputs or ()
    if any(flags):
        return True
    return None if not outputs or len(flags) < len(outputs) else False


def _output_url(outcome: Outcome) -> str | None:
    return outcome.outputs[0] if outcome.outputs else None


def _error(outcome: Outcome) -> str | None:
    if outcome.status == "completed":
        return None
    if outcome.status == "pending" and outcome.prediction_id:
        return outcome.error or _STILL_RUNNING
    return outcome.error or _UNEXPLAINED[outcome.status]


def _error_code(outcome: Outcome) -> int | None:
    return None if outcome.status == "completed" else outcome.error_code


_OUTCOME_FIELDS = frozenset(field.name for field in fields(Outcome))
_DERIVED: dict[str, Callable[[Outcome], Any]] = {
    "nsfw": _nsfw,
    "output_url": _output_url,
    "error": _error,
    "error_code": _error_code,
}


def price_key(model: Any, duration: Any, aspect_ratio: Any) -> Any:
    """The key of a kind of take in `animatic.prices_usd`; works on text and on columns of text."""
    return model + "|" + duration + "|" + aspect_ratio


def _prices_usd(lines: Iterable[_Line]) -> dict[str, float]:
    """What one paid submission of each kind of take cost on average, from the takes whose cost is known."""
    spent: dict[str, tuple[float, int]] = {}
    bought = {line.fingerprint: line for line in lines if line.outcome.attempts and line.outcome.cost_usd is not None}
    for line in bought.values():
        key = price_key(line.asked.model, line.asked.duration, line.asked.aspect_ratio)
        cost_usd, attempts = spent.get(key, (0.0, 0))
        spent[key] = (cost_usd + (line.outcome.cost_usd or 0.0), attempts + line.outcome.attempts)
    return {key: round(cost_usd / attempts, 6) for key, (cost_usd, attempts) in spent.items()}


def summary_counts(table: pa.Table) -> dict[str, int]:
    """How many rows have each status, in the order of STATUSES; a status that no row has is 0."""
    counted = {entry["values"]: entry["counts"] for entry in table["status"].value_counts().to_pylist()}
    return {status: counted.get(status, 0) for status in STATUSES}
