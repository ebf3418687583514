"""`animatic run` as people use it: with Prefect's embedded server, twice, on shots that end in different ways."""

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet
import pytest

SHOTS = (
    {"prompt": "run-command: slow push in", "shot_id": "opening", "note": "=1+1"},
    {"prompt": "run-command: pan left", "shot_id": "harbour", "takes": 2, "duration": "6"},
    {"prompt": "run-command: tilt up [sandbox:nsfw]", "shot_id": "tower", "storyboard": "second"},
    {"prompt": "run-command: orbit [sandbox:fails]", "shot_id": "bridge"},
    {"prompt": "run-command: static [sandbox:rejects]", "shot_id": "cellar"},
)
STATUSES = ["completed", "completed", "completed", "completed", "failed", "rejected"]
TAKE_NAMES = {f"{name} take 1" for name in ("opening", "harbour", "tower", "bridge", "cellar")} | {"harbour take 2"}
UNWANTED = re.compile(r"prefect|traceback|locked|\x1b|canary", re.IGNORECASE)


class Twice(NamedTuple):
    first: Any
    second: Any
    home: Path
    accepted: Counter[str]
    accepted_after: Counter[str]
    logs: list[Path]

    def ask(self, query: str) -> list[Any]:
        """Return what Prefect's own database holds of the first run."""
        with closing(sqlite3.connect(self.home / ".prefect/prefect.db")) as database:
            return database.execute(query, {"name": f"shots {self.first.json['run_id']}"}).fetchall()


OF_RUN = "(select id from flow_run where name = :name)"


@pytest.fixture(scope="module")
def twice(migrated_home: Path, prefect_server: Any, sandbox: Any, tools: Any) -> Twice:
    """The same command twice: with Prefect's embedded server, then with one that is set."""
    home = migrated_home
    tools.write_manifest(home / "shots.csv", SHOTS)
    shell = tools.Shell(
        home,
        {
            "WAVESPEED_API_KEY": tools.KEY,
            "WAVESPEED_BASE_URL": sandbox.url,
            "ANIMATIC_ACCOUNT_LEVEL": "ultra",
            "ANIMATIC_POLL_FLOOR_S": "0.1",
        },
    )
    command = ("run", "shots.csv", "--results", "out.parquet", "--json")
    first = shell.run(*command)
    (home / "out.parquet").rename(home / "first.parquet")
    accepted = sandbox.submitted("run-command")
    shell.more |= {"PREFECT_API_URL": prefect_server.url, "PREFECT_HOME": str(prefect_server.home)}
    second = shell.run(*command)
    return Twice(first, second, home, accepted, sandbox.submitted("run-command"), shell.logs())


def test_shots_that_fail_end_it_with_3(twice: Twice) -> None:
    assert (twice.first.code, twice.second.code) == (3, 3), twice.first.stderr + twice.second.stderr


def test_the_table_has_every_row_and_take_in_manifest_order(twice: Twice) -> None:
    table = pyarrow.parquet.read_table(twice.home / "first.parquet")
    rows = table.to_pylist()
    assert [(row["row"], row["shot_id"], row["take"]) for row in rows] == [
        (1, "opening", 1),
        (2, "harbour", 1),
        (2, "harbour", 2),
        (3, "tower", 1),
        (4, "bridge", 1),
        (5, "cellar", 1),
    ]
    assert [row["status"] for row in rows] == STATUSES
    assert [row["nsfw"] for row in rows] == [False, False, False, True, None, None]
    assert [row["storyboard"] for row in rows] == ["shots"] * 3 + ["second"] + ["shots"] * 2
    assert [row["duration"] for row in rows] == ["5s", "6s", "6s", "5s", "5s", "5s"]
    assert [row["error_code"] for row in rows] == [None, None, None, None, 5000, 400]
    assert all((row["error"] is None) == (row["status"] == "completed") for row in rows)
    assert all(bool(row["output_url"]) == (row["status"] == "completed") for row in rows)
    assert [row["attempts"] for row in rows] == [1, 1, 1, 1, 1, 0]
    assert rows[0]["note"] == "=1+1"
    assert not any(row["cached"] for row in rows)
    assert table.schema.metadata[b"animatic.run_id"].decode() == twice.first.json["run_id"]


MONEY = {
    "manifest_cost_usd": 13.5,
    "failing_checks": 0,
    "unchecked": 0,
    "dropped": [],
    "open_elsewhere": [],
    "balance_usd": None,
    "missing_usd": None,
    "limit_reached": None,
}


def test_the_last_line_of_stdout_is_the_json_object_of_the_contract(twice: Twice) -> None:
    counts = {"completed": 4, "failed": 1, "rejected": 1, "unknown": 0, "held": 0, "pending": 0, "invalid": 0}
    reported = dict(twice.first.json)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", reported.pop("run_id"))
    command = ["animatic", "run", "shots.csv", "--results", "out.parquet", "--no-archive", "--yes", "--retry-failed"]
    command += ["--only", "shot_id=bridge"]
    reported_next, argv = reported.pop("next"), reported.pop("next_argv")
    assert (argv, reported_next) == (command, " ".join(command))
    assert reported.pop("advice") == "buy it again for $2.50"
    assert reported == {**counts, **MONEY, "submitted": 5, "cached": 0, "cost_usd": 13.5, "results": "out.parquet"}
    again = dict(twice.second.json)
    assert again.pop("run_id") != twice.first.json["run_id"]
    assert (again.pop("next"), again.pop("next_argv")) == (reported_next, argv)
    assert again.pop("advice") == "buy it again for $2.50"
    assert again == {**counts, **MONEY, "submitted": 0, "cached": 6, "cost_usd": 0.0, "results": "out.parquet"}


