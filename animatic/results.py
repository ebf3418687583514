"""The results table: its columns, and how what the ledger knows becomes its rows, some thousands at a time.

Arrow in, Arrow out. It reads and writes no files, asks neither ledger nor API, and knows no pandas.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from animatic.fingerprints import Digests, hex_of

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them

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


_ASKED = ("shot_id", "storyboard", "image", "prompt", "model", "aspect_ratio", "duration")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a table comes from: the run that writes it, and the manifest's bytes."""

    run_id: str
    manifest_sha256: str

    @property
    def metadata(self) -> dict[str, str]:
        """What a results file says of itself; what its takes cost comes behind it, once that is known."""
        return {
            "animatic.schema_version": SCHEMA_VERSION,
            "animatic.run_id": self.run_id,
            "animatic.manifest_sha256": self.manifest_sha256,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Outcomes:
    """What the ledger knows of some takes, in columns.

    Attributes:
        status: one of STATUSES.
        outputs, has_nsfw_contents: lists, or None.
        error: why it is not completed; where it is missing or empty, the table says what the status alone says.
        submitted_at, completed_at: ours; `created_at`: the API's. Aware, UTC.
        attempts: paid submissions; one that was refused was not paid.
        cached: whether it was already final when this run began.
        cost_usd: what all its attempts together came to; None where no price was known.
    """

    status: Sequence[str]
    outputs: Sequence[Sequence[str] | None]
    has_nsfw_contents: Sequence[Sequence[bool] | None]
    inference_ms: Sequence[int | None]
    prediction_id: Sequence[str | None]
    prediction_status: Sequence[str | None]
    error_code: Sequence[int | None]
    error: Sequence[str | None]
    submitted_at: Sequence[Any]
    completed_at: Sequence[Any]
    created_at: Sequence[Any]
    polls: Sequence[int]
    attempts: Sequence[int]
    cached: Sequence[bool]
    run_id: Sequence[str | None]
    cost_usd: Sequence[float | None]


def schema_of(carried: pa.Schema, metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """The columns of a results table: RESULTS_SCHEMA, then those that are carried."""
    return pa.schema([*RESULTS_SCHEMA, *carried], metadata)


def table_of(asked: Asked, outcomes: Outcomes, found: NDArray[np.int64]) -> pa.Table:
    """One row per manifest row and take, in that order: the columns of RESULTS_SCHEMA, then the manifest's others.

    `found` says for each take of `asked` which of the outcomes is its own; -1 for none: then it is `pending`.
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
        **{name: asked.rows.column(name).take(pa.array(owner)) for name in _ASKED},
        **_outcome_columns(outcomes, which, _told(outcomes), asked.rows.column("fault").take(pa.array(owner)), is_take),
    }
    carried = asked.carried.take(pa.array(owner)).columns if asked.carried.num_columns else []
    arrays = [columns[field.name] for field in RESULTS_SCHEMA]
    return pa.Table.from_arrays([*arrays, *carried], schema=schema_of(asked.carried.schema))


def _outcome_columns(
    outcomes: Outcomes, which: NDArray[np.int64], errors: list[str | None], fault: pa.Array, is_take: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """The columns that tell what came of each line."""
    at = pa.array(which, mask=which < 0)
    derived: dict[str, Sequence[Any]] = {
        "error": errors,
        "error_code": [
            None if status == "completed" else code
            for status, code in zip(outcomes.status, outcomes.error_code, strict=True)
        ],
        "output_url": [outputs[0] if outputs else None for outputs in outcomes.outputs],
        "nsfw": [
            _nsfw(outputs, flags) for outputs, flags in zip(outcomes.outputs, outcomes.has_nsfw_contents, strict=True)
        ],
    }
    columns: dict[str, pa.Array] = {}
    for name in _OUTCOME_COLUMNS:
        values: Any = derived.get(name, getattr(outcomes, name, None))
        columns[name] = pa.array(values, RESULTS_SCHEMA.field(name).type).take(at)
    nothing = {"status": "pending", "error": _UNEXPLAINED["pending"], "polls": 0, "attempts": 0, "cached": False}
    for name, value in nothing.items():
        is_missing = pa.array(which < 0)
        columns[name] = pc.if_else(is_missing, pa.scalar(value, columns[name].type), columns[name])
    if not is_take.all():
        is_invalid = pa.array(~is_take)
        told = pc.if_else(pc.equal(fault, ""), _UNEXPLAINED["invalid"], fault)
        columns["status"] = pc.if_else(is_invalid, "invalid", columns["status"])
        columns["error"] = pc.if_else(is_invalid, told, columns["error"])
    return columns


_OUTCOME_COLUMNS = (
    *("status", "outputs", "has_nsfw_contents", "output_url", "nsfw", "inference_ms", "prediction_id"),
    *("prediction_status", "error_code", "error", "submitted_at", "completed_at", "created_at", "polls", "attempts"),
    *("cached", "run_id"),
)


def _spread(values: pa.Array, is_there: NDArray[np.bool_]) -> pa.Array:
    """The values where they are, nulls elsewhere."""
    if is_there.all():
        return values
    return values.take(pa.array(np.cumsum(is_there) - 1, mask=~is_there))


def _nsfw(outputs: Sequence[str] | None, flags: Sequence[bool] | None) -> bool | None:
    if flags and any(flags):
        return True
    return None if not outputs or len(flags or ()) < len(outputs) else False


def _told(outcomes: Outcomes) -> list[str | None]:
    """Why each is not completed; None where it is."""
    return [
        None
        if status == "completed"
        else error or (_STILL_RUNNING if status == "pending" and prediction_id else _UNEXPLAINED[status])
        for status, error, prediction_id in zip(outcomes.status, outcomes.error, outcomes.prediction_id, strict=True)
    ]


class Prices:
    """What one paid submission of each kind of take cost on average, from the takes whose cost is known."""

    def __init__(self) -> None:
        self._spent: dict[str, tuple[float, int]] = {}

    def add(self, kind: str, cost_usd: float | None, attempts: int) -> None:
        """A take, once however many rows share it; `kind` is a `price_key`."""
        if attempts and cost_usd is not None:
            before_usd, before = self._spent.get(kind, (0.0, 0))
            self._spent[kind] = (before_usd + cost_usd, before + attempts)

    def usd(self) -> dict[str, float]:
        """By `price_key`."""
        return {kind: round(cost_usd / attempts, 6) for kind, (cost_usd, attempts) in self._spent.items()}

    @property
    def metadata(self) -> dict[str, str]:
        """What a results file says of them."""
        return {"animatic.prices_usd": json.dumps(self.usd())}


def price_key(model: Any, duration: Any, aspect_ratio: Any) -> Any:
    """The key of a kind of take in `animatic.prices_usd`; works on text and on columns of text."""
    return model + "|" + duration + "|" + aspect_ratio
