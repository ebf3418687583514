from datetime import UTC, datetime

import pyarrow as pa
import pytest
from tables import PROVIDER, Outcome, build_table

from animatic.facts import facts_of
from animatic.results import RESULTS_SCHEMA, STATUSES, Provenance
from animatic.shots import DEFAULT_MODEL, Shot, takes_of

PROVENANCE = Provenance(run_id="run-1", manifest_sha256="ab" * 32)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shot(row: int, prompt: str = "push in", takes: int = 1, storyboard: str = "harbour", duration: str = "5s") -> Shot:
    image = "https://stills.example/a.png"
    return Shot(row, f"shot-{row}", storyboard, image, image, prompt, DEFAULT_MODEL, "16:9", duration, takes)


def manifest(rows: int, **columns: list[object]) -> pa.Table:
    return pa.table({"image": ["a.png"] * rows, "prompt": ["push in"] * rows, **columns})


def only_row(outcome: Outcome) -> dict[str, object]:
    asked = shot(1)
    (take,) = takes_of(asked, PROVIDER)
    return build_table([asked], {take.fingerprint: outcome}, {}, manifest(1), PROVENANCE).to_pylist()[0]


def test_the_columns_and_types_are_those_promised_to_users() -> None:
    moment = pa.timestamp("us", tz="UTC")
    assert {field.name: field.type for field in RESULTS_SCHEMA} == {
        "row": pa.int64(),
        **dict.fromkeys(("shot_id", "storyboard"), pa.string()),
        "take": pa.int32(),
        **dict.fromkeys(("image", "prompt", "model", "aspect_ratio", "duration", "status"), pa.string()),
        "outputs": pa.list_(pa.string()),
        "has_nsfw_contents": pa.list_(pa.bool_()),
        "output_url": pa.string(),
        "nsfw": pa.bool_(),
        "inference_ms": pa.int64(),
        **dict.fromkeys(("prediction_id", "prediction_status"), pa.string()),
        "error_code": pa.int64(),
        "error": pa.string(),
        **dict.fromkeys(("submitted_at", "completed_at", "created_at"), moment),
        **dict.fromkeys(("polls", "attempts"), pa.int32()),
        "cached": pa.bool_(),
        **dict.fromkeys(("fingerprint", "run_id"), pa.string()),
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


def test_a_take_that_the_ledger_does_not_know_is_pending_and_says_so() -> None:
    row = build_table([shot(1)], {}, {}, manifest(1), PROVENANCE).to_pylist()[0]
    assert (row["status"], row["error"]) == ("pending", "not submitted when the run stopped")
    assert (row["attempts"], row["polls"], row["cached"], row["run_id"]) == (0, 0, False, None)


def test_a_pending_take_that_was_submitted_is_said_to_be_running() -> None:
    row = only_row(Outcome(status="pending", prediction_id="p-1", attempts=1))
    assert row["error"] == "still running when the run stopped; the next run looks at it again"


def test_an_outcome_fills_its_row() -> None:
    row = only_row(
        Outcome(
            status="completed",
            outputs=("https://cdn.example/1.mp4", "https://cdn.example/2.mp4"),
            has_nsfw_contents=(False, False),
            inference_ms=41_250,
            prediction_id="p-1",
            prediction_status="completed",
            submitted_at=NOON,
            completed_at=NOON,
            created_at=NOON,
            polls=4,
            attempts=1,
            cached=True,
            run_id="run-0",
            cost_usd=2.5,
        )
    )
    assert row["outputs"] == ["https://cdn.example/1.mp4", "https://cdn.example/2.mp4"]
    assert (row["output_url"], row["nsfw"]) == ("https://cdn.example/1.mp4", False)
    assert row["submitted_at"] == row["completed_at"] == row["created_at"] == NOON
    assert (row["polls"], row["attempts"], row["cached"], row["run_id"]) == (4, 1, True, "run-0")
    assert (row["prediction_id"], row["inference_ms"], row["image"]) == ("p-1", 41_250, "https://stills.example/a.png")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("error", [None, "", "content moderated"])
def test_there_is_an_error_exactly_where_a_take_is_not_completed(status: str, error: str | None) -> None:
    row = only_row(Outcome(status=status, error=error, error_code=1200))
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
        (None, None, None),
        ((False,), None, None),
        ((False,), 0, None),
        ((True,), None, True),
        ((False, False), 1, False),
    ],
)
def test_nsfw_is_true_if_any_flag_is_and_null_where_flags_are_missing(
    flags: tuple[bool, ...] | None, outputs: int | None, nsfw: bool | None
) -> None:
    urls = None if outputs is None else ("https://cdn.example/x.mp4",) * outputs
    assert only_row(Outcome(status="completed", outputs=urls, has_nsfw_contents=flags))["nsfw"] is nsfw


def test_an_invalid_row_is_there_once_with_its_fault_and_its_cells_as_text() -> None:
    raw = pa.table({"image": ["a.png", None], "prompt": ["x", "y"], "duration": [5.0, 9.0], "takes": [1, 3]})
    row = build_table([shot(1)], {}, {2: "duration: found 9.0"}, raw, PROVENANCE).to_pylist()[1]
    assert (row["status"], row["error"], row["take"]) == ("invalid", "duration: found 9.0", None)
    assert (row["image"], row["prompt"], row["duration"], row["model"]) == (None, "y", "9.0", None)
    assert (row["fingerprint"], row["takes"], row["attempts"]) == (None, 3, 0)


def test_rows_that_ask_for_the_same_take_show_the_same_outcome() -> None:
    (take,) = takes_of(shot(1), PROVIDER)
    outcomes = {take.fingerprint: Outcome(status="completed", outputs=("https://cdn.example/1.mp4",))}
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


def test_prices_are_what_a_submission_of_each_kind_cost_shared_takes_counted_once() -> None:
    shots = [shot(1), shot(2), shot(3, duration="8s"), shot(4, prompt="tilt up"), shot(5, duration="6s")]
    spent = {1: (2.5, 1), 3: (8.0, 2), 4: (3.5, 1), 5: (None, 1)}
    outcomes = {
        take.fingerprint: Outcome(status="failed", cost_usd=spent[asked.row][0], attempts=spent[asked.row][1])
        for asked in shots
        if asked.row in spent
        for take in takes_of(asked, PROVIDER)
    }
    table = build_table(shots, outcomes, {}, manifest(5), PROVENANCE)
    assert table.schema.metadata == {
        b"animatic.schema_version": b"1",
        b"animatic.run_id": b"run-1",
        b"animatic.manifest_sha256": b"ab" * 32,
        b"animatic.prices_usd": b'{"wavespeed-ai/veo2-i2v|5s|16:9": 3.0, "wavespeed-ai/veo2-i2v|8s|16:9": 4.0}',
    }


def test_counts_are_by_row() -> None:
    table = build_table([shot(1, takes=3)], {}, {2: "bad"}, manifest(2), PROVENANCE)
    assert facts_of(table, {}).counts == {"pending": 3, "invalid": 1}