def test_stderr_shows_the_plan_and_the_end_and_no_machinery(twice: Twice) -> None:
    for ended in (twice.first, twice.second):
        assert not UNWANTED.search(ended.stderr), ended.stderr
        assert not UNWANTED.search(ended.stdout)
        assert "4 of 6 completed; 1 failed, 1 rejected" in ended.stderr
    assert "  6 to buy, 0 done\n    opening take 1: new, $2.50\n" in twice.first.stderr
    assert "\n  cost: $16.00; the account has $" in twice.first.stderr
    assert (
        "0 to buy, 4 done, 1 failed, 1 rejected "
        "(--retry-failed would buy the 2 that failed or were rejected again for $5.00)" in twice.second.stderr
    )


def test_a_second_run_buys_nothing(twice: Twice) -> None:
    prompts = [str(shot["prompt"]) for shot in SHOTS]
    assert twice.accepted == Counter({prompts[0]: 1, prompts[1]: 2, prompts[2]: 1, prompts[3]: 1})
    assert twice.accepted_after == twice.accepted
    rows = pyarrow.parquet.read_table(twice.home / "out.parquet").to_pylist()
    assert [row["status"] for row in rows] == STATUSES
    assert all(row["cached"] for row in rows)


def test_what_prefect_would_have_printed_is_in_the_log_file(twice: Twice) -> None:
    log = next(path for path in twice.logs if path.stem == twice.first.json["run_id"])
    text = log.read_text()
    assert "prefect" in text
    assert "opening take 1: submitted as" in text
    assert log.stat().st_mode & 0o077 == 0


def test_the_key_is_nowhere_on_disk(twice: Twice, tools: Any) -> None:
    files = [path for path in twice.home.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert [path for path in files if tools.KEY.encode() in path.read_bytes()] == []


def test_prefects_database_has_every_task_run_in_its_final_state(twice: Twice) -> None:
    rows = twice.ask(f"select name, state_type from task_run where flow_run_id in {OF_RUN}")
    names = Counter(name for name, _ in rows)
    expected = TAKE_NAMES | {"quote prices", "publish summary"}
    assert names == Counter(dict.fromkeys(expected, 1) | {"write out.parquet": 2})
    ends = dict(rows)
    assert {name for name, state in ends.items() if state != "COMPLETED"} == {"bridge take 1", "cellar take 1"}
    assert {ends["bridge take 1"], ends["cellar take 1"]} == {"FAILED"}


def test_the_flow_run_state_and_parameters_hold_no_secret(twice: Twice) -> None:
    ((state_type, state_name, parameters),) = twice.ask(
        "select state_type, state_name, parameters from flow_run where name = :name"
    )
    assert (state_type, state_name) == ("COMPLETED", "CompletedWithFailures")
    assert json.loads(parameters) == {
        "manifest": "shots.csv",
        "results": "out.parquet",
        "max_usd": None,
        "skip_invalid": False,
        "retry_failed": False,
        "attempts": 1,
        "archive": "",
        "review": None,
        "models": None,
        "stills": None,
        "fewer_rows": False,
        "check_stills": False,
        "decisions": None,
        "follow_approved": False,
        "accept_estimates": False,
        "approve_above_usd": None,
        "approve_within_hours": 24.0,
        "credentials": None,
        "spend_up_to": None,
        "changed_stills": False,
        "clip_name": "{storyboard}_{shot_id}_t{take:02}",
        "only": None,
        "limit": None,
        "map": None,
    }


def test_there_is_one_progress_summary_and_table_artifact(twice: Twice) -> None:
    found = twice.ask(f"select type, key, data from artifact where flow_run_id in {OF_RUN}")
    artifacts = {kind: (key, data) for kind, key, data in found}
    assert len(found) == len(artifacts) == 3
    assert float(artifacts["progress"][1]) == 100.0
    key, summary = artifacts["markdown"]
    assert re.fullmatch("run-shots-[0-9a-f]{6}-summary", key)
    for part in ("4 of 6 completed; 1 failed, 1 rejected", "nsfw_rate", "inference_p95_s", "$13.50", "`out.parquet`"):
        assert part in summary
    for column in ("pending", "unknown", "held", "invalid", "not_judged"):
        assert column not in summary
    key, table = artifacts["table"]
    assert re.fullmatch("run-shots-[0-9a-f]{6}-not-completed", key)
    rows = json.loads(json.loads(table))
    assert [(row["shot_id"], row["status"]) for row in rows] == [("bridge", "failed"), ("cellar", "rejected")]


def test_each_shots_life_is_in_prefects_logs_at_info(twice: Twice) -> None:
    found = twice.ask(f"select level, message from log where flow_run_id in {OF_RUN}")
    lines = [message for level, message in found if level == 20]
    for shot, ending in (
        ("opening take 1", "completed"),
        ("harbour take 2", "completed"),
        ("tower take 1", "completed, flagged NSFW"),
        ("bridge take 1", "failed"),
        ("cellar take 1", "rejected"),
    ):
        assert any(line.startswith(f"{shot}: {ending}") for line in lines), lines
        assert any(line.startswith(f"{shot}: submitted as ") for line in lines) == (shot != "cellar take 1")


def test_nothing_that_the_run_started_is_left(twice: Twice, tools: Any) -> None:
    assert tools.wait_until(lambda: not tools.processes_with(f"HOME={twice.home}"), 10)
