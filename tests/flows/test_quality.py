"""Quality checks of a run's clips: in the table once they are made, and never in the way of anything else."""

import asyncio
import contextlib
import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from torture.virtual import played

from animatic.progress import ChecksProgress
from flows.checking import STOPS_WITHIN_S, Checking

SHOTS = "abcdef"
"""So many that some are left when the processes are seen, and stopped."""

MEASURES = ("first_frame_similarity", "black_fraction", "frozen_fraction", "cuts", "motion")


@pytest.fixture
def shell(shell_with_server: Any) -> Any:
    shell_with_server.archives = True
    return shell_with_server


def rows_of(shell: Any, name: str = "out.parquet") -> dict[str, dict[str, Any]]:
    table = io.BytesIO((shell.home / name).read_bytes())  # at once: it may be replaced
    return {row["shot_id"]: row for row in pyarrow.parquet.read_table(table).to_pylist()}


def checkers_of(shell: Any, tools: Any) -> list[int]:
    """The processes that check clips for commands of this home."""
    mine = []
    for pid in tools.processes_with(f"HOME={shell.home}"):
        with contextlib.suppress(OSError):
            if b"check_worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                mine.append(pid)
    return mine


@pytest.fixture
def hung(shell: Any, tools: Any, manifest: Any, tag: str) -> Iterator[Any]:
    """A run whose checks hang: their processes are stopped as soon as they are there."""
    path = manifest(*({"prompt": f"{name} {tag}", "shot_id": name} for name in SHOTS))
    process = shell.start("run", str(path), "--results", "out.parquet", "--json", is_warm=True)
    stopped = set[int]()

    def has_hung() -> bool:
        for pid in {*checkers_of(shell, tools)} - stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                stopped.add(pid)
        return bool(stopped) and table_is_written()

    def table_is_written() -> bool:
        table = shell.home / "out.parquet"
        return table.exists() and {row["status"] for row in rows_of(shell).values()} == {"completed"}

    try:
        tools.wait_until(has_hung, 50)
        yield process, path, has_hung
    finally:
        tools.kill_group(process)
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_the_table_says_which_checks_each_clip_fails(shell: Any, manifest: Any, tag: str, sandbox: Any) -> None:
    asked = {
        "plain": "",
        "broken": "[sandbox:broken-video]",
        "black": "[sandbox:black-video]",
        "small": "[sandbox:small-video]",
    }
    shots = manifest(*({"prompt": f"{name} {tag} {token}", "shot_id": name} for name, token in asked.items()))
    ended = shell.run("run", str(shots), "--results", "out.parquet", "--json")
    assert (ended.code, ended.json["failing_checks"], ended.json["unchecked"]) == (0, 4, 0), ended.stderr
    assert "quality: 4 clips fail a check (column qa)" in ended.stderr
    rows = rows_of(shell)
    assert {name: row["qa"] for name, row in rows.items()} == {
        "plain": ["frozen"],  # a blank clip is one grey frame a second
        "broken": ["undecodable"],
        "black": ["black", "frozen"],
        "small": ["size", "frozen"],
    }
    assert [rows["broken"][name] for name in MEASURES] == [None] * 5
    assert (rows["plain"]["cuts"], rows["plain"]["frozen_fraction"]) == (0, pytest.approx(1.0))
    assert rows["plain"]["first_frame_similarity"] is None  # its still is on a host that does not exist
    written = (shell.home / "out.parquet").stat().st_mtime_ns
    again = shell.run("results", str(shots), "--results", "out.csv")
    assert again.code == 0, again.stderr
    assert "checking" not in again.stderr
    assert '"[""undecodable""]"' in (shell.home / "out.csv").read_text()
    assert (shell.home / "out.parquet").stat().st_mtime_ns == written
    assert sandbox.submitted(tag).total() == 4


def test_a_run_whose_checks_hang_has_its_table_and_ends_when_told(hung: Any, shell: Any) -> None:
    process, _, _ = hung
    assert None in [row["qa"] for row in rows_of(shell).values()]
    os.kill(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr  # everything is bought and archived
    left = [row["qa"] for row in rows_of(shell).values()].count(None)
    assert left > 0
    assert f'"unchecked": {left}' in stdout.splitlines()[-1]
    assert "not checked yet" in stderr


def test_after_a_kill_the_next_run_checks_the_rest_and_buys_nothing(
    hung: Any, shell: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    process, path, _ = hung
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for pid in checkers_of(shell, tools):
        os.kill(pid, signal.SIGCONT)
    tools.wait_until(lambda: not checkers_of(shell, tools))  # they end with the run
    again = shell.run("run", str(path), "--results", "out.parquet", "--json")
    assert (again.code, again.json["submitted"], again.json["unchecked"]) == (0, 0, 0), again.stderr
    assert {tuple(row["qa"]) for row in rows_of(shell).values()} == {("frozen",)}
    assert sandbox.submitted(tag).total() == len(SHOTS)


def test_results_and_archive_check_what_no_run_has_checked(
    hung: Any, shell: Any, sandbox: Any, tag: str, tmp_path: Path
) -> None:
    process, path, _ = hung
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    shown = shell.apart("results", str(path), "--results", "out.parquet", "--json")
    assert (shown.code, shown.json["failing_checks"]) == (0, len(SHOTS)), shown.stderr
    assert "clips checked" in shown.stderr
    assert {tuple(row["qa"]) for row in rows_of(shell).values()} == {("frozen",)}
    (shell.home / "out.parquet").replace(tmp_path / "kept.parquet")
    archived = shell.apart("archive", str(tmp_path / "kept.parquet"), "--to", str(tmp_path / "elsewhere"), "--json")
    assert (archived.code, archived.json["archived"]) == (0, len(SHOTS)), archived.stderr
    assert sandbox.submitted(tag).total() == len(SHOTS)


class HangingLedger:
    """A ledger that never answers on clips, until it is asked no more."""

    is_left = False

    async def clips_of(self, _: Any) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            self.is_left = True
        return {}


def test_checks_that_hang_are_left_once_their_time_is_over(settings: Any) -> None:
    ledger: Any = HangingLedger()

    async def scene() -> float:
        now = asyncio.get_running_loop().time
        checking = Checking(ledger, settings, ChecksProgress(), archive="", run_batch=None)  # type: ignore[arg-type]
        checking.archived(["f" * 64])
        began = now()
        await checking.check_rest([], within_s=600.0)
        return now() - began

    assert played(scene()) == pytest.approx(600.0 + STOPS_WITHIN_S)
    assert ledger.is_left
