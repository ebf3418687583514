"""Messages and exit codes of `animatic` where it does not get as far as buying; nearly all without a Prefect server."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.command.cli import app
from flows.command.embedded import sandbox_settings
from flows.settings import Settings

GOOD = {"prompt": "push in", "shot_id": "one"}
REAL = "https://wavespeed.invalid"


@pytest.fixture
def animatic(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command in this process; `NAME=value` by keyword, None to unset."""
    for name in [name for name in os.environ if name.startswith(("ANIMATIC_", "WAVESPEED_", "PREFECT_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(shell.home)

    def run(*arguments: object, **more: str | None) -> Any:
        environment: dict[str, str | None] = {**shell.environment, **more}
        return CliRunner().invoke(app, [str(each) for each in arguments], env=environment)

    return run


def test_every_fault_of_a_manifest_is_reported_and_nothing_is_bought(shell: Any, manifest: Any, sandbox: Any) -> None:
    before = len(sandbox.witness)
    rows = [GOOD, GOOD | {"duration": "9s"}, {"prompt": "", "takes": "17", "aspect_ratio": "16x9"}]
    ended = shell.run("run", str(manifest(*rows)), "--results", "out.parquet", "--yes", "--json")
    assert (ended.code, ended.json["exit_code"], ended.json["next_argv"]) == (2, 2, None)
    assert ended.json["error"] in ended.stderr
    lines = ended.stderr.splitlines()
    assert 'shots.csv:3: duration: found "9s"; allowed: 5s, 6s, 7s, 8s' in lines
    assert any(line.startswith("shots.csv:3: shot_id: found") for line in lines)
    assert any(line.startswith("shots.csv:4: prompt: found nothing") for line in lines)
    assert any(line.startswith('shots.csv:4: takes: found "17"') for line in lines)
    assert any(line.startswith('shots.csv:4: aspect_ratio: found "16x9"') for line in lines)
    assert "Traceback" not in ended.stderr
    assert len(sandbox.witness) == before
    assert not shell.ledger.exists()
    assert not (shell.home / "out.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ((), {"WAVESPEED_BASE_URL": REAL, "WAVESPEED_API_KEY": None}, "animatic: WAVESPEED_API_KEY: not set"),
        ((), {"ANIMATIC_LEGDER": "x"}, "animatic: ANIMATIC_LEGDER: unknown variable; did you mean ANIMATIC_LEDGER?"),
        ((), {"WAVESPEED_BASE_URL": "http://example.org"}, "https, or http for loopback"),
        (("--results", "out.ods"), {}, "out.ods"),
        (("--results", "memory://out.csv"), {}, "memory://out.csv: what is in memory is gone when this process ends"),
        (("--archive", "memory://clips"), {}, "memory://clips: what is in memory is gone when this process ends"),
        (("--review", "memory://page"), {}, "memory://page: what is in memory is gone when this process ends"),
        (("--max-usd", "1"), {}, "the plan costs $2.50 for 1 take; allowed: $1.00"),
        (("--max-usd", "-1"), {}, "--max-usd"),
        (("--attempts", "0"), {}, "--attempts"),
        (
            (),
            {"WAVESPEED_BASE_URL": REAL},
            "animatic: this costs money, and there is no terminal to ask at; give --yes",
        ),
        (("--max-usd", "9"), {"WAVESPEED_BASE_URL": REAL, "WAVESPEED_API_KEY": "k"}, "set ANIMATIC_PRICE_USD"),
        (("--nonsense",), {}, "--nonsense"),
    ],
)
def test_what_the_user_must_change_ends_it_with_2(
    *, animatic: Any, manifest: Any, sandbox: Any, arguments: Any, environment: Any, said: str
) -> None:
    before = len(sandbox.witness)
    results = () if "--results" in arguments else ("--results", "out.parquet")
    ended = animatic("run", manifest(GOOD), *results, *arguments, **environment)
    assert (ended.exit_code, ended.stdout) == (2, ""), ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(sandbox.witness) == before


@pytest.mark.parametrize("limit", ["nan", "inf", "1e308"])
def test_a_limit_that_is_no_number_is_refused(animatic: Any, manifest: Any, sandbox: Any, limit: str) -> None:
    ended = animatic("run", manifest(GOOD), "--results", "out.parquet", "--max-usd", limit)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "--max-usd" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_manifest_that_is_not_there_is_one_line(animatic: Any) -> None:
    ended = animatic("run", "nowhere.csv", "--results", "out.parquet")
    assert ended.exit_code == 2
    assert re.fullmatch(r"animatic: .*nowhere\.csv.*\n", ended.stderr)


def test_only_the_embedded_sandbox_is_play_money() -> None:
    assert Settings(base_url=REAL).is_real
    assert Settings(base_url="http://127.0.0.1:1").is_real, "it can be a gateway or a tunnel"
    assert not sandbox_settings(Settings()).is_real


@pytest.mark.parametrize("command", ["run", "results", "plan"])
def test_a_ledger_that_is_none_ends_it_with_1_and_one_line(
    animatic: Any, manifest: Any, shell: Any, command: str
) -> None:
    shell.ledger.parent.mkdir(parents=True)
    shell.ledger.write_text("these are my notes")
    results = () if command == "plan" else ("--results", "out.parquet")
    ended = animatic(command, manifest(GOOD), *results)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert re.fullmatch(r"animatic: [^\n]*ledger\.sqlite[^\n]*\n", ended.stderr)
    assert shell.ledger.read_text() == "these are my notes"
    debugged = animatic(command, manifest(GOOD), *results, "--debug")
    assert debugged.exit_code == 1
    assert "Traceback" in debugged.stderr


def test_the_plan_says_what_is_new_and_what_it_costs(animatic: Any, manifest: Any, shell: Any, sandbox: Any) -> None:
    before = len(sandbox.witness)
    path = manifest(GOOD | {"takes": 2}, {"prompt": "pan left", "duration": "8s"}, {"prompt": "push in"})
    reported = animatic("plan", path)
    assert (reported.exit_code, reported.stderr) == (0, "")
    lines = reported.stdout.splitlines()
    notes = ("  note: this account made ", "      animatic ledger import ")
    assert all(line.startswith(notes) for line in lines[8:]), "tests share the sandbox"
    assert lines[:2] == [
        "shots.csv: 3 rows, 4 takes asked for, 1 of them shared with another row",
        "  3 to buy, 0 done",
    ]
    assert all(": new, $" in line for line in lines[2:5])
    assert lines[5].startswith("  cost: $9.00; the account has $")
    assert lines[6].startswith("  time: about ")
    assert lines[7] == f"  ledger: {shell.ledger} (new: it holds no take of this provider)"
    as_json = animatic("plan", path, "--json")
    found = json.loads(as_json.stdout)
    assert [each["reason"] for each in found.pop("to_buy")] == ["new"] * 3
    assert found.pop("balance_usd") > 0
    assert found.pop("duration_s") > 0
    assert [found.pop(name) for name in ("next", "next_argv", "advice")] == [None] * 3
    assert found == {
        "rows": 3,
        "takes": 3,
        "shared": 1,
        "invalid": 0,
        "new": 3,
        "cached": 0,
        "failed": 0,
        "retriable": 0,
        "retry_cost_usd": 0.0,
        "resumable": 0,
        "unknown": 0,
        "waiting_for_others": 0,
        "no_quote": [],
        "missing_usd": 0.0,
        "cost_usd": 9.0,
        "cost_from_usd": 9.0,
        "most_usd": 9.0,
        "cost_estimated_usd": None,
        "estimates": [],
        "ledger": str(shell.ledger),
        "ledger_is_new": True,
        "day_budget": None,
        "left_for_later": 0,
        "left_for_later_usd": 0.0,
        "limit_reached": None,
        "made_already": [],
        "bought_at_another_address": [],
        "changed_stills": [],
    }
    assert len(sandbox.witness) == before
    assert not shell.ledger.exists()


def test_the_plan_needs_neither_key_nor_network(animatic: Any, manifest: Any) -> None:
    unknown = animatic("plan", manifest(GOOD), WAVESPEED_API_KEY=None, WAVESPEED_BASE_URL=REAL)
    assert unknown.exit_code == 2
    assert unknown.stderr.startswith("animatic: WAVESPEED_API_KEY is not set: export it")
    assert "  cost: not known: WaveSpeed cannot be asked without a key" in unknown.stdout.splitlines()
    priced = animatic("plan", manifest(GOOD), WAVESPEED_API_KEY=None, ANIMATIC_PRICE_USD="3.25")
    assert "  cost: $3.25" in priced.stdout.splitlines()


def test_plan_exits_with_2_unless_bad_rows_are_skipped(animatic: Any, manifest: Any) -> None:
    path = manifest(GOOD, {"prompt": "pan", "duration": "9s"})
    assert animatic("plan", path).exit_code == 2
    skipped = animatic("plan", path, "--skip-invalid", "--json")
    assert skipped.exit_code == 0
    reported = json.loads(skipped.stdout)
    assert (reported["rows"], reported["invalid"], reported["new"]) == (2, 1, 1)


def test_the_table_of_a_manifest_that_never_ran_is_all_pending(
    animatic: Any, manifest: Any, shell: Any, tools: Any
) -> None:
    ended = animatic("results", manifest(GOOD), "--results", "out.parquet", "--json", WAVESPEED_API_KEY=None)
    assert ended.exit_code == 3
    assert json.loads(ended.stdout.splitlines()[-1])["pending"] == 1
    assert [row["status"] for row in tools.read_rows(shell.home / "out.parquet")] == ["pending"]


@pytest.mark.parametrize("command", [(), ("run",), ("plan",), ("demo",), ("sandbox",), ("results",)])
def test_help_reads_well(animatic: Any, command: tuple[str, ...]) -> None:
    shown = animatic(*command, "--help", COLUMNS="100", NO_COLOR="1")
    assert shown.exit_code == 0
    assert "Usage: " in shown.stdout
    for name in command or ("run", "plan", "demo", "sandbox", "results"):
        assert name in shown.stdout


TELL_IMPORTS = """
import sys
from flows.command.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert end.code == 0
print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], {"prefect", "pandas", "pyarrow", "sqlalchemy", "httpx"}),
        (["run", "--help"], {"prefect", "pandas", "pyarrow", "sqlalchemy", "httpx"}),
        (["demo", "--help"], {"prefect", "pandas"}),
        (["results", "--help"], {"prefect", "pandas"}),
        (["plan", "MANIFEST"], {"prefect"}),
    ],
)
def test_a_command_imports_only_what_it_needs(
    shell: Any, manifest: Any, arguments: list[str], absent: set[str]
) -> None:
    typed = [str(manifest(GOOD)) if argument == "MANIFEST" else argument for argument in arguments]
    command = [sys.executable, "-c", TELL_IMPORTS, *typed]
    ended = subprocess.run(
        command, env=shell.environment, capture_output=True, text=True, timeout=60, check=True, cwd=shell.home
    )
    imported = set(ended.stderr.splitlines()[-1].split())
    assert "typer" in imported
    assert not imported & absent


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_serves_until_it_is_stopped(shell: Any, tools: Any, number: signal.Signals, tmp_path: Path) -> None:
    process = shell.start("sandbox", "--port", "0", "--no-render", "--folder", str(tmp_path / "state"))
    try:
        ready = json.loads(process.stdout.readline())
        assert ready["url"].startswith("http://127.0.0.1:")
        # A terminal sends Ctrl-C to the whole group
        os.killpg(process.pid, number) if number is signal.SIGINT else process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    finally:
        tools.kill_group(process)
    assert "Traceback" not in stderr
    assert f"state in {tmp_path / 'state'}" in stderr
    assert tools.wait_until(lambda: not tools.processes_with(f"HOME={shell.home}"), 5)
