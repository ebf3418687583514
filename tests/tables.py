"""Results tables for tests: of outcomes that are written down by hand, and, row by row, as they ought to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from asked import takes_of

from animatic.manifest.header import COLUMNS
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.schema import CheckedRows, Provenance, table_of
from animatic.takes.fingerprints import digests_of
from animatic.takes.inputs import as_json
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.shots import Shot
from animatic.takes.states import State, status_of

PROVIDER = "https://api.wavespeed.ai"
STATE_OF = {status_of(state): state for state in State if state is not State.SUBMITTING}
SUBMITTED_AT = datetime(2026, 3, 1, 11, 59, tzinfo=UTC)
TEXTS = ("shot_id", "storyboard", "image", "prompt", "model", "aspect_ratio", "duration", "inputs")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOutcome:
    """Outcome of one take, named as the columns of the ledger's view."""

    status: str
    outputs: tuple[str, ...] | None = None
    has_nsfw_contents: tuple[bool | None, ...] | None = None
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
    flow_run_id: str | None = None
    quoted_microusd: int | None = None
    charged_microusd: int | None = None
    refunded_microusd: int | None = None


MONEY = ("quoted", "charged", "refunded")


def outcome_of(status: str, **changes: Any) -> TakeOutcome:
    """Return an outcome with all that a run leaves of a take with this status, bought once at most, for $2.50.

    A moment or an error may be missing where a table was imported that has none.
    """
    usual: dict[str, Any] = {"quoted_microusd": 0}
    if status in {"completed", "failed", "unknown", "held"}:
        usual = {"attempts": 1, "run_id": "run-0", "quoted_microusd": 2_500_000}
    if status in {"completed", "failed"}:
        usual |= {"prediction_id": "p-1", "prediction_status": status, "prediction_model": DEFAULT_MODEL}
        usual |= {"submitted_at": SUBMITTED_AT, "created_at": SUBMITTED_AT, "polls": 4, "outputs": ()}
        usual["completed_at"] = SUBMITTED_AT + timedelta(minutes=1)
    if status == "completed":
        usual |= {"outputs": ("https://cdn.example/1.mp4",), "has_nsfw_contents": (False,), "inference_ms": 40_000}
    return TakeOutcome(status=status, **(usual | changes))


def state_of(outcome: TakeOutcome) -> State:
    """Return the state of an outcome; a take that is pending with a prediction is in flight."""
    is_in_flight = outcome.status == "pending" and outcome.prediction_id is not None
    return State.SUBMITTED if is_in_flight else STATE_OF[outcome.status]


def cells_of(raw: pa.Table, row: int) -> dict[str, str | None]:
    """The cells of a row as text; None for a column that is not there."""
    found = raw.slice(row - 1, 1).to_pylist()[0]
    return {name: None if found.get(name) is None else str(found[name]) for name in TEXTS}


def texts_of(shot: Shot) -> dict[str, str]:
    """The cells of a shot's row."""
    own = {name: getattr(shot, name) for name in ("shot_id", "storyboard", "image", "model")}
    return {**shot.inputs, **own, "inputs": as_json(dict(shot.inputs.replaced(image=shot.image)))}


