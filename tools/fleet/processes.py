"""Processes of a fleet: started with a log each, known again by pid and start time, and ended as a group."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.fleet.folder import FOLDER

KEPT = FOLDER / "processes.json"
STOPS_WITHIN_S = 60.0
"""A worker lets the run that it carries out write its results."""


def start(name: str, command: Sequence[str], env: Mapping[str, str], stdin: bytes | None = None) -> None:
    """Start a part in a session of its own, with its log in the fleet's folder."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that runs a script ignores it in what it starts with `&`. A worker that inherits that never ends.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _log(name).parent.mkdir(exist_ok=True)
    with _log(name).open("ab") as log:
        began_at = log.tell()
        process = subprocess.Popen(
            list(command),
            env=dict(env),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if process.stdin is not None and stdin is not None:
        process.stdin.write(stdin)
        process.stdin.close()
    _keep({**kept(), name: [process.pid, _start_time(process.pid) or 0, began_at]})


def logged(name: str) -> str:
    """Return what a part has logged since it was started: earlier fleets wrote to the same file."""
    *_, began_at = kept().get(name, (0,))
    with _log(name).open("rb") as log:
        log.seek(began_at)
        return log.read().decode(errors="replace")


def _log(name: str) -> Path:
    return FOLDER / f"logs/{name}.log"


def kept() -> dict[str, list[int]]:
    """Return each part's pid, start time and place in its log, in the order in which they were started."""
    try:
        return json.loads(KEPT.read_text(encoding="utf-8"))
    except FileNotFoundError:  # another terminal may have ended the fleet just now
        return {}


def is_alive(name: str) -> bool:
    """Tell whether a part runs: a pid that another process has now is not it."""
    pid, started, *_ = kept().get(name, (0, 0))
    return bool(pid) and _start_time(pid) == started


def dead_parts() -> list[str]:
    """Return the parts that ended by themselves."""
    return [name for name in kept() if not is_alive(name)]


def stop_all() -> list[str]:
    """End every part, the last one started first; return those that had to be killed."""
    killed: list[str] = []
    for name, (pid, *_) in reversed(kept().items()):
        if is_alive(name):
            # PostgreSQL's fast shutdown is SIGINT; a server of Prefect's and a worker end their children on SIGTERM.
            os.kill(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
            if not _ended(name):
                killed.append(name)
                _kill_group(pid)
        remaining = kept()
        remaining.pop(name, None)
        _keep(remaining)
    KEPT.unlink(missing_ok=True)
    return killed


def _ended(name: str) -> bool:
    until = time.monotonic() + STOPS_WITHIN_S
    while is_alive(name):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _start_time(pid: int) -> int | None:
    """Return the clock tick at which a process began; None where there is none, or only its exit code is left."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(fields[18])


def _keep(parts: Mapping[str, Sequence[int]]) -> None:
    """Replace the record as a whole: other terminals read it."""
    written = KEPT.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps(dict(parts)), encoding="utf-8")
    written.replace(KEPT)
