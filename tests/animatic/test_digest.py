"""What a run did, in numbers and words: exit codes, sentences, the JSON line, the summary."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from tables import Outcome, build_table, prices_of

from animatic.digest import Digest, digest_of
from animatic.facts import facts_of, not_completed
from animatic.results import STATUSES, Provenance
from animatic.shots import Shot, takes_of

PROVIDER = "https://api.wavespeed.ai"


def shot(row: int) -> Shot:
    image = "https://stills.example/a.png"
    return Shot(row, f"shot|{row}", "reel", image, image, f"push in {row}", "a/model", "16:9", "5s", 1)


def table_of(statuses: Sequence[str]) -> Any:
    shots = [shot(row) for row in range(1, len(statuses) + 1)]
    outcomes = {}
    for each, status in zip(shots, statuses, strict=True):
        (take,) = takes_of(each, PROVIDER)
        is_completed = status == "completed"
        outputs = {"outputs": ("https://cdn.example/a.mp4",), "has_nsfw_contents": (False,)} if is_completed else {}
        outcomes[take.fingerprint] = Outcome(status=status, inference_ms=2_000 if is_completed else None, **outputs)
    manifest = pa.table({"image": [each.image for each in shots], "prompt": [each.prompt for each in shots]})
    return build_table(shots, outcomes, {}, manifest, Provenance("run", "0" * 64))


def digest(statuses: Sequence[str], **more: Any) -> Digest:
    return digest_of(
        facts_of(table := table_of(statuses), prices_of(table)),
        **{"run_id": "run", "results": "out|`.parquet", "submitted": len(statuses), "cost_usd": 2.5} | more,
    )


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["completed"], 0),
        (["completed", "failed"], 3),
        (["rejected"], 3),
        (["pending"], 3),
        (["completed", "unknown"], 4),
        (["failed", "held"], 4),
        (["failed", "unknown", "pending", "rejected"], 4),
    ],
)
def test_the_exit_code_is_that_of_the_gravest_row(statuses: list[str], code: int) -> None:
    assert digest(statuses).exit_code == code
    assert digest(statuses, is_interrupted=True).exit_code == 130


def test_an_invalid_row_is_not_completed() -> None:
    counts = dict.fromkeys(STATUSES, 0) | {"completed": 1, "invalid": 1}
    invalid = Digest("run", "out.parquet", counts, 1, 0, 2.5, digest(["completed"]).summary)
    assert invalid.exit_code == 3
    assert invalid.sentence == "1 of 2 completed; 1 invalid"


def test_the_sentence_names_what_is_missing_and_why_it_stopped() -> None:
    assert digest(["completed"]).sentence == "1 of 1 completed"
    stopped = digest(["completed", "pending", "pending"], stopped_by="the key was refused")
    assert stopped.sentence == "1 of 3 completed; 2 pending. Stopped: the key was refused"
    assert "Money may be at stake" in digest(["held"]).sentence
    assert "Money" not in stopped.sentence


def test_the_json_line_has_the_keys_of_the_contract_in_order() -> None:
    line = digest(["completed", "failed"], cost_usd=None).as_json()
    assert "\n" not in line
    assert list(json.loads(line)) == ["run_id", *STATUSES, "submitted", "cached", "cost_usd", "results"]
    assert json.loads(line) == dict.fromkeys(STATUSES, 0) | {
        "run_id": "run",
        "completed": 1,
        "failed": 1,
        "submitted": 2,
        "cached": 0,
        "cost_usd": None,
        "results": "out|`.parquet",
    }


def test_the_text_leaves_out_statuses_that_no_row_has() -> None:
    text = digest(["completed", "failed"]).as_text()
    assert "failed" in text
    assert "unknown" not in text
    assert "2.00" in text


def test_the_markdown_is_one_table_whatever_names_hold() -> None:
    lines = digest(["completed"]).as_markdown().splitlines()
    assert "Results: `out|'.parquet`" in lines
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 4  # names, rule, the reel, all
    assert {row.count("|") for row in rows} == {rows[0].count("|")}
    assert "price not known" in digest(["completed"], cost_usd=None).as_markdown()


def test_the_rows_that_are_not_completed_are_the_first_ones_as_plain_values() -> None:
    rows = not_completed(table_of(["failed", "completed", "pending", "pending"]), 2)
    assert [(row["row"], row["status"]) for row in rows] == [(1, "failed"), (3, "pending")]
    assert all(None not in row.values() for row in rows)
    assert json.loads(json.dumps(rows)) == rows
    assert not_completed(table_of(["completed"]), 2) == []
