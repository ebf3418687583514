"""The results table: its columns, and how what the ledger knows becomes its rows, some thousands at a time.

Arrow in, Arrow out. It reads and writes no files, asks neither ledger nor API, and knows no pandas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from animatic.takes.fingerprints import Digests, hex_of
from animatic.takes.models import CHOICES

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them

SCHEMA_VERSION = "2"
STATUSES = ("completed", "failed", "rejected", "unknown", "held", "pending", "invalid")

_MOMENT = pa.timestamp("us", tz="UTC")
QUOTED = pa.decimal128(12, 6)
NEW_IN_2 = ("still_uri", "outputs_expire_at", "prediction_model", "quoted_usd")
"""Columns that tables of schema version 1 do not have; they are read as nulls there."""

OUTPUTS_LIVE = np.timedelta64(7 * 86_400_000_000, "us")
SEEN_LATE = np.timedelta64(3_600_000_000, "us")
"""Where a completed take is seen so much later than it can have been done, its outputs are that much older."""

RESULTS_SCHEMA: pa.Schema = pa.schema(
    [
        ("row", pa.int64()),
        ("shot_id", pa.string()),
        ("storyboard", pa.string()),
        ("take", pa.int32()),
        ("image", pa.string()),
        ("prompt", pa.string()),
        ("still_uri", pa.string()),
        ("model", pa.string()),
        *((name, pa.string()) for name in CHOICES),
        ("status", pa.string()),
        ("outputs", pa.list_(pa.string())),
        ("has_nsfw_contents", pa.list_(pa.bool_())),
        ("output_url", pa.string()),
        ("nsfw", pa.bool_()),
        ("outputs_expire_at", _MOMENT),
        ("inference_ms", pa.int64()),
        ("prediction_id", pa.string()),
        ("prediction_status", pa.string()),
        ("prediction_model", pa.string()),
        ("error_code", pa.int64()),
        ("error", pa.string()),
        ("submitted_at", _MOMENT),
        ("completed_at", _MOMENT),
        ("created_at", _MOMENT),
        ("polls", pa.int32()),
        ("attempts", pa.int32()),
        ("quoted_usd", QUOTED),
        ("cached", pa.bool_()),
        ("fingerprint", pa.string()),
        ("run_id", pa.string()),
    ]
)

_UNEXPLAINED = {
    "failed": "the API accepted it, then failed it without saying why",
    "rejected": "the API refused it without saying why; nothing was bought",
    "unknown": "it is not known yet whether the API accepted it; `animatic reconcile` settles it",
    "held": "reconciling could not settle whether it was bought; a person must",
    "pending": "not submitted when the run stopped",
    "invalid": "the manifest row is invalid",
}
_STILL_RUNNING = "still running when the run stopped; the next run looks at it again"


_ASKED = ("shot_id", "storyboard", "image", "prompt", "still_uri", "model", *CHOICES)


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a table: the run that writes it, and the manifest's bytes."""

    run_id: str
    manifest_sha256: str

    @property
    def metadata(self) -> dict[str, str]:
        """Key-value metadata of a Parquet file."""
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
    """Outcomes of takes in the ledger, in columns.

    Attributes:
        status: one of STATUSES.
        outputs, has_nsfw_contents: lists, or None.
        error: why it is not completed; where it is missing or empty, the table says what the status alone says.
        submitted_at, completed_at: ours; `created_at`: the API's. Aware, UTC.
        attempts: paid submissions; one that was refused was not paid.
        quoted_microusd: the prices of these together, in millionths of a dollar; None where one was not known.
        cached: whether it was already final when this run began.
    """

    status: Sequence[str]
    outputs: Sequence[Sequence[str] | None]
    has_nsfw_contents: Sequence[Sequence[bool | None] | None]
    inference_ms: Sequence[int | None]
    prediction_id: Sequence[str | None]
    prediction_status: Sequence[str | None]
    prediction_model: Sequence[str | None]
    error_code: Sequence[int | None]
    error: Sequence[str | None]
    submitted_at: Sequence[Any]
    completed_at: Sequence[Any]
    created_at: Sequence[Any]
    polls: Sequence[int]
    attempts: Sequence[int]
    cached: Sequence[bool]
    run_id: Sequence[str | None]
    quoted_microusd: Sequence[int | None]


COLUMN_OF = b"animatic.column_of"
"""Metadata of a column in Parquet: `animatic` or `manifest`. A column without it was added by people."""


