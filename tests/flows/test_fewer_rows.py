"""A manifest that has lost most of its rows: refused where no one can be asked, asked about at a terminal."""

from typing import Any

import pytest

from animatic.planning.fewer_rows import has_fewer_rows

# Prefect leaves sockets to the garbage collector, which may run in any test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize(
    ("now", "before", "has"),
    [(49, 100, True), (50, 100, False), (100, 40, False), (4, 13, False), (4, 14, True), (1, None, False)],
)
def test_more_than_half_and_ten_are_many(*, now: int, before: int | None, has: bool) -> None:
    assert has_fewer_rows(now, before) is has


def rows(tag: str, count: int) -> list[dict[str, str]]:
    return [{"prompt": f"{number} {tag}", "shot_id": f"s{number}"} for number in range(count)]


def test_half_a_sheet_is_refused_without_a_terminal_and_leaves_the_results(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    assert shell.run("run", str(manifest(*rows(tag, 15))), "--results", "out.parquet").code == 0
    half = str(manifest(*rows(tag, 3), {"prompt": f"new {tag}"}))
    ended = shell.run("run", half, "--results", "out.parquet", "--yes", "--json")
    assert ended.code == 2
    said = " ".join(ended.stderr.split())
    assert "found 4 rows; the last run of it had 15." in said
    assert "run it once with --fewer-rows" in said
    assert sandbox.submitted(tag).total() == len(tools.read_rows(shell.home / "out.parquet")) == 15
    chosen = shell.run("run", str(manifest(*rows(tag, 15))), "--results", "one.parquet", "--limit", "1", "--json")
    assert chosen.code == 0, "rows that are not chosen are counted"
    planned = shell.run("plan", str(manifest(*rows(tag, 3))))
    assert (planned.code, "the last run of it had 15" in planned.stdout) == (0, True), planned.stdout
    ended = shell.run("run", half, "--results", "out.parquet", "--fewer-rows", "--json")
    assert ended.code == 0, ended.stderr
    assert shell.run("run", half, "--results", "out.parquet", "--yes").code == 0, "the new count is the one that counts"


def test_a_schedule_refuses_half_a_sheet(run_flow: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    unattended: dict[str, Any] = {"is_approved": False, "max_usd": 100}
    ran = run_flow(manifest(*rows(tag, 15)), **unattended)
    assert len(ran.rows) == 15
    half = manifest(*rows(tag, 3), {"prompt": f"new {tag}"})
    refused = run_flow(half, **unattended)
    assert refused.state.name == "Refused"
    assert "fewer_rows in a deployment" in str(refused.end.problem)
    assert sandbox.submitted(tag).total() == 15
    assert run_flow(half, fewer_rows=True, **unattended).statuses == ["completed"] * 4


def test_a_terminal_is_asked_before_results_lose_their_rows(
    shell_with_server: Any, manifest: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    assert shell.run("run", str(manifest(*rows(tag, 15))), "--results", "out.parquet").code == 0
    half = str(manifest(*rows(tag, 3)))
    shell.says_yes = False
    asked = "Go on with 3 rows where there were 15?"
    code, shown = tools.at_a_terminal(shell, [("[y/N]", "n")], "run", half, "--results", "out.parquet")
    assert (code, asked in shown) == (2, True), shown
    assert len(tools.read_rows(shell.home / "out.parquet")) == 15
    code, shown = tools.at_a_terminal(shell, [("[y/N]", "y")], "run", half, "--results", "out.parquet")
    assert (code, asked in shown) == (0, True), shown
    assert len(tools.read_rows(shell.home / "out.parquet")) == 3
