"""One home for the dollar: bill, ledger, `--json`, table, `summarise`, panel and Prefect's summary say the same."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Prefect leaves sockets of a flow in this process to the garbage collector."""

LOST = "[sandbox:list-late=3600]"
"""Bought, the reply lost, and not in the list for an hour."""


def billed_usd(sandbox: Any, tag: str) -> float:
    """Return the amount charged to the account for the predictions of this test."""
    return sum(each.price_usd for each in sandbox.witness if tag in each.inputs["prompt"])


def ledger_usd(ledger: Path) -> tuple[float, float]:
    """Return the amounts that all runs reserved, and those of the paid attempts."""
    paid = "('submitted', 'completed', 'failed', 'unknown', 'held')"
    with closing(sqlite3.connect(ledger)) as db:
        (reserved,) = db.execute("SELECT sum(committed_microusd) FROM run").fetchone()
        (attempts,) = db.execute(f"SELECT sum(quoted_microusd) FROM attempt WHERE state IN {paid}").fetchone()
    return reserved / 1e6, attempts / 1e6


def three_rows(tag: str) -> list[dict[str, str]]:
    return [
        {"prompt": f"one {tag}", "shot_id": "one"},
        {"prompt": f"two {tag}", "shot_id": "two"},
        {"prompt": f"three {tag} {LOST}", "shot_id": "three"},
    ]


def table_usd(shell: Any) -> tuple[float, float]:
    """The sum of the column, and the total of `summarise`."""
    import animatic  # noqa: PLC0415 - pandas, for these tests only

    frame = animatic.read_results(str(shell.home / "out.parquet"))
    return float(frame["quoted_usd"].sum()), float(animatic.summarise(frame)["cost_usd"].iloc[-1])


def run(shell: Any, shots: Any, *more: str) -> Any:
    return shell.run("run", str(shots), "--results", "out.parquet", "--json", *more)


def test_a_lost_reply_costs_what_it_was_reserved_at_everywhere(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, prefect: Any
) -> None:
    shell = shell_with_server
    ended = run(shell, manifest(*three_rows(tag)))
    assert (ended.code, ended.json["completed"], ended.json["unknown"]) == (4, 2, 1), ended.stderr
    assert sandbox.submitted(tag).total() == 3
    assert billed_usd(sandbox, tag) == 7.5
    assert ledger_usd(shell.ledger) == (7.5, 7.5)
    assert (ended.json["cost_usd"], ended.json["manifest_cost_usd"]) == (7.5, 7.5)
    assert table_usd(shell) == (7.5, 7.5)
    assert "$7.50" in summary_of(prefect, ended.json["run_id"])


def summary_of(client: Any, run_id: str) -> str:
    """The Markdown that Prefect's UI shows for a run."""
    from prefect.client.schemas.filters import FlowRunFilter  # noqa: PLC0415 - imports Prefect

    chosen = FlowRunFilter.model_validate({"name": {"like_": run_id}})
    (flow_run,) = client.read_flow_runs(flow_run_filter=chosen)
    ours = FlowRunFilter.model_validate({"id": {"any_": [UUID(str(flow_run.id))]}})
    return "\n".join(str(each.data) for each in client.read_artifacts(flow_run_filter=ours) if each.type == "markdown")


def test_panel_json_and_summary_of_a_flow_say_the_same(
    run_flow: Any, manifest: Any, sandbox: Any, tag: str, settings: Any
) -> None:
    from flows.progress_words import Shown, line  # noqa: PLC0415 - rich, for this test only

    ran = run_flow(manifest(*three_rows(tag)))
    summary = ran.end.summary
    assert sorted(ran.statuses) == ["completed", "completed", "unknown"]
    assert ", $7.50, " in line(ran.session.progress, Shown(1.0))
    reported = json.loads(summary.as_json())
    assert (reported["cost_usd"], reported["manifest_cost_usd"]) == (7.5, 7.5)
    assert float(summary.summary["cost_usd"].iloc[-1]) == 7.5
    assert any("$7.50" in str(each.data) for each in ran.artifacts() if each.type == "markdown")
    assert ledger_usd(Path(settings.ledger.removeprefix("sqlite:///"))) == (7.5, 7.5)
    assert sandbox.submitted(tag).total() == 3


def test_the_column_adds_up_over_two_runs(shell_with_server: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    shell = shell_with_server
    shots = manifest(
        *three_rows(tag), {"prompt": f"four {tag} [sandbox:fails]"}, {"prompt": f"five {tag} [sandbox:rejects]"}
    )
    first = run(shell, shots)
    assert (first.json["cost_usd"], first.json["manifest_cost_usd"]) == (10.0, 10.0), first.stderr
    assert table_usd(shell) == (10.0, 10.0)
    shots = manifest(
        *three_rows(tag),
        {"prompt": f"four {tag} [sandbox:fails]"},
        {"prompt": f"five {tag} [sandbox:rejects]"},
        {"prompt": f"six {tag}", "duration": "8s"},
    )
    second = run(shell, shots, "--retry-failed", "--attempts", "2")
    sixth_usd = next(each.price_usd for each in sandbox.witness if each.inputs["prompt"] == f"six {tag}")
    retries = sandbox.submitted(tag)[f"four {tag} [sandbox:fails]"] - 1
    assert retries in {1, 2}
    assert second.json["cost_usd"] == 2.5 * retries + sixth_usd, second.stderr
    manifest_usd = second.json["manifest_cost_usd"]
    assert manifest_usd == first.json["cost_usd"] + second.json["cost_usd"] == billed_usd(sandbox, tag)
    assert table_usd(shell) == (manifest_usd, manifest_usd)
    assert ledger_usd(shell.ledger) == (manifest_usd, manifest_usd)
    third = run(shell, shots)
    assert (third.json["cost_usd"], third.json["manifest_cost_usd"]) == (0.0, manifest_usd)


def test_a_take_that_rows_share_costs_once_in_the_first_of_them(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    shots = manifest(
        {"prompt": f"one {tag}", "storyboard": "a"},
        {"prompt": f"two {tag}", "storyboard": "a", "takes": "2"},
        {"prompt": f"one {tag}", "storyboard": "b"},
        {"prompt": f"two {tag}", "storyboard": "b"},
    )
    ended = run(shell, shots)
    assert (ended.code, ended.json["submitted"], ended.json["manifest_cost_usd"]) == (0, 3, 7.5), ended.stderr
    rows = tools.read_rows(shell.home / "out.parquet")
    assert [row["quoted_usd"] and float(row["quoted_usd"]) for row in rows] == [2.5, 2.5, 2.5, None, None]
    assert table_usd(shell) == (7.5, 7.5)
    assert sandbox.submitted(tag).total() == 3


def test_what_was_not_bought_is_no_longer_reserved(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    ended = run(shell, manifest({"prompt": f"one {tag}"}, {"prompt": f"two {tag} [sandbox:rejects]"}), "--max-usd", "5")
    assert (ended.code, ended.json["cost_usd"], ended.json["manifest_cost_usd"]) == (3, 2.5, 2.5), ended.stderr
    assert ledger_usd(shell.ledger) == (2.5, 2.5)
    assert table_usd(shell) == (2.5, 2.5)
    assert sandbox.submitted(tag).total() == 1
