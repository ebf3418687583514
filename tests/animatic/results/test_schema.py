from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from asked import shot_of, stats_of, takes_of
from tables import PROVIDER, TakeOutcome, build_table, outcome_of

from animatic.results.columns import RESULTS_SCHEMA, STATUSES
from animatic.results.schema import Provenance, decimals_of, microusd_of
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.shots import Shot

PROVENANCE = Provenance(run_id="run-1", manifest_sha256="ab" * 32)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shot(row: int, prompt: str = "push in", takes: int = 1, storyboard: str = "harbour", duration: str = "5s") -> Shot:
    own = {"shot_id": f"shot-{row}", "storyboard": storyboard, "takes": takes}
    return shot_of(row, prompt=prompt, duration=duration, **own)


def manifest(rows: int, **columns: list[object]) -> pa.Table:
    return pa.table({"image": ["a.png"] * rows, "prompt": ["push in"] * rows, **columns})


def only_row(outcome: TakeOutcome) -> dict[str, object]:
    asked = shot(1)
    (take,) = takes_of(asked, PROVIDER)
    return build_table([asked], {take.fingerprint: outcome}, {}, manifest(1), PROVENANCE).to_pylist()[0]


def spent_on(price_microusd: int | None, attempts: int) -> TakeOutcome:
    """A take that failed each time it was bought, or was refused and never bought."""
    return outcome_of("failed" if attempts else "rejected", quoted_microusd=price_microusd, attempts=attempts)


def test_the_columns_and_types_are_those_promised_to_users() -> None:
    moment = pa.timestamp("us", tz="UTC")
    assert {field.name: field.type for field in RESULTS_SCHEMA} == {
        "row": pa.int64(),
        **dict.fromkeys(("shot_id", "storyboard"), pa.string()),
        "take": pa.int32(),
        **dict.fromkeys(
            ("image", "prompt", "still_uri", "model", "aspect_ratio", "duration", "inputs", "status"), pa.string()
        ),
        "outputs": pa.list_(pa.string()),
        "has_nsfw_contents": pa.list_(pa.bool_()),
        "output_url": pa.string(),
        "nsfw": pa.bool_(),
        "outputs_expire_at": moment,
        "inference_ms": pa.int64(),
        **dict.fromkeys(("prediction_id", "prediction_status", "prediction_model"), pa.string()),
        "error_code": pa.int64(),
        "error": pa.string(),
        **dict.fromkeys(("submitted_at", "completed_at", "created_at"), moment),
        **dict.fromkeys(("polls", "attempts"), pa.int32()),
        **dict.fromkeys(("quoted_usd", "charged_usd", "refunded_usd"), pa.decimal128(12, 6)),
        "cached": pa.bool_(),
        **dict.fromkeys(("clip_uri", "sha256", "clips", "archive_error"), pa.string()),
        "size_bytes": pa.int64(),
        **dict.fromkeys(("clip_duration_s", "clip_fps"), pa.float64()),
        **dict.fromkeys(("clip_width", "clip_height", "clip_frames", "cuts"), pa.int32()),
        "qa": pa.list_(pa.string()),
        **dict.fromkeys(("first_frame_similarity", "black_fraction", "frozen_fraction", "motion"), pa.float64()),
        **dict.fromkeys(("flow_run_id", "fingerprint", "run_id"), pa.string()),
    }
    assert RESULTS_SCHEMA.names[:4] == ["row", "shot_id", "storyboard", "take"]
    assert RESULTS_SCHEMA.names[-2:] == ["fingerprint", "run_id"]


def test_rows_come_in_manifest_order_then_by_take() -> None:
    table = build_table([shot(1, takes=2), shot(3)], {}, {2: "prompt: found nothing"}, manifest(3), PROVENANCE)
    assert table.select(["row", "take"]).to_pylist() == [
        {"row": 1, "take": 1},
        {"row": 1, "take": 2},
        {"row": 2, "take": None},
        {"row": 3, "take": 1},
    ]


