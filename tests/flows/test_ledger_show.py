"""`animatic ledger show`: every take of a shot over all runs, with what it cost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from laptops import BOUGHT, Bought, rows_of, rows_of_every_end


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory, sandbox: Any, prefect_server: Any, tools: Any) -> Bought:
    """A laptop where all of a manifest was bought, and what failed once more. Reading the ledger needs no key."""
    folder = tmp_path_factory.mktemp("shown")
    tag, shell = f"<{folder.name}>", tools.new_shell(folder / "home", sandbox, prefect_server)
    shots = tools.write_manifest(folder / "shots.csv", rows_of_every_end(folder, tag))
    for more in ((), ("--retry-failed",)):
        assert shell.run("run", str(shots), "--results", "first.csv", *more).code == 3
    assert sandbox.submitted(tag).total() == BOUGHT + 1
    del shell.more["WAVESPEED_API_KEY"]
    return Bought(shell, shots, tag)


def test_a_shot_is_shown_with_every_attempt_and_its_cost(bought: Bought) -> None:
    rows = {(row["shot_id"], row["take"]): row for row in rows_of(bought.shell.home / "first.csv")}
    opening, harbour, bridge, cellar = (
        bought.shell.run("ledger", "show", name) for name in ("opening", "harbour", "bridge", "cellar")
    )
    assert opening.code == harbour.code == bridge.code == cellar.code == 0
    assert f"take 1 (row 1 of shots.csv), {rows['opening', 1]['fingerprint'][:12]}" in opening.stdout
    assert rows["opening", 1]["prediction_id"] in opening.stdout
    assert rows["opening", 1]["run_id"] in opening.stdout
    assert opening.stdout.endswith("in all $2.50\n")
    assert all(rows["harbour", take]["prediction_id"] in harbour.stdout for take in (1, 2))
    assert harbour.stdout.endswith("in all $5.00\n")
    assert bridge.stdout.count("  failed, $2.50, ") == 2
    assert bridge.stdout.endswith("in all $5.00\n")
    assert cellar.stdout.count("  rejected, $0.00, ") == 2
    assert cellar.stdout.endswith("in all $0.00\n")


def test_a_take_is_shown_by_the_start_of_its_fingerprint(bought: Bought) -> None:
    row = rows_of(bought.shell.home / "first.csv")[0]
    for length in (8, 12, 64):
        shown = bought.shell.run("ledger", "show", row["fingerprint"][:length], "--json")
        (take,) = shown.json["takes"]
        assert (shown.code, take["fingerprint"]) == (0, row["fingerprint"]), shown.stderr
        (attempt,) = take["attempts"]
        reported = (attempt["state"], attempt["quoted_usd"], attempt["prediction_id"], attempt["run_id"])
        assert reported == ("completed", 2.5, row["prediction_id"], row["run_id"])


def test_a_name_that_the_ledger_does_not_know_is_an_error(bought: Bought) -> None:
    start = rows_of(bought.shell.home / "first.csv")[0]["fingerprint"]
    for unknown in ("no-such-shot", start[:7], "0" * 12, "%%%%%%%%", "________", ""):
        refused = bought.shell.run("ledger", "show", unknown)
        assert (refused.code, refused.stdout) == (2, ""), refused.stdout
        assert "the ledger knows no shot of that name" in refused.stderr


def test_where_there_is_no_ledger_no_shot_can_be_shown(shell: Any) -> None:
    refused = shell.run("ledger", "show", "opening")
    assert (refused.code, f"ledger {shell.ledger}: there is none yet" in refused.stderr) == (2, True)
    assert not shell.ledger.exists()


def test_a_shot_of_two_manifests_is_asked_back(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    manifests = [
        manifest({"shot_id": "opening", "prompt": f"{name} {tag}"}, name=f"{name}.csv") for name in ("storm", "calm")
    ]
    for path in manifests:
        assert shell.run("run", str(path), "--results", f"out-{path.name}").code == 0
    refused = shell.run("ledger", "show", "opening")
    assert refused.code == 2
    assert "opening: 2 manifests have a shot of that name; say which with --manifest" in refused.stderr
    assert all(str(path) in refused.stderr for path in manifests)
    for path in manifests:
        (row,) = rows_of(shell.home / f"out-{path.name}")
        for spelling in (str(path), f"../{path.name}", f"file://{path}"):
            shown = shell.run("ledger", "show", "opening", "--manifest", spelling)
            assert (shown.code, row["prediction_id"] in shown.stdout) == (0, True), shown.stderr
            assert shown.stdout.endswith("in all $2.50\n")
    wrong = shell.run("ledger", "show", "opening", "--manifest", "other.csv")
    assert (wrong.code, "--manifest: " in wrong.stderr) == (2, True)
    assert sandbox.submitted(tag).total() == 2


def test_a_shot_shows_what_it_asked_for_before_too(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    for words in ("slow", "fast", "slow"):
        shots = manifest({"shot_id": "opening", "prompt": f"{words} {tag}"})
        assert shell.run("run", str(shots), "--results", f"{words}.csv").code == 0
    shown = shell.run("ledger", "show", "opening", "--json")
    assert [len(take["attempts"]) for take in shown.json["takes"]] == [1, 1]
    assert sandbox.submitted(tag).total() == 2
    assert shell.run("ledger", "show", "opening").stdout.endswith("in all $5.00\n")
