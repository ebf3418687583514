"""A sandbox in a process of its own, and what is true of a subject after whatever was done to it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from animatic.results import reading
from animatic.sandbox.witness import Accepted, read_witness
from torture.canary import KEY
from torture.part import Part
from torture.subject import Setup


def fast_folder() -> str | None:
    """A folder in memory, where there is some: the power is not cut here, so a disk would only be slower."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@dataclass
class Served:
    """A sandbox that serves; the witness is read on from where it was read to."""

    url: str
    folder: Path
    _read: int = 0
    _seen: dict[str, list[Accepted]] = field(default_factory=dict[str, list[Accepted]])

    def accepted(self, tag: str) -> list[Accepted]:
        """Submissions whose prompt ends with this tag."""
        with (self.folder / "accepted.jsonl").open("rb") as file:
            file.seek(self._read)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            each = Accepted(**json.loads(line))
            self._seen.setdefault(each.inputs["prompt"].rpartition(" ")[2], []).append(each)
        return self._seen.get(tag, [])

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/sandbox/stats") as reply:
            return dict(json.load(reply))


@contextlib.contextmanager
def served(folder: Path, *flags: str, key: str = KEY) -> Generator[Served]:
    """A sandbox without clips, predictions of 50 ms; its witness is synced."""
    folder.mkdir(parents=True, exist_ok=True)
    usual = ["--folder", str(folder), "--key", key, "--no-render", "--inference-s", "0.05", "--spread", "0"]
    command = [sys.executable, "-m", "animatic.sandbox", *usual, "--die-with-parent", *flags]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield Served(json.loads(process.stdout.readline())["url"], folder)
        finally:
            process.kill()


def in_child(
    work: Callable[[], object], timeout_s: float = 60.0, knows: Callable[[int], object] = lambda _: None
) -> int:
    """Do something in a forked child, whose pid is made known; its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            signal.alarm(int(timeout_s))
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 2)
            work()
            code = 0
        finally:
            os._exit(code)
    knows(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def judge(setup: Setup, seen: list[Accepted], point: str, rows: int, part: Part) -> None:
    """Hold one subject, after its recovery, against what the witness saw of it."""
    part.accepted += len(seen)
    prompts = Counter(each.inputs["prompt"] for each in seen)
    twice = sum(count - 1 for count in prompts.values())
    table = reading.decode(setup.results.read_bytes(), ".parquet").to_pylist()
    reported = {row["prompt"]: row for row in table}
    lost = rows - sum(bool(row["status"]) and (row["status"] == "completed" or bool(row["error"])) for row in table)
    bound = {row[0] for row in setup.ledger.rows("SELECT prediction_id FROM attempt WHERE prediction_id IS NOT NULL")}
    bound |= {row[0] for row in setup.ledger.rows("SELECT prediction_id FROM orphan")}
    silent = [
        each
        for each in seen
        if each.id not in bound and reported[each.inputs["prompt"]]["status"] not in {"unknown", "held"}
    ]
    part.duplicates += twice
    part.lost += lost
    part.unknown += sum(row["status"] in {"unknown", "held"} for row in table)
    part.unreported += len(silent)
    if twice or lost or silent:
        part.problems.append(f"{point}: {twice} bought twice, {lost} lost, {len(silent)} unreported")


def readable(setup: Setup, point: str, part: Part) -> None:
    """A results file is whole or not there, whatever happened to its writer."""
    if setup.results.exists():
        try:
            reading.decode(setup.results.read_bytes(), ".parquet")
        except Exception as error:  # noqa: BLE001 - that it cannot be read is the finding
            part.problems.append(f"{point}: the results file cannot be read: {error}")


def witness_of(folder: Path) -> list[Accepted]:
    return read_witness(folder)
