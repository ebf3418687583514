"""A command, run and measured: CPU of its whole tree of processes, memory, time."""

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

EVERY_S = 0.2
_STRAGGLERS_S = 30.0
_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Measured:
    """Cost of a command.

    Attributes:
        cpu_s: user and system, of it and everything it started, as the kernel counts it when they end.
        rss_mb: the most that its own process had in memory at once; tree_rss_mb: the same for the tree together (memory
            that processes share is counted in each), sampled.
        own_cpu_s: of its own process alone, sampled.
        began_at: seconds since 1970.
        first_line_s: from its start to the first line on its stdout; 0 where it has said nothing.
        is_done: it ended by itself, and not because its time was up.
    """

    wall_s: float
    cpu_s: float
    own_cpu_s: float
    rss_mb: float
    tree_rss_mb: float
    began_at: float
    first_line_s: float
    exit_code: int
    is_done: bool
    stdout: str = field(repr=False, default="")
    stderr: str = field(repr=False, default="")


def measure(command: Sequence[str], env: Mapping[str, str], cwd: Path, *, deadline_s: float = 900.0) -> Measured:
    """Run a command to its end, or to the end of its time; nothing that it started outlives this."""
    adopt_orphans()
    with (cwd / "stderr.txt").open("w+", encoding="utf-8", errors="replace") as errors:
        began_at, began = time.time(), time.monotonic()
        process = subprocess.Popen(
            command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            start_new_session=True,
        )  # fmt: skip
        lines: list[str] = []
        first_line_at: list[float] = []

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                first_line_at.append(time.monotonic()) if not first_line_at else None
                lines.append(line.decode(errors="replace"))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        tree = Tree(process.pid)
        is_done, cpu_s, status = _wait(process.pid, tree, began + deadline_s)
        wall_s = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)  # we have waited for it, subprocess must not
        cpu_s += tree.end()
        reader.join(timeout=5)
        errors.seek(0)
        stderr = errors.read()[-20_000:]
    if process.stdout is not None:
        process.stdout.close()
    return Measured(
        wall_s=wall_s,
        cpu_s=cpu_s,
        own_cpu_s=tree.own_cpu_s,
        rss_mb=tree.rss_mb,
        tree_rss_mb=tree.tree_rss_mb,
        began_at=began_at,
        first_line_s=first_line_at[0] - began if first_line_at else 0.0,
        exit_code=process.returncode,
        is_done=is_done,
        stdout="".join(lines),
        stderr=stderr,
    )


def _wait(pid: int, tree: "Tree", deadline: float) -> tuple[bool, float, int]:
    """Return whether it ended in time, the CPU seconds of its process tree, and its status."""
    is_done = True
    next_sample = 0.0
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            return is_done, used.ru_utime + used.ru_stime, status
        now = time.monotonic()
        if now >= next_sample:
            tree.sample()
            next_sample = now + EVERY_S
        if is_done and now > deadline:
            is_done = False
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


class Tree:
    """A process and all below it, sampled."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._known: dict[int, psutil.Process] = {}
        self.rss_mb = self.tree_rss_mb = self.own_cpu_s = 0.0

    def sample(self) -> None:
        """Look at every process once."""
        with contextlib.suppress(psutil.Error, OSError):
            self.own_cpu_s = sum(self._root.cpu_times()[:2])
            self.rss_mb = max(self.rss_mb, _peak_mb(self._root.pid))
            for child in self._root.children(recursive=True):
                self._known.setdefault(child.pid, child)
            total = 0
            for each in (self._root, *self._known.values()):
                with contextlib.suppress(psutil.Error):
                    total += each.memory_info().rss
            self.tree_rss_mb = max(self.tree_rss_mb, total / 1e6)

    def end(self) -> float:
        """CPU seconds of whatever outlived the root: it gets some time to end, and is killed then."""
        cpu_s, deadline = 0.0, time.monotonic() + _STRAGGLERS_S
        while left := [each for each in self._known.values() if _is_ours(each)]:
            for each in left:
                if time.monotonic() > deadline:
                    each.kill()
                with contextlib.suppress(ChildProcessError):
                    ended, _, used = os.wait4(each.pid, os.WNOHANG)
                    if ended:
                        cpu_s += used.ru_utime + used.ru_stime
            time.sleep(0.02)
        return cpu_s


def _is_ours(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.ppid() == os.getpid()
    return False


def adopt_orphans() -> None:
    """Have the kernel give us what our children leave behind, so that its CPU can be counted."""
    ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