def schema_of(carried: pa.Schema, metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """Return the columns of a results table: RESULTS_SCHEMA, then the carried ones, each marked with its origin."""
    own = (field.with_metadata({COLUMN_OF: b"animatic"}) for field in RESULTS_SCHEMA)
    of_manifest = (field.with_metadata({COLUMN_OF: b"manifest"}) for field in carried)
    return pa.schema([*own, *of_manifest], metadata)


def table_of(
    asked: Asked, outcomes: Outcomes, found: NDArray[np.int64], is_first: NDArray[np.bool_] | None = None
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
        **{name: asked.rows.column(name).take(pa.array(owner)) for name in _ASKED},
        **_outcome_columns(outcomes, which, _told(outcomes), asked.rows.column("fault").take(pa.array(owner)), is_take),
        "quoted_usd": _quoted(outcomes, which, is_take, is_first),
    }
    carried = asked.carried.take(pa.array(owner)).columns if asked.carried.num_columns else []
    arrays = [columns[field.name] for field in RESULTS_SCHEMA]
    return pa.Table.from_arrays([*arrays, *carried], schema=schema_of(asked.carried.schema))


def _outcome_columns(
    outcomes: Outcomes, which: NDArray[np.int64], errors: list[str | None], fault: pa.Array, is_take: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Return the outcome columns of each line."""
    at = pa.array(which, mask=which < 0)
    derived: dict[str, Any] = {
        "error": errors,
        "error_code": [
            None if status == "completed" else code
            for status, code in zip(outcomes.status, outcomes.error_code, strict=True)
        ],
        "output_url": [outputs[0] if outputs else None for outputs in outcomes.outputs],
        "nsfw": [
            _nsfw(outputs, flags) for outputs, flags in zip(outcomes.outputs, outcomes.has_nsfw_contents, strict=True)
        ],
        "outputs_expire_at": _expiry(outcomes),
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
    *("status", "outputs", "has_nsfw_contents", "output_url", "nsfw", "outputs_expire_at", "inference_ms"),
    *(
        "prediction_id",
        "prediction_status",
        "prediction_model",
        "error_code",
        "error",
        "submitted_at",
        "completed_at",
        "created_at",
        "polls",
        "attempts",
    ),
    *("cached", "run_id"),
)


def _spread(values: pa.Array, is_there: NDArray[np.bool_]) -> pa.Array:
    """Place the values at their positions, and nulls elsewhere."""
    if is_there.all():
        return values
    return values.take(pa.array(np.cumsum(is_there) - 1, mask=~is_there))


def _nsfw(outputs: Sequence[str] | None, flags: Sequence[bool | None] | None) -> bool | None:
    """Return True if any output is flagged; None where one was not judged; else False."""
    if flags and any(flags):
        return True
    judged = sum(flag is not None for flag in flags or ())
    return None if not outputs or judged < len(outputs) else False


def _expiry(outcomes: Outcomes) -> NDArray[Any]:
    """Return when the URLs of completed takes die: 7 days after completion, as far as that is known.

    That is when we saw it; for one that was seen long after it can have been done, when it was submitted and how long
    it was worked on. Both by our own clock.
    """
    completed_at, submitted_at = (_as_numpy(moments) for moments in (outcomes.completed_at, outcomes.submitted_at))
    worked = np.array([each or 0 for each in outcomes.inference_ms], "timedelta64[ms]").astype("timedelta64[us]")
    done_at = submitted_at + worked
    late = completed_at - done_at > SEEN_LATE
    expire_at = np.where(late, done_at, completed_at) + OUTPUTS_LIVE
    is_there = np.array([status == "completed" for status in outcomes.status], bool)
    return np.where(is_there, expire_at, np.datetime64("NaT", "us"))


def _as_numpy(moments: Any) -> NDArray[Any]:
    array = moments if isinstance(moments, pa.Array) else pa.array(moments, _MOMENT)
    return array.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]")


def _quoted(
    outcomes: Outcomes, which: NDArray[np.int64], is_take: NDArray[np.bool_], is_first: NDArray[np.bool_] | None
) -> pa.Array:
    """Return the cost of the paid submissions of each take, in the row that shows it first."""
    prices = np.array([*(-1 if price is None else price for price in outcomes.quoted_microusd), 0], np.int64)[which]
    shown = is_take if is_first is None else is_take & is_first
    return decimals_of(prices, shown & (prices >= 0))


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


def _told(outcomes: Outcomes) -> list[str | None]:
    """Return why each is not completed; None where it is."""
    return [
        None
        if status == "completed"
        else error or (_STILL_RUNNING if status == "pending" and prediction_id else _UNEXPLAINED[status])
        for status, error, prediction_id in zip(outcomes.status, outcomes.error, outcomes.prediction_id, strict=True)
    ]
