"""The summary of a run: exit codes, sentences, the JSON line, the summary."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from asked import shot_of, stats_of, takes_of
from tables import TakeOutcome, build_table

from animatic.ledger import Open
from animatic.results.columns import STATUSES
from animatic.results.schema import Provenance
from animatic.results.stats import not_completed
from animatic.results.summary import MOST_OPEN_NAMED, MOST_OPEN_SHOWN, RunSummary, run_summary_of
from animatic.takes.money.budgets import Reserved
from animatic.takes.money.funds import Funds
from animatic.takes.shots import Shot

PROVIDER = "https://api.wavespeed.ai"


def shot(row: int) -> Shot:
    return shot_of(row, shot_id=f"shot|{row}", storyboard="reel", prompt=f"push in {row}", model="a/model")


def left(number: int, state: str = "unknown", error: str = "the connection broke") -> Open:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return Open(f"{number:064x}", state, moment, error, "run-0", "file:///work/shots.csv")


def table_of(statuses: Sequence[str], done_at: datetime | None = None) -> Any:
    shots = [shot(row) for row in range(1, len(statuses) + 1)]
    outcomes = {}
    for each, status in zip(shots, statuses, strict=True):
        (take,) = takes_of(each, PROVIDER)
        is_completed = status == "completed"
        outputs = {"outputs": ("https://cdn.example/a.mp4",), "has_nsfw_contents": (False,)} if is_completed else {}
        is_paid = status not in {"pending", "rejected"}
        outcomes[take.fingerprint] = TakeOutcome(
            status=status,
            inference_ms=2_000 if is_completed else None,
            completed_at=done_at if is_completed else None,
            attempts=int(is_paid),
            quoted_microusd=3_000_000 if is_paid else 0,
            **outputs,
        )
    manifest = pa.table({"image": [each.image for each in shots], "prompt": [each.inputs["prompt"] for each in shots]})
    return build_table(shots, outcomes, {}, manifest, Provenance("run", "0" * 64))


def summary(statuses: Sequence[str], done_at: datetime | None = None, **more: Any) -> RunSummary:
    reported = {
        "run_id": "run",
        "results": "out|`.parquet",
        "submitted": len(statuses),
        "reserved": Reserved(2_500_000),
    }
    return run_summary_of(stats_of(table_of(statuses, done_at)), **reported | more)


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
    assert summary(statuses).exit_code == code
    assert summary(statuses, is_interrupted=True).exit_code == 130


def test_what_an_earlier_version_of_the_manifest_left_open_is_unclear() -> None:
    assert summary(["completed"], dropped=[left(1)]).exit_code == 4
    assert "Money may be at stake" in summary(["completed"], dropped=[left(1)]).sentence
    assert summary(["completed"], dropped=[left(1)], is_interrupted=True).exit_code == 130


def test_what_other_manifests_left_open_is_told_and_is_no_failure() -> None:
    other = summary(["completed"], open_elsewhere=[left(1)])
    assert other.exit_code == 0
    assert "Money" not in other.sentence
    assert other.notes() == [
        "unknown: 000000000000: left by run run-0 of file:///work/shots.csv; the connection broke",
        "settle them, or see all of them:",
        "    animatic reconcile",
    ]


def test_an_invalid_row_is_not_completed() -> None:
    counts = dict.fromkeys(STATUSES, 0) | {"completed": 1, "invalid": 1}
    invalid = RunSummary("run", "out.parquet", counts, 1, 0, Reserved(), 0, summary(["completed"]).summary)
    assert invalid.exit_code == 3
    assert invalid.sentence == "1 of 2 completed; 1 invalid"


def test_the_sentence_names_what_is_missing_and_why_it_stopped() -> None:
    assert summary(["completed"]).sentence == "1 of 1 completed"
    stopped = summary(["completed", "pending", "pending"], stopped_by="the key was refused")
    assert stopped.sentence == "1 of 3 completed; 2 pending. Stopped: the key was refused"
    poor = summary(["pending"], stopped_by="WaveSpeed answered 403.", funds=Funds(1_000_000, 2_500_000))
    assert poor.sentence == (
        "0 of 1 completed; 1 pending. Stopped: WaveSpeed answered 403. The account has $1.00, the rest of the plan "
        "costs $2.50: $1.50 is missing"
    )
    assert json.loads(poor.as_json())["missing_usd"] == 1.5
    assert "Money may be at stake" in summary(["held"]).sentence
    assert "Money" not in stopped.sentence


def test_the_json_line_has_the_keys_of_the_contract_in_order() -> None:
    line = summary(
        ["completed", "failed"], reserved=Reserved(0, 2), dropped=[left(1)], open_elsewhere=[left(2, "held")]
    )
    assert "\n" not in line.as_json()
    assert list(json.loads(line.as_json())) == [
        "run_id",
        *STATUSES,
        *("submitted", "cached", "cost_usd", "manifest_cost_usd", "balance_usd", "missing_usd"),
        *("failing_checks", "unchecked", "dropped", "open_elsewhere", "results", "limit_reached"),
    ]
    broke, manifest = "the connection broke", "file:///work/shots.csv"
    assert json.loads(line.as_json()) == dict.fromkeys(STATUSES, 0) | {
        "run_id": "run",
        "completed": 1,
        "failed": 1,
        "submitted": 2,
        "cached": 0,
        "cost_usd": None,
        "manifest_cost_usd": 6.0,
        "balance_usd": None,
        "missing_usd": None,
        "failing_checks": 0,
        "unchecked": 0,
        "dropped": [{"fingerprint": f"{1:064x}", "name": "", "state": "unknown", "manifest": manifest, "error": broke}],
        "open_elsewhere": [
            {"fingerprint": f"{2:064x}", "name": "", "state": "held", "manifest": manifest, "error": broke}
        ],
        "results": "out|`.parquet",
        "limit_reached": None,
    }


def test_the_cost_is_what_the_ledger_reserved_and_not_the_tables() -> None:
    line = json.loads(summary(["completed"], reserved=Reserved(2_500_000, 1)).as_json())
    assert (line["cost_usd"], line["manifest_cost_usd"]) == (2.5, 3.0)
    nothing = json.loads(summary(["pending"], reserved=Reserved()).as_json())
    assert (nothing["cost_usd"], nothing["manifest_cost_usd"]) == (0.0, 0.0)


def test_no_line_grows_with_what_is_left_open() -> None:
    many = [left(number) for number in range(MOST_OPEN_NAMED + 5)]
    line = json.loads(summary(["completed"], dropped=many, open_elsewhere=many).as_json())
    assert (len(line["dropped"]), len(line["open_elsewhere"])) == (MOST_OPEN_NAMED, MOST_OPEN_NAMED)
    notes = summary(["completed"], dropped=many).notes()
    assert len(notes) == MOST_OPEN_SHOWN + 3
    assert notes[-3:] == [
        f"and {len(many) - MOST_OPEN_SHOWN} more",
        "settle them, or see all of them:",
        "    animatic reconcile",
    ]


def test_what_was_dropped_is_said_to_be_dropped() -> None:
    note, _, step = summary(["completed"], dropped=[left(1, "held", "a\nb\x1b[31m")], is_of_sandbox=True).notes()
    assert step == "    animatic reconcile --sandbox"
    assert note.startswith("held: 000000000000, which is not in this manifest any more: left by run run-0 of file://")
    assert note.isprintable()


@pytest.mark.parametrize(
    ("age", "notes"),
    [
        (timedelta(days=1), []),
        (timedelta(days=6, hours=1), ["expiring: the output URLs of 2 completed takes die within a day"]),
        (
            timedelta(days=8),
            ["expired: the output URLs of 2 completed takes are dead, and their clips are not archived"],
        ),
    ],
)
def test_outputs_that_die_soon_or_are_dead_are_told(age: timedelta, notes: list[str]) -> None:
    reported = summary(["completed", "failed", "completed"], datetime.now(UTC) - age)
    said = [note for note in reported.notes() if not note.startswith("    ")]
    assert [note.partition(" (")[0].partition(";")[0] for note in said] == notes
    assert reported.exit_code == 3
    for note in notes:
        assert note.partition(":")[0] in reported.as_markdown()


def test_the_text_leaves_out_statuses_that_no_row_has() -> None:
    text = summary(["completed", "failed"]).as_text()
    assert "failed" in text
    assert "unknown" not in text
    assert "2.00" in text
    assert "6.00" in text
    assert "not_judged" not in text


def test_the_markdown_is_one_table_whatever_names_hold() -> None:
    lines = summary(["completed"]).as_markdown().splitlines()
    assert "Results: `out|'.parquet`" in lines
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 4  # names, rule, the reel, all
    assert {row.count("|") for row in rows} == {rows[0].count("|")}


@pytest.mark.parametrize(
    ("reserved", "said"),
    [
        (Reserved(), "$0.00"),
        (Reserved(2_500_000), "$2.50"),
        (Reserved(2_500_000, 2), "$2.50 and 2 at a price that is not known"),
        (Reserved(0, 1), "price not known"),
    ],
)
def test_the_markdown_says_what_was_reserved(reserved: Reserved, said: str) -> None:
    shown = summary(["completed"], reserved=reserved).as_markdown()
    assert f"Run `run`: 1 bought, 0 from earlier runs, {said}; this manifest so far: $3.00." in shown.splitlines()


def test_what_is_left_open_is_text_in_the_markdown() -> None:
    shown = summary(["completed"], dropped=[left(1, error="<b>[x](http://evil.example)</b>")]).as_markdown()
    assert r"\<b\>\[x\](http://evil.example)\</b\>" in shown


def test_the_first_rows_not_completed_are_plain_values() -> None:
    rows = not_completed(table_of(["failed", "completed", "pending", "pending"]), 2)
    assert [(row["row"], row["status"]) for row in rows] == [(1, "failed"), (3, "pending")]
    assert all(None not in row.values() for row in rows)
    assert json.loads(json.dumps(rows)) == rows
    assert not_completed(table_of(["completed"]), 2) == []
