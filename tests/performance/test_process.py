"""The harness counts what a command's children cost, whatever becomes of them.

It measures seconds of CPU, seconds that pass and megabytes, so these tests are about such numbers: lower bounds are
what a child certainly used, upper bounds tell what is counted from what is not.
"""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.process import Measured, measure

BURN = "import time\nends = time.process_time() + {}\nwhile time.process_time() < ends: pass\n"


def _run(folder: Path, program: str, deadline_s: float = 60.0) -> Measured:
    return measure([sys.executable, "-c", program], dict(os.environ), folder, deadline_s=deadline_s)


def test_it_measures_exit_code_output_and_the_first_line(tmp_path: Path) -> None:
    took = _run(tmp_path, "import sys, time; time.sleep(0.3); print('hello'); sys.stderr.write('oh'); sys.exit(3)")
    assert (took.exit_code, took.stdout, took.stderr, took.is_done) == (3, "hello\n", "oh", True)
    assert 0.3 <= took.first_line_s <= took.wall_s


def test_the_cpu_of_a_child_that_was_waited_for_is_counted(tmp_path: Path) -> None:
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN.format(0.5)!r}])\n"
    took = _run(tmp_path, child)
    assert took.cpu_s >= 0.5
    assert took.own_cpu_s < 0.4


def test_the_cpu_of_a_child_that_outlives_its_parent_is_counted(tmp_path: Path) -> None:
    # It leaves the session too, as a server does that wants to stay.
    orphan = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {BURN.format(1.0)!r}], start_new_session=True)\n"
        "time.sleep(0.6)\n"  # so that it is seen
    )
    took = _run(tmp_path, orphan)
    assert took.exit_code == 0
    assert took.cpu_s >= 1.0


def test_memory_is_that_of_the_process_and_of_the_tree(tmp_path: Path) -> None:
    child = "import time; held = bytearray(120_000_000); time.sleep(1.0)"
    took = _run(tmp_path, f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n")
    assert took.rss_mb < 60
    assert 120 < took.tree_rss_mb < 220


def test_a_command_whose_time_is_up_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.process._STRAGGLERS_S", 0.5)
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    took = _run(tmp_path, program, deadline_s=1.0)
    assert (took.is_done, took.exit_code) == (False, -9)
    with pytest.raises(ProcessLookupError):
        os.kill(int(took.stdout), 0)
