"""A balance that cannot pay for a plan is said before the run, and what is missing when WaveSpeed stops it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Prefect leaves some of its sockets to the garbage collector, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

Manifest = Callable[..., Path]


@pytest.fixture
def poor(tmp_path: Path, tools: Any, serve_sandbox: Any, prefect_server: Any) -> Any:
    """A shell that buys from an account with $6."""
    account = serve_sandbox("--inference-s", "0.2", "--balance-usd", "6", folder=tmp_path / "account")
    shell = tools.new_shell(tmp_path / "home", account, prefect_server)
    shell.more["ANIMATIC_MAX_IN_FLIGHT"] = "1"
    return shell


def test_a_plan_says_what_the_account_lacks(poor: Any, manifest: Manifest) -> None:
    shots = str(manifest({"prompt": "push in", "takes": 4}))
    planned = poor.run("plan", shots)
    assert planned.code == 0
    assert "cost: $10.00; the account has $6.00" in planned.stdout
    assert "note: the account has $6.00, $4.00 less than this costs" in planned.stdout
    found = poor.run("plan", shots, "--json").json
    assert (found["balance_usd"], found["missing_usd"]) == (6.0, 4.0)
    enough = poor.run("plan", shots, "--limit", "1", "--json")
    assert "less than this costs" in poor.run("plan", shots).stdout
    assert enough.code == 0


def test_a_plan_that_the_account_can_pay_has_no_such_note(poor: Any, manifest: Manifest) -> None:
    shots = str(manifest({"prompt": "push in", "takes": 2}))
    assert "less than this costs" not in poor.run("plan", shots).stdout
    assert poor.run("plan", shots, "--json").json["missing_usd"] == 0


def test_an_unattended_run_warns_goes_on_and_says_what_is_missing(poor: Any, manifest: Manifest) -> None:
    shots = str(manifest({"prompt": "push in", "takes": 4}))
    ended = poor.run("run", shots, "--results", "out.csv", "--json", "--max-usd", "40")
    assert ended.code == 3, ended.stderr
    assert "note: the account has $6.00, $4.00 less than this costs" in ended.stderr
    assert (ended.json["completed"], ended.json["pending"]) == (2, 2)
    assert (ended.json["balance_usd"], ended.json["missing_usd"]) == (1.0, 4.0)
    assert "The account has $1.00, the rest of the plan costs $5.00: $4.00 is missing" in " ".join(ended.stderr.split())


def test_the_question_names_what_the_account_lacks(poor: Any, manifest: Manifest, tools: Any) -> None:
    shots = str(manifest({"prompt": "push in", "takes": 4}))
    poor.says_yes = False
    answers = [("Buy 4 takes for $10.00, $4.00 more than the account has? [y/N]", "n")]
    code, shown = tools.at_a_terminal(poor, answers, "run", shots, "--results", "out.csv")
    assert (code, "not agreed; nothing was bought" in shown) == (2, True), shown


def test_a_scheduled_run_warns_of_a_balance_that_is_too_low(
    run_flow: Any, serve_sandbox: Any, settings: Any, manifest: Manifest, tmp_path: Path
) -> None:
    account = serve_sandbox("--inference-s", "0.2", "--balance-usd", "1", folder=tmp_path / "account")
    poor = settings.model_copy(update={"base_url": account.url})
    ran = run_flow(manifest({"prompt": "push in"}), poor, is_approved=False, max_usd=5.0)
    assert any("the account has $1.00, $1.50 less than this costs" in each.message for each in ran.logs())
    assert ran.statuses == ["pending"]
    assert "$1.50 is missing" in str(ran.state.message)