def test_a_take_the_ledger_does_not_know_is_pending() -> None:
    row = build_table([shot(1)], {}, {}, manifest(1), PROVENANCE).to_pylist()[0]
    assert (row["status"], row["error"]) == ("pending", "not submitted when the run stopped")
    assert (row["attempts"], row["polls"], row["cached"], row["run_id"]) == (0, 0, False, None)
    assert (row["quoted_usd"], row["prediction_model"], row["outputs_expire_at"]) == (Decimal(0), None, None)


def test_a_pending_take_that_was_submitted_is_said_to_be_running() -> None:
    bought = {"attempts": 1, "run_id": "run-0", "quoted_microusd": 2_500_000, "submitted_at": NOON}
    row = only_row(outcome_of("pending", prediction_id="p-1", prediction_status="created", **bought))
    assert row["error"] == "still running when the run stopped; the next run looks at it again"


def test_an_outcome_fills_its_row() -> None:
    row = only_row(
        TakeOutcome(
            status="completed",
            outputs=("https://cdn.example/1.mp4", "https://cdn.example/2.mp4"),
            has_nsfw_contents=(False, False),
            inference_ms=41_250,
            prediction_id="p-1",
            prediction_status="completed",
            prediction_model="wavespeed-ai/veo2-i2v-2",
            submitted_at=NOON,
            completed_at=NOON,
            created_at=NOON,
            polls=4,
            attempts=1,
            cached=True,
            run_id="run-0",
            quoted_microusd=2_500_000,
            charged_microusd=2_500_001,
            refunded_microusd=0,
        )
    )
    assert (row["charged_usd"], row["refunded_usd"]) == (Decimal("2.500001"), 0)
    assert row["outputs"] == ["https://cdn.example/1.mp4", "https://cdn.example/2.mp4"]
    assert (row["output_url"], row["nsfw"]) == ("https://cdn.example/1.mp4", False)
    assert row["submitted_at"] == row["completed_at"] == row["created_at"] == NOON
    assert (row["polls"], row["attempts"], row["cached"], row["run_id"]) == (4, 1, True, "run-0")
    assert (row["prediction_id"], row["inference_ms"], row["image"]) == ("p-1", 41_250, "https://stills.example/a.png")
    assert (row["prediction_model"], row["model"]) == ("wavespeed-ai/veo2-i2v-2", DEFAULT_MODEL)
    assert (row["quoted_usd"], row["still_uri"]) == (Decimal("2.5"), "https://stills.example/a.png")
    assert row["outputs_expire_at"] == NOON + timedelta(days=7)


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "invalid"])
@pytest.mark.parametrize("error", [None, "", "content moderated"])
def test_there_is_an_error_exactly_where_a_take_is_not_completed(status: str, error: str | None) -> None:
    row = only_row(outcome_of(status, error=error, error_code=1200))
    if status == "completed":
        assert (row["error"], row["error_code"]) == (None, None)
    else:
        assert row["error"] == error or (not error and len(row["error"]) > 20)
        assert row["error_code"] == 1200


@pytest.mark.parametrize(
    ("flags", "outputs", "nsfw"),
    [
        ((True,), 1, True),
        ((False,), 1, False),
        ((False, True), 2, True),
        ((False, False), 2, False),
        ((False,), 2, None),
        ((True,), 2, True),
        ((), 1, None),
        (None, 1, None),
        (None, 0, None),
        ((False,), 0, None),
        ((True,), 0, True),
        ((False, False), 1, False),
        ((None,), 1, None),
        ((None, True), 2, True),
        ((None, False), 2, None),
        ((False, None), 2, None),
        ((False, None), 1, False),
    ],
)
def test_nsfw_is_true_by_any_flag_null_without_flags(
    flags: tuple[bool | None, ...] | None, outputs: int, nsfw: bool | None
) -> None:
    status = "completed" if outputs else "failed"  # what is completed without outputs has failed
    urls = ("https://cdn.example/x.mp4",) * outputs
    row = only_row(outcome_of(status, outputs=urls, has_nsfw_contents=flags))
    assert row["nsfw"] is nsfw
    assert row["has_nsfw_contents"] == (None if flags is None else list(flags))


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("submitted_at", "inference_ms", "completed_at", "expires_at"),
    [
        (NOON, 60_000, NOON + timedelta(minutes=2), NOON + timedelta(days=7, minutes=2)),
        (NOON, 60_000, NOON + HOUR + timedelta(minutes=1), NOON + HOUR + timedelta(days=7, minutes=1)),
        (NOON, 60_000, NOON + HOUR + timedelta(minutes=2), NOON + timedelta(days=7, minutes=1)),
        (NOON, None, NOON + timedelta(days=6), NOON + timedelta(days=7)),
        (NOON, 60_000, NOON + timedelta(days=30), NOON + timedelta(days=7, minutes=1)),
        (None, 60_000, NOON, NOON + timedelta(days=7)),  # this one and those below are from an imported table
        (NOON, 60_000, None, None),
        (None, None, None, None),
    ],
)
def test_outputs_expire_seven_days_after_the_take_was_done(
    submitted_at: datetime | None, inference_ms: int | None, completed_at: datetime | None, expires_at: datetime | None
) -> None:
    moments = {"submitted_at": submitted_at, "completed_at": completed_at}
    row = only_row(outcome_of("completed", inference_ms=inference_ms, **moments))
    assert row["outputs_expire_at"] == expires_at


