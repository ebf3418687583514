"""A ledger that is gone, damaged, or older than the results beside it stops the command; nothing is planned anew."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Manifest = Callable[..., Path]


@pytest.fixture
def bought(shell_with_server: Any, manifest: Manifest, sandbox: Any, tag: str) -> Any:
    """A shell where two takes were bought, and how to run it again."""
    shell = shell_with_server
    shots = manifest({"prompt": f"one {tag}"}, {"prompt": f"two {tag}"})
    arguments = ("run", str(shots), "--results", "out.csv")
    ended = shell.run(*arguments)
    assert ended.code == 0, ended.stderr
    assert "a cell that a spreadsheet would run as a formula" not in ended.stderr, "no cell here is one"
    yield shell, arguments
    assert sandbox.submitted(tag).total() == 2


def refused(shell: Any, arguments: tuple[str, ...]) -> tuple[int, str]:
    ended = shell.run(*arguments)
    assert "Nothing was bought" in ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.code, ended.stderr


def test_a_ledger_that_is_gone_stops_run_plan_results_and_reconcile(bought: Any) -> None:
    shell, arguments = bought
    shell.ledger.unlink()
    for command in (arguments, ("plan", arguments[1]), ("results", *arguments[1:]), ("reconcile",)):
        code, said = refused(shell, command)
        assert code == 1
        assert "it is gone" in said
        assert "Restore it from a backup" in said


def test_a_ledger_that_is_damaged_stops_a_run(bought: Any) -> None:
    shell, arguments = bought
    whole = bytearray(shell.ledger.read_bytes())
    for start in range(4_096, len(whole), 4_096):
        whole[start : start + 200] = b"\xff" * 200
    shell.ledger.write_bytes(bytes(whole))
    code, said = refused(shell, arguments)
    assert code == 1
    assert "estore it from a backup" in said, said


def test_results_that_know_more_than_the_ledger_stop_a_run(bought: Any) -> None:
    shell, arguments = bought
    shell.ledger.unlink()
    shutil.rmtree(f"{shell.ledger}.runs")
    code, said = refused(shell, arguments)
    assert code == 2
    assert "out.csv shows 2 takes as bought that the ledger" in said


def test_another_ledger_does_not_write_over_results_that_know_more(bought: Any) -> None:
    shell, arguments = bought
    before = (shell.home / "out.csv").read_bytes()
    shell.more |= {"ANIMATIC_LEDGER": f"sqlite:///{shell.home / 'other.sqlite'}"}
    code, said = refused(shell, ("results", *arguments[1:]))
    assert code == 2
    assert "out.csv shows 2 takes as bought that the ledger" in said
    assert (shell.home / "out.csv").read_bytes() == before
