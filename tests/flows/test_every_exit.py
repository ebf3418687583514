"""With `--json` the last line of stdout is one JSON object, however a command ends."""

import json
from typing import Any

import pytest


@pytest.mark.parametrize(
    "arguments",
    [("plan", "--json"), ("plan", "shots.csv", "--limit", "0", "--json"), ("nosuch", "--json"), ("run", "x", "--json")],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told_in_json_too(shell: Any, arguments: tuple[str, ...]) -> None:
    ended = shell.apart(*arguments)
    assert (ended.code, ended.json["exit_code"]) == (2, 2)
    assert ended.json["error"]
    assert ended.stderr.strip()
    assert "Traceback" not in ended.stderr


def test_the_command_alone_shows_its_help(shell: Any) -> None:
    process = shell.start("--help")
    helped, _ = process.communicate(timeout=60)
    bare = shell.apart("--no-such-option")
    assert (process.returncode, bare.code) == (0, 2)
    assert "Usage" in helped


@pytest.mark.parametrize("answer", ["n", "\x04"], ids=["n", "Ctrl-D"])
def test_a_no_is_told_in_json(
    *, shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any, answer: str
) -> None:
    shell = shell_with_server
    shell.says_yes = False
    shots = manifest({"prompt": f"push in {tag}"})
    typed = ("run", str(shots), "--results", "out.csv", "--json", "--new-ledger")
    code, shown = tools.at_a_terminal(shell, [("[y/N]", answer)], *typed)
    line = json.loads(shown.strip().splitlines()[-1])
    assert (code, line["exit_code"], sandbox.submitted(tag).total()) == (2, 2, 0), shown
    assert line["error"] == "not agreed; nothing was bought"


def test_with_chosen_rows_counts_add_up_and_the_manifest_costs_the_same(
    shell_with_server: Any, manifest: Any, tag: str
) -> None:
    shell = shell_with_server
    shots = str(manifest(*({"prompt": f"{number} {tag}", "shot_id": f"s{number}"} for number in range(3))))
    assert shell.run("run", shots, "--results", "out.csv").code == 0
    chosen = ("--only", "shot_id=s1")
    planned = shell.run("plan", shots, *chosen)
    assert "0 to buy, 1 done, 2 not chosen" in planned.stdout
    ended = shell.run("run", shots, "--results", "out.csv", *chosen, "--json")
    assert (ended.json["completed"], ended.json["manifest_cost_usd"]) == (1, 7.5), ended.stderr
