"""Budgets that leave the rest of a manifest for later: of a run, and of a day for all runs together."""

import json
from typing import Any

import pytest

DAY = "ANIMATIC_MAX_USD_PER_DAY"

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Prefect leaves sockets to the garbage collector."""


def rows(tag: str, count: int) -> list[dict[str, str]]:
    return [{"shot_id": f"s{number}", "prompt": f"push in {number} {tag}"} for number in range(count)]


def test_each_run_buys_as_far_as_its_money_goes_in_manifest_order(
    run_flow: Any, manifest: Any, sandbox: Any, tag: str
) -> None:
    shots = manifest(*rows(tag, 5))
    ran = run_flow(shots, spend_up_to=6)
    assert ran.state.name == "CompletedWithFailures"
    assert ran.statuses == ["completed"] * 2 + ["pending"] * 3
    assert ran.rows[2]["error"] == ran.end.summary.stopped_by
    assert ran.rows[2]["error"].startswith(
        "--spend-up-to $6.00 goes as far as s1 take 1: 2 of 5 takes for $5.00; 3 takes"
    )
    assert (ran.end.summary.exit_code, ran.end.summary.spent) == (3, "--spend-up-to")
    assert (ran.session.progress.left, ran.session.progress.passed_on) == (0, 3)
    assert run_flow(shots, spend_up_to=6).statuses == ["completed"] * 4 + ["pending"]
    last = run_flow(shots, spend_up_to=6)
    assert (last.statuses, last.end.summary.exit_code, last.end.summary.spent) == (["completed"] * 5, 0, None)
    assert sandbox.submitted(tag).total() == 5


@pytest.mark.parametrize(("max_usd", "bought"), [(4, None), (5, 2)])
def test_both_limits_of_a_run_hold(
    *, run_flow: Any, manifest: Any, sandbox: Any, tag: str, max_usd: float, bought: int | None
) -> None:
    ran = run_flow(manifest(*rows(tag, 3)), spend_up_to=6, max_usd=max_usd)
    assert sandbox.submitted(tag).total() == (bought or 0)
    assert ran.state.name == ("Refused" if bought is None else "CompletedWithFailures")


def test_further_attempts_stay_within_the_money(run_flow: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    ran = run_flow(manifest({"prompt": f"[sandbox:fails] {tag}"}), spend_up_to=6, attempts=5)
    assert sandbox.submitted(tag).total() == 2
    assert ran.end.summary.spent == "--spend-up-to"
    assert ran.end.summary.reserved.cost_microusd == 5_000_000


def test_two_processes_at_once_never_exceed_the_day(
    *, shell_with_server: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    shell.more[DAY] = "10"
    processes: list[Any] = []
    for name in ("one", "two"):
        path = tools.write_manifest(shell.home / f"{name}.csv", rows(f"{name} {tag}", 6))
        processes.append(shell.start("run", str(path), "--results", f"{name}.csv.jsonl", "--json", is_warm=True))
    ended = [(*each.communicate(timeout=120), each.returncode) for each in processes]
    assert sandbox.submitted(tag).total() == 4, ended
    assert [code for _, _, code in ended] == [3, 3], ended
    for stdout, stderr, _ in ended:
        said = json.loads(stdout.splitlines()[-1])
        assert (said["limit_reached"], said["day_budget"]["reserved_usd"], said["day_budget"]["left_usd"]) == (
            DAY,
            10,
            0,
        )
        assert said["advice"].startswith("run again after 00:00 UTC to go on")
        assert "$0.00 of $10.00 left for" in stderr
    planned = shell.run("plan", str(shell.home / "one.csv"), "--json").json
    assert (planned["new"], planned["limit_reached"], planned["day_budget"]["left_usd"]) == (0, DAY, 0)
    del shell.more[DAY]
    shown = shell.run("plan", str(shell.home / "one.csv"), "--spend-up-to", "2.5").stdout
    assert "budget: --spend-up-to $2.50 goes as far as" in shown


def test_a_plans_file_is_bought_whole(shell: Any, manifest: Any, tag: str) -> None:
    refused = shell.run("plan", str(manifest(*rows(tag, 1))), "-o", "plan.json", "--spend-up-to", "5")
    assert refused.code == 2
    assert "--spend-up-to: found beside -o" in refused.stderr
