"""Few open files: a run makes do with what there is, and one that cannot says so before it buys."""

import resource
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(400)

ANIMATIC = str(Path(sys.executable).with_name("animatic"))


def limited(shell: Any, soft: int, hard: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command, run to its end by a process that may have so many open files."""
    sh = shutil.which("sh") or "/bin/sh"
    words = f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$0" "$@"'
    return subprocess.run(
        [sh, "-c", words, ANIMATIC, *arguments],
        env=shell.environment,
        cwd=shell.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(("files", "rows"), [(256, 600), (128, 300)])
def test_a_run_with_few_open_files_buys_and_reports_everything(
    *, shell_with_server: Any, manifest: Any, sandbox: Any, tools: Any, tag: str, files: int, rows: int
) -> None:
    shots = manifest(*({"prompt": f"{tag} {number}"} for number in range(rows)))
    ended = limited(shell_with_server, files, files, "run", str(shots), "--results", "out.parquet", "--yes", "--json")
    assert ended.returncode == 0, ended.stderr
    table = tools.read_rows(shell_with_server.home / "out.parquet")
    assert Counter(row["status"] for row in table) == {"completed": rows}
    assert [row["row"] for row in table] == list(range(1, rows + 1))
    submitted = sandbox.submitted(tag)
    assert (len(submitted), submitted.total()) == (rows, rows)


def test_a_low_soft_limit_is_raised(shell: Any, manifest: Any, tag: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 4_096 if hard == resource.RLIM_INFINITY else min(hard, 4_096)
    ended = limited(shell, 64, most, "plan", str(manifest({"prompt": tag})))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_file_limit_too_low_for_any_run_is_refused(
    shell: Any, manifest: Any, sandbox: Any, tag: str, command: str
) -> None:
    more = ("--results", "out.parquet", "--yes") if command == "run" else ()
    ended = limited(shell, 64, 64, command, str(manifest({"prompt": tag})), *more)
    assert ended.returncode == 2, ended.stderr
    assert "open files: this process may have 64 at once; allowed: 128 or more" in ended.stderr
    assert "ulimit -n" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (shell.home / "out.parquet").exists()
    assert sandbox.submitted(tag).total() == 0
