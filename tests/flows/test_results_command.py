"""A lost reply with the embedded sandbox, and the table written again from the ledger when no API is there any more."""

import json
import os
from typing import Any

import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from animatic.sandbox.witness import read_witness
from flows.command.cli import app


def test_an_unsettled_take_exits_with_4_and_results_work_offline(
    shell_with_server: Any, manifest: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = shell_with_server
    for name in ("WAVESPEED_API_KEY", "WAVESPEED_BASE_URL", "ANIMATIC_ACCOUNT_LEVEL"):
        del shell.more[name]
    path = str(
        manifest(
            {"prompt": "push in [sandbox:slow=0.1]", "shot_id": "good", "note": "a, b"},
            {"prompt": "pan left [sandbox:reset-before]", "shot_id": "lost"},
            {"prompt": "tilt up", "shot_id": "bad", "duration": "9s"},
        )
    )
    ran = shell.run("run", path, "--results", "ran.parquet", "--sandbox", "--skip-invalid", "--json")
    assert ran.code == 4, ran.stderr
    assert "1 of 3 completed; 1 unknown, 1 invalid. Money may be at stake" in ran.stderr
    assert (ran.json["unknown"], ran.json["submitted"], ran.json["cost_usd"]) == (1, 1, 5.0), (
        "what may have been bought is reserved too"
    )
    witness = shell.home / ".local/share/animatic/sandbox"
    assert len(read_witness(witness)) == 1

    for name in [name for name in os.environ if name.startswith(("ANIMATIC_", "WAVESPEED_", "PREFECT_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(shell.home)
    arguments = ["results", path, "--results", "again.parquet", "--sandbox", "--skip-invalid", "--json"]
    again = CliRunner().invoke(app, arguments, env=shell.environment)
    assert again.exit_code == 4, again.stderr
    assert json.loads(again.stdout)["unknown"] == 1
    tables = [pyarrow.parquet.read_table(shell.home / name) for name in ("ran.parquet", "again.parquet")]
    assert tables[0].drop_columns("cached").equals(tables[1].drop_columns("cached"))
    assert [table["cached"].to_pylist() for table in tables] == [[False] * 3, [True, False, False]]
    assert tables[1]["status"].to_pylist() == ["completed", "unknown", "invalid"]
    assert len(read_witness(witness)) == 1