@pytest.mark.parametrize("status", [status for status in STATUSES if status not in {"completed", "invalid"}])
def test_what_is_not_completed_has_nothing_that_expires(status: str) -> None:
    assert only_row(outcome_of(status))["outputs_expire_at"] is None


def test_an_invalid_row_is_there_once_with_its_fault() -> None:
    raw = pa.table({"image": ["a.png", None], "prompt": ["x", "y"], "duration": [5.0, 9.0], "takes": [1, 3]})
    row = build_table([shot(1)], {}, {2: "duration: found 9.0"}, raw, PROVENANCE).to_pylist()[1]
    assert (row["status"], row["error"], row["take"]) == ("invalid", "duration: found 9.0", None)
    assert (row["image"], row["prompt"], row["duration"], row["model"]) == (None, "y", "9.0", None)
    assert (row["fingerprint"], row["takes"], row["attempts"]) == (None, 3, 0)
    assert (row["quoted_usd"], row["still_uri"], row["outputs_expire_at"]) == (None, None, None)


def test_rows_that_ask_for_the_same_take_show_the_same_outcome() -> None:
    (take,) = takes_of(shot(1), PROVIDER)
    outcomes = {take.fingerprint: outcome_of("completed")}
    table = build_table([shot(1), shot(2)], outcomes, {}, manifest(2), PROVENANCE)
    assert table["output_url"].to_pylist() == ["https://cdn.example/1.mp4"] * 2
    assert table["shot_id"].to_pylist() == ["shot-1", "shot-2"]


def test_other_manifest_columns_are_carried_unchanged_with_their_types() -> None:
    raw = manifest(
        2,
        scene=pa.array([7, None], pa.int16()),
        tags=pa.array([["a"], []]),
        mood=pa.array(["calm", "wild"]).dictionary_encode(),
    )
    table = build_table([shot(1, takes=2), shot(2)], {}, {}, raw, PROVENANCE)
    assert table.column_names == [*RESULTS_SCHEMA.names, "scene", "tags", "mood"]
    assert table.schema.field("scene").type == pa.int16()
    assert table.schema.field("mood").type == raw.schema.field("mood").type
    assert table.select(["scene", "tags", "mood"]).to_pylist() == [
        {"scene": 7, "tags": ["a"], "mood": "calm"},
        {"scene": 7, "tags": ["a"], "mood": "calm"},
        {"scene": None, "tags": [], "mood": "wild"},
    ]


def test_a_manifest_column_named_like_a_results_column_appears_once_as_ours() -> None:
    raw = manifest(1, status=["approved by Ann"], row=["x"], note=["kept"])
    table = build_table([shot(1)], {}, {}, raw, PROVENANCE)
    assert table.column_names == [*RESULTS_SCHEMA.names, "note"]
    assert table.to_pylist()[0]["status"] == "pending"


