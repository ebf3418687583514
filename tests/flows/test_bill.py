"""`animatic bill`: what was charged beside the ledger, as table, CSV, JSON and artifacts."""

import csv
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from recent import newest_artifacts, newest_runs

from animatic.results.billing.table import COLUMNS

Manifest = Callable[..., Path]


@pytest.fixture
def account(tmp_path: Path, tools: Any, prefect_server: Any) -> Any:
    """A sandbox of the test's own, and a shell that buys from it."""
    with tools.serving(tmp_path / "account") as sandbox:
        yield sandbox, tools.new_shell(tmp_path / "home", sandbox, prefect_server)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def buy_elsewhere(url: str, key: str) -> str:
    """Buy as another program would; the prediction's id."""
    body = {"prompt": "bought in a browser", "image": "https://stills.example/a.png"}
    request = urllib.request.Request(
        f"{url}/api/v3/wavespeed-ai/veo2-i2v",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as reply:
        return json.loads(reply.read())["data"]["id"]


def test_a_bill_that_agrees_ends_with_0_and_fills_results_and_history(account: Any, manifest: Manifest) -> None:
    _, shell = account
    rows = ({"prompt": "push in", "shot_id": "one", "takes": 2}, {"prompt": "pan [sandbox:fails]", "shot_id": "two"})
    shots = str(manifest(*rows))
    assert shell.run("run", shots, "--results", "out.csv").code == 3
    assert {row["charged_usd"] for row in rows_of(shell.home / "out.csv")} == {""}

    ended = shell.run("bill")
    assert ended.code == 0, ended.stderr
    totals = next(line.split() for line in ended.stdout.splitlines() if line.startswith("all"))
    assert totals == ["all", "3", "$7.50", "1", "$2.50", "$5.00"]
    assert "bill and ledger agree" in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 80
    found = shell.run("bill", "--json", "--csv", "bill.csv").json
    assert (found["net_usd"], found["ledger_net_usd"], found["usage_usd"], found["is_agreed"]) == (5.0, 5.0, 5.0, True)
    table = rows_of(shell.home / "bill.csv")
    assert list(table[0]) == list(COLUMNS)
    amounts = [(row["shot_id"], row["take"], row["charged_usd"], row["refunded_usd"]) for row in table]
    assert sorted(amounts) == [
        ("one", "1", "2.500000", "0.000000"),
        ("one", "2", "2.500000", "0.000000"),
        ("two", "1", "2.500000", "2.500000"),
    ]

    assert shell.run("results", shots, "--results", "out.csv").code == 3
    money = [(row["charged_usd"], row["refunded_usd"]) for row in rows_of(shell.home / "out.csv")]
    assert money == [("2.500000", "0.000000")] * 2 + [("2.500000", "2.500000")]
    shell.run("history", "--to", str(shell.home / "history"))
    history = ds.dataset(shell.home / "history", partitioning="hive").to_table().to_pylist()
    assert [(str(row["charged_usd"]), str(row["refunded_usd"])) for row in history] == money


def test_a_charge_of_no_take_ends_with_3_and_is_named_everywhere(
    account: Any, manifest: Manifest, prefect: Any, tools: Any
) -> None:
    sandbox, shell = account
    shots = str(manifest({"prompt": "push in", "shot_id": "one"}))
    assert shell.run("run", shots, "--results", "out.csv").code == 0
    foreign = buy_elsewhere(sandbox.url, tools.KEY)
    ended = shell.run("bill", "--json", "--csv", "bill.csv")
    assert (ended.code, ended.json["kinds"], ended.json["no_take_net_usd"]) == (3, {"no take": 1}, 2.5)
    (named,) = ended.json["differences"]
    assert (named["prediction_id"], named["difference_usd"]) == (foreign, 2.5)
    (row,) = [row for row in rows_of(shell.home / "bill.csv") if row["difference"]]
    assert (row["prediction_id"], row["difference"], row["shot_id"]) == (foreign, "no take", "")
    printed = shell.run("bill").stdout
    assert foreign in printed
    assert "belongs to no take of this ledger" in printed

    artifacts = [each for each in newest_artifacts(prefect) if foreign in str(each.data)]
    assert artifacts, "Prefect shows no table with the prediction"
    runs = [each for each in newest_runs(prefect) if each.name.startswith("bill ")]
    assert {each.state.type.value for each in runs} <= {"FAILED", "COMPLETED"}
    assert "1 difference between bill and ledger: 1 no take" in {each.state.message for each in runs}


def test_prefect_that_is_away_holds_no_bill_up(shell: Any) -> None:
    ended = shell.run("bill", "--since", "2020-01-01", "--until", "2020-01-02")
    assert (ended.code, "bill and ledger agree" in ended.stdout) == (0, True), ended.stderr
    assert "note: Prefect does not show this bill" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), '--since: found "yesterday"; allowed: a UTC date'),
        (("--until", "2026-13-01"), '--until: found "2026-13-01"; allowed: a UTC date'),
        (("--since", "2199-01-01"), "--since: found 2199-01-01; allowed: a date that is not in the future"),
        (
            ("--since", "2026-02-02", "--until", "2026-02-01"),
            "--since: found 2026-02-02; allowed: a date up to 2026-02-01",
        ),
        (("--csv", "bill.xlsx"), '--csv: found "bill.xlsx"; allowed: a name that ends in .csv'),
        (("--csv", "shots.csv"), "--csv: shots.csv is there and is no bill that animatic wrote"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_read(shell: Any, arguments: tuple[str, ...], said: str) -> None:
    shots = shell.home / "shots.csv"
    shots.write_text("image,prompt\n")
    ended = shell.here("bill", *arguments)
    assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
    assert shots.read_text() == "image,prompt\n"