def build_table(
    shots: Sequence[Shot],
    outcomes: Mapping[str, TakeOutcome],
    invalid: Mapping[int, str],
    raw: pa.Table,
    provenance: Provenance,
) -> pa.Table:
    """A table in one piece, metadata included; a take without an outcome is one that the ledger does not know."""
    shot_of = {shot.row: shot for shot in shots}
    rows = [
        {"fault": invalid[row], **cells_of(raw, row)} if row in invalid else {"fault": None, **texts_of(shot_of[row])}
        for row in range(1, raw.num_rows + 1)
    ]
    takes = [take for row in sorted(shot_of) for take in takes_of(shot_of[row], PROVIDER)]
    known = list(outcomes)
    columns = {field.name: [getattr(outcomes[key], field.name) for key in known] for field in fields(TakeOutcome)}
    columns["state"] = [state_of(outcomes[key]) for key in known]
    del columns["status"]
    columns["cost_microusd"] = columns.pop("quoted_microusd")
    columns["clips"] = [() for _ in known]
    carried = raw.select([name for name in raw.column_names if name not in RESULTS_SCHEMA.names]).combine_chunks()
    asked = CheckedRows(
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
    table = table_of(asked, columns, found, np.array(is_first, bool))
    return table.replace_schema_metadata(provenance.metadata)


UNEXPLAINED = {
    "failed": "the API accepted it, then failed it without saying why",
    "rejected": "the API refused it without saying why; nothing was bought",
    "unknown": "it is not known yet whether the API accepted it; `animatic reconcile` settles it",
    "held": "reconciling could not settle whether it was bought; a person must",
    "pending": "not submitted when the run stopped",
}


def carried_name(name: str) -> str:
    """Return the name under which a manifest's column is carried."""
    return f"manifest_{name}" if name in RESULTS_SCHEMA.names else name


def expected_rows(
    shots: Sequence[Shot], outcomes: Mapping[str, TakeOutcome], invalid: Mapping[int, str], raw: pa.Table, provider: str
) -> list[dict[str, Any]]:
    """Every row of the results of a manifest of URLs, one after the other, as INTERFACE says, without any columns."""
    shot_of = {shot.row: shot for shot in shots}
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for row, cells in enumerate(raw.to_pylist(), start=1):
        carried = {carried_name(name): value for name, value in cells.items() if name not in COLUMNS}
        if row in invalid:
            reported = TakeOutcome(status="invalid", error=invalid[row])
            own = dict.fromkeys(("take", "fingerprint", "still_uri", *(f"{name}_usd" for name in MONEY)))
            own["row"] = row
            rows.append({**own, **cells_of(raw, row), **shown(reported), **carried})
            continue
        for take in takes_of(shot_of[row], provider):
            outcome = outcomes.get(take.fingerprint, TakeOutcome(status="pending", quoted_microusd=0))
            texts = texts_of(take.shot)
            is_first = take.fingerprint not in seen
            seen.add(take.fingerprint)
            own = {
                "row": row,
                "take": take.number,
                "fingerprint": take.fingerprint,
                "still_uri": take.shot.image,
                **{
                    f"{name}_usd": dollars_of(getattr(outcome, f"{name}_microusd")) if is_first else None
                    for name in MONEY
                },
            }
            rows.append({**own, **texts, **shown(outcome), **carried})
    return [{name: line[name] for name in [*RESULTS_SCHEMA.names, *carried]} for line in rows]


NOT_ARCHIVED: dict[str, Any] = dict.fromkeys(
    (
        *("clip_uri", "sha256", "size_bytes", "clips", "archive_error"),
        *("clip_duration_s", "clip_width", "clip_height", "clip_fps", "clip_frames"),
        *("qa", "first_frame_similarity", "black_fraction", "frozen_fraction", "cuts", "motion"),
    )
)


def dollars_of(microusd: int | None) -> Decimal | None:
    """Dollars as the table shows them; None where a price is not known."""
    return None if microusd is None else (Decimal(microusd) / 1_000_000).quantize(Decimal("0.000001"))


def shown(outcome: TakeOutcome) -> dict[str, Any]:
    """Return the cells that show an outcome."""
    flags, outputs = outcome.has_nsfw_contents or (), outcome.outputs or ()
    error = outcome.error or (
        "still running when the run stopped; the next run looks at it again"
        if outcome.status == "pending" and outcome.prediction_id
        else UNEXPLAINED.get(outcome.status)
    )
    is_completed = outcome.status == "completed"
    is_judged = bool(outputs) and len([flag for flag in flags if flag is not None]) >= len(outputs)
    values = {field.name: getattr(outcome, field.name) for field in fields(TakeOutcome) if "microusd" not in field.name}
    return (
        values
        | NOT_ARCHIVED
        | {
            "outputs": None if outcome.outputs is None else list(outcome.outputs),
            "has_nsfw_contents": None if outcome.has_nsfw_contents is None else list(outcome.has_nsfw_contents),
            "output_url": outputs[0] if outputs else None,
            "nsfw": True if True in flags else False if is_judged else None,
            "outputs_expire_at": expiry_of(outcome) if is_completed else None,
            "error": None if is_completed else error,
            "error_code": None if is_completed else outcome.error_code,
        }
    )


def expiry_of(outcome: TakeOutcome) -> datetime | None:
    """Seven days after a take was completed: when we saw it, unless it must have been done more than an hour before."""
    if outcome.completed_at is None:
        return None
    done_at = outcome.completed_at
    if outcome.submitted_at is not None:
        worked_until = outcome.submitted_at + timedelta(milliseconds=outcome.inference_ms or 0)
        if done_at - worked_until > timedelta(hours=1):
            done_at = worked_until
    return done_at + timedelta(days=7)


def expected_cost_microusd(outcomes: Mapping[str, TakeOutcome]) -> int | None:
    """Return the cost of all takes of a manifest, each counted once; None if bought without a known price."""
    prices = [outcome.quoted_microusd for outcome in outcomes.values()]
    is_bought = any(outcome.attempts for outcome in outcomes.values())
    return None if is_bought and not any(prices) else sum(price or 0 for price in prices)