def test_a_shared_take_shows_its_price_in_its_first_row_only() -> None:
    shots = [shot(1), shot(2, takes=2), shot(3, duration="8s"), shot(4, prompt="tilt up"), shot(5, duration="6s")]
    spent = {1: (2_500_000, 1), 3: (8_000_001, 2), 4: (0, 0), 5: (None, 1)}
    outcomes = {
        take.fingerprint: spent_on(*spent[asked.row])
        for asked in shots
        if asked.row in spent
        for take in takes_of(asked, PROVIDER)
    }
    table = build_table(shots, outcomes, {6: "bad"}, manifest(6), PROVENANCE)
    assert table["quoted_usd"].to_pylist() == [
        Decimal("2.5"),
        None,  # the take of row 1 again
        Decimal(0),  # a take that nobody has bought yet
        Decimal("8.000001"),
        Decimal(0),
        None,  # its price is not known
        None,  # an invalid row
    ]
    stats = stats_of(table)
    assert stats.manifest_cost_microusd == 10_500_001
    assert stats.column("attempts").tolist() == [1, 0, 0, 2, 0, 1, 0]


@pytest.mark.parametrize(
    ("spent", "cost_microusd"),
    [
        ({1: (2_500_000, 1), 2: (None, 1)}, 2_500_000),
        ({1: (None, 1), 2: (None, 2)}, None),
        ({1: (None, 1)}, None),
        ({1: (0, 0)}, 0),
        ({}, 0),
    ],
)
def test_the_cost_of_a_manifest_is_unknown_only_without_any_price(
    spent: dict[int, tuple[int | None, int]], cost_microusd: int | None
) -> None:
    shots = [shot(1, prompt="one"), shot(2, prompt="two")]
    outcomes = {
        take.fingerprint: spent_on(*spent[asked.row])
        for asked in shots
        if asked.row in spent
        for take in takes_of(asked, PROVIDER)
    }
    assert stats_of(build_table(shots, outcomes, {}, manifest(2), PROVENANCE)).manifest_cost_microusd == cost_microusd


def test_outputs_are_expired_or_expiring_by_the_moment() -> None:
    shots = [shot(row, prompt=f"{row}") for row in range(1, 6)]
    done = [NOON - timedelta(days=7), NOON - timedelta(days=6, hours=1), NOON - timedelta(days=5), NOON, None]
    outcomes = {
        take.fingerprint: outcome_of("completed", submitted_at=moment, completed_at=moment)
        for asked, moment in zip(shots, done, strict=True)
        for take in takes_of(asked, PROVIDER)
    }
    stats = stats_of(build_table(shots, outcomes, {}, manifest(5), PROVENANCE))
    assert stats.expiring(NOON, timedelta(days=1)) == (1, 1)
    assert stats.expiring(NOON - timedelta(seconds=1), timedelta(days=1)) == (0, 2)
    assert stats.expiring(NOON + timedelta(days=8), timedelta(days=1)) == (4, 0)


def test_amounts_survive_the_column_of_decimals() -> None:
    amounts = np.array([0, 1, 2_500_000, 999_999_999_999, 7], np.int64)
    column = decimals_of(amounts, np.array([True, True, True, True, False]))
    assert column.type == pa.decimal128(12, 6)
    assert column.to_pylist() == [
        Decimal(0),
        Decimal("0.000001"),
        Decimal("2.5"),
        Decimal("999999.999999"),
        None,
    ]
    column.validate(full=True)
    assert microusd_of(pa.chunked_array([column])).tolist() == [0, 1, 2_500_000, 999_999_999_999, -1]
    assert microusd_of(pa.chunked_array([column]).slice(1, 2)).tolist() == [1, 2_500_000]
    assert microusd_of(pa.chunked_array([column.slice(2), column.slice(0, 1)])).tolist() == [
        *(2_500_000, 999_999_999_999, -1, 0)
    ]
    assert microusd_of(pa.chunked_array([], pa.decimal128(12, 6))).tolist() == []


def test_the_metadata_says_which_run_and_manifest_it_is_of() -> None:
    assert build_table([shot(1)], {}, {}, manifest(1), PROVENANCE).schema.metadata == {
        b"animatic.schema_version": b"7",
        b"animatic.run_id": b"run-1",
        b"animatic.manifest_sha256": b"ab" * 32,
    }


def test_counts_are_by_row() -> None:
    table = build_table([shot(1, takes=3)], {}, {2: "bad"}, manifest(2), PROVENANCE)
    assert stats_of(table).counts == {"pending": 3, "invalid": 1}
