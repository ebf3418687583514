"""Log files have bounds, whatever is written into them, and however long."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows.logs import MOST_LOG_BYTES, MOST_LOG_FILES, copy_bounded, log_path

LINE = b"x" * 1_023 + b"\n"


def copied(content: bytes, path: Path) -> None:
    """Send this through a pipe, as a process of ours prints it."""
    ours, theirs = os.pipe()

    def write() -> None:
        with os.fdopen(theirs, "wb") as file:
            file.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(ours, "rb") as source:
        copy_bounded(source, path)
    writer.join()


def test_the_output_of_a_process_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    copied(LINE * (MOST_LOG_BYTES * 3 // len(LINE)) + b"the last line\n", path)
    kept = sorted(tmp_path.iterdir())
    assert [each.name for each in kept] == ["server.log", "server.log.1"]
    assert all(0 < each.stat().st_size <= MOST_LOG_BYTES for each in kept)
    assert path.read_bytes().endswith(b"the last line\n")
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in kept)


def test_a_log_that_is_there_already_counts(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(b"x" * MOST_LOG_BYTES)
    copied(b"more\n", path)
    assert path.read_bytes() == b"more\n"
    assert path.with_name("server.log.1").stat().st_size == MOST_LOG_BYTES


def test_what_fits_is_kept_whole(tmp_path: Path) -> None:
    content = LINE * 5_000
    copied(content, tmp_path / "server.log")
    assert (tmp_path / "server.log").read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("path", [Path("/dev/full"), Path("/nowhere/of/ours/server.log")])
def test_an_unwritable_log_does_not_stop_its_process(path: Path) -> None:
    if str(path) == "/dev/full" and not path.exists():
        pytest.skip("no /dev/full here")
    copied(LINE * 2_000, path)


LOGS = """
import logging, sys
from pathlib import Path
from flows.logs import MOST_LOG_BYTES, redirect_logs
redirect_logs(Path(sys.argv[1]), debug=False)
for number in range(MOST_LOG_BYTES * 3 // 100_000):
    logging.getLogger("anything").warning("%d %s", number, "x" * 100_000)
"""


def test_the_log_of_a_run_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", LOGS, str(path)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == (b"", b"")
    kept = sorted(tmp_path.glob("run.log*"))
    assert [each.name for each in kept] == ["run.log", "run.log.1"]
    assert all(0 < each.stat().st_size <= MOST_LOG_BYTES for each in kept)


def test_a_log_that_is_removed_takes_its_older_part_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for number in range(MOST_LOG_FILES + 5):
        path = log_path(f"run-{number}")
        os.utime(path, (number, number))
        path.with_name(f"{path.name}.1").touch()
    names = {each.name for each in path.parent.iterdir()}
    assert {"run-0.log", "run-0.log.1"} & names == set()
    assert len(names) <= 2 * (MOST_LOG_FILES + 1)
